"""Small images and tables of them, for the tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError


def picture(path: Path, value: int = 0, *, size: tuple[int, int] = (4, 3), mode: str = "L") -> Path:
    """Write an image of 4 × 3 pixels that ``value`` tells from others, in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    pixels = (np.arange(width * height) + value).astype(np.uint8).reshape(height, width)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def pets(
    folder: Path, rows: int = 10, *, columns: str = "id,path,label,split,user", size: tuple[int, int] = (4, 3)
) -> Path:
    """Write ``pets.csv``: ``rows`` grey images of cats and dogs by three users, each fifth of the test split."""
    lines = [columns]
    for row in range(rows):
        picture(folder / "img" / f"{row}.png", row, size=size)
        kind, split = ("cat", "dog")[row % 2], "test" if row % 5 >= 3 else "train"
        values = {"id": f"p{row}", "path": f"img/{row}.png", "label": kind, "split": split, "user": f"u{row % 3}"}
        lines.append(",".join(values[name] for name in columns.split(",")))
    (folder / "pets.csv").write_text("\n".join(lines) + "\n")
    return folder / "pets.csv"


def refusal(name: str) -> ForgetkitError:
    """Return the error of opening a data set: malformed data, in one line each for what is wrong and what to do."""
    with pytest.raises(ForgetkitError) as caught:
        open_dataset(name, Path("nowhere"))
    assert caught.value.code == "dataset-malformed"
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value
