"""The pack: image files are decoded once, and what is kept of them is what they are."""

import os
import shutil
import threading
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.data.readers import images
from forgetkit.events import Event, Progress
from tests.pictures import pets, picture

T = TypeVar("T")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "forgetkit"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of images that are decoded from now on, by name."""
    seen: list[str] = []
    read = images._read

    def watched(file: Path, place: str, root: Path, known: tuple[images.Shape, str] | None) -> np.ndarray:
        seen.append(file.name)
        return read(file, place, root, known)

    monkeypatch.setattr(images, "_read", watched)
    return seen


def opened(root: Path) -> Dataset:
    return open_dataset("table:pets.csv", root)


def packs(cache: Path) -> list[Path]:
    return sorted((cache / "packs").glob("*.npy"))


def test_the_pack_is_an_npy_file_training_split_first(tmp_path: Path, cache: Path) -> None:
    pets(tmp_path / "a")
    dataset = opened(tmp_path / "a")
    (path,) = packs(cache)
    held = np.load(path, allow_pickle=False)
    assert (held == np.concatenate([dataset.train.images, dataset.test.images])).all()
    assert isinstance(dataset.train.images, np.memmap)
    dataset.train.images[:] = 0
    assert (np.load(path) == held).all()


def test_the_second_command_decodes_nothing(tmp_path: Path, decoded: list[str]) -> None:
    pets(tmp_path / "a")
    first = opened(tmp_path / "a")
    assert set(decoded) == {f"{row}.png" for row in range(10)}
    decoded.clear()
    second = opened(tmp_path / "a")
    assert decoded == []
    assert (second.fingerprint, second.train.images.tolist()) == (first.fingerprint, first.train.images.tolist())


def test_the_fingerprint_does_not_know_the_pack(tmp_path: Path, cache: Path) -> None:
    pets(tmp_path / "a")
    first = opened(tmp_path / "a").fingerprint
    assert opened(tmp_path / "a").fingerprint == first
    shutil.rmtree(cache)
    assert opened(tmp_path / "a").fingerprint == first


def test_a_changed_image_replaces_the_pack(tmp_path: Path, cache: Path) -> None:
    pets(tmp_path / "a")
    first = opened(tmp_path / "a")
    (before,) = packs(cache)
    picture(tmp_path / "a" / "img" / "0.png", 77)
    second = opened(tmp_path / "a")
    (after,) = packs(cache)
    assert before != after
    assert second.fingerprint != first.fingerprint
    assert second.train.images[0, 0, 0, 0] == 77


def test_rows_taken_out_of_the_table_do_not_live_on_in_the_pack(tmp_path: Path, cache: Path) -> None:
    path = pets(tmp_path / "a")
    opened(tmp_path / "a")
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.endswith("u0\n")))
    kept = opened(tmp_path / "a")
    (only,) = packs(cache)
    assert len(np.load(only)) == len(kept.train) + len(kept.test) == 6


@pytest.mark.parametrize("where", [200, 10, -1])
def test_a_damaged_pack_is_made_again(tmp_path: Path, cache: Path, decoded: list[str], where: int) -> None:
    pets(tmp_path / "a")
    first = opened(tmp_path / "a")
    (path,) = packs(cache)
    content = bytearray(path.read_bytes())
    content[where] ^= 255
    path.write_bytes(content)
    decoded.clear()
    assert opened(tmp_path / "a").train.images.tolist() == first.train.images.tolist()
    assert len(decoded) > 0


def test_a_pack_cut_short_is_made_again(tmp_path: Path, cache: Path) -> None:
    pets(tmp_path / "a")
    first = opened(tmp_path / "a").train.images.tolist()
    (path,) = packs(cache)
    os.truncate(path, 150)
    assert opened(tmp_path / "a").train.images.tolist() == first


def test_a_pack_that_was_copied_counts_by_its_content(tmp_path: Path, cache: Path, decoded: list[str]) -> None:
    pets(tmp_path / "a")
    opened(tmp_path / "a")
    (path,) = packs(cache)
    path.write_bytes(path.read_bytes())
    decoded.clear()
    opened(tmp_path / "a")
    assert decoded == []


def test_a_cache_that_takes_no_file_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    pets(tmp_path / "a")
    dataset = opened(tmp_path / "a")
    assert dataset.train.images[3].reshape(-1).tolist() == list(range(5, 17))


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    pets(tmp_path / "a")
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    assert len(opened(tmp_path / "a").train) == 6
    assert not list((tmp_path / "cache" / "forgetkit" / "packs").iterdir())


def test_progress_is_told(tmp_path: Path) -> None:
    said: list[Event] = []
    pets(tmp_path / "a")
    open_dataset("table:pets.csv", tmp_path / "a", tell=said.append)
    assert Progress("reading the images of table:pets.csv", 10, 10) in said


@pytest.mark.slow
def test_twenty_thousand_pictures_are_decoded_side_by_side_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rows = pets(tmp_path / "a", 20_000, size=(16, 16)), np.arange(20_000)
    threads: set[int] = set()
    read = images._read
    monkeypatch.setattr(images, "available_cores", lambda: 2)
    monkeypatch.setattr(images, "_read", lambda *one: (threads.add(threading.get_ident()), read(*one))[1])
    first = opened(path.parent)
    assert len(threads - {threading.get_ident()}) == 2
    monkeypatch.setattr(images, "_read", None)  # what is decoded now, fails
    second = opened(path.parent)
    assert isinstance(second.train.images, np.memmap)
    assert (second.train.images[:, 0, 0, 0] == rows[rows % 5 < 3].astype(np.uint8)).all()
    assert (len(second.train), len(second.test), second.fingerprint) == (12_000, 8_000, first.fingerprint)


def test_the_folder_of_packs_is_the_users_own(tmp_path: Path, cache: Path) -> None:
    pets(tmp_path / "a")
    opened(tmp_path / "a")
    assert (cache / "packs").stat().st_mode & 0o777 == 0o700
