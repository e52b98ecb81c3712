"""A data set of one's own making, as docs/data.md has it; and that nothing outside its folder is opened."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forgetkit.data.dataset import Split
from forgetkit.data.open import open_dataset
from forgetkit.data.sources import DATASETS, Listing, Source, register_dataset
from tests.conftest import Run
from tests.pictures import pets, picture

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))


def test_the_function_in_the_docs_is_a_data_set(tmp_path: Path, forgetkit: Run) -> None:
    text = PAGE.read_text()
    exec(text[text.index("# faces.py") :].partition("```")[0], {"__name__": "faces"})
    images = np.random.default_rng(0).integers(0, 256, (100, 1, 8, 8), np.uint8)
    np.save(tmp_path / "faces.npy", images)
    np.save(tmp_path / "smiles.npy", np.arange(100) % 2)
    (tmp_path / "people.txt").write_text("ann bob cyd dot " * 25)
    ran = forgetkit("forget-ids", "--dataset", "faces", "--data-root", tmp_path, "--where", "person=bob")
    assert ran.code == 0, ran.err
    assert {int(id_.removeprefix("face-")) % 4 for id_ in ran.lines} == {1}


def test_groups_are_put_aside_together() -> None:
    @register_dataset("scans")
    def scans(root: Path, *, download: bool) -> Source:
        labels = np.arange(300) % 2
        images = np.full((300, 1, 4, 4), labels[:, None, None, None], np.uint8)
        train = Split([f"scan-{row}" for row in range(300)], images, labels)
        return Source(("ill", "well"), train, groups=[f"patient-{row // 3}" for row in range(300)])

    dataset = open_dataset("scans", Path())
    patients = [{int(id_[5:]) // 3 for id_ in split.ids} for split in (dataset.train, dataset.test)]
    assert not patients[0] & patients[1]
    assert len(dataset.test) == 3 * len(patients[1]) > 20


def test_a_listing_of_files_is_read(tmp_path: Path) -> None:
    @register_dataset("shots")
    def shots(root: Path, *, download: bool) -> Source:
        files = [picture(root / f"{row}.png", row) for row in range(40)]
        names = [file.name for file in files]
        return Source(("a", "b"), Listing(names, np.arange(40) % 2, files, names, root))

    dataset = open_dataset("shots", tmp_path)
    first = [int(id_.partition(".")[0]) for id_ in dataset.test.ids]
    assert dataset.test.images[:, 0, 0, 0].tolist() == first


HOOK = """
import sys
from pathlib import Path
from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
for name in sys.argv[1:]:
    try:
        open_dataset(name, Path())
        print("read", name)
    except ForgetkitError:
        pass
print([name for name in opened if "secret" in name])
"""


def test_nothing_outside_its_folder_is_opened(tmp_path: Path) -> None:
    picture(tmp_path / "secret" / "6.png")
    names = []
    for number, text in enumerate(
        ("../../secret/6.png", "img/link.png", "linked/6.png", str(tmp_path / "secret/6.png"))
    ):
        path = pets(tmp_path / "sets" / str(number))
        path.write_text(path.read_text().replace("img/6.png", text))
        (path.parent / "img" / "link.png").symlink_to(tmp_path / "secret" / "6.png")
        (path.parent / "linked").symlink_to(tmp_path / "secret")
        names.append(f"table:{path}")
    ran = subprocess.run([sys.executable, "-c", HOOK, *names], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
