"""What commands remember about data sets; a cache that is damaged or cannot be written is no error."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.publish import publish, publish_text
from forgetkit.files.record import check_shape

Memory = dict[str, dict[str, str]]


def cache_folder() -> Path:
    """Return the folder for files that can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "forgetkit"


def recall() -> Memory:
    """Return what is remembered, by kind."""
    with suppress(OSError, ValueError, TypeError, RecursionError):
        content = json.loads((cache_folder() / "datasets.json").read_text())
        check_shape(content, dict, "the cache")
        for part in content.values():
            check_shape(part, dict, "the cache")
            check_shape(list(part.values()), [str], "the cache")
        return dict(content)
    return {}


def remember(news: Memory) -> None:
    """Add ``news`` to what is remembered."""
    memory = recall()
    merged = {part: {**memory.get(part, {}), **news.get(part, {})} for part in {*memory, *news}}
    if merged != memory:
        with suppress(ForgetkitError):
            publish_text(cache_folder() / "datasets.json", compact_json(merged) + "\n")


def load_array(path: Path, *, mapped: bool = False) -> NDArray[Any] | None:
    """Return the array in an ``.npy`` file, or None where none can be read.

    With ``mapped`` the file is mapped into memory; changes to the array do not reach it.
    """
    with suppress(OSError, ValueError, EOFError, TypeError, KeyError, SyntaxError, TokenError, OverflowError):
        found = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else None
    return None


def keep_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to an ``.npy`` file if possible."""

    def write(temporary: Path) -> None:
        """Write the file."""
        with temporary.open("wb") as stream:
            np.save(stream, array)

    with suppress(ForgetkitError):
        publish(path, write)


def states(files: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    """Return path, size, and times of modification and status change of each file, which change with its content."""
    return [
        (str(path.absolute()), (found := path.stat()).st_size, found.st_mtime_ns, found.st_ctime_ns) for path in files
    ]
