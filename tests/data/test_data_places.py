"""Where the file of ``arrays:FILE.npz`` is looked for, and that commands know it again."""

import os
from pathlib import Path

import numpy as np
import pytest

from forgetkit.data.dataset import Dataset
from forgetkit.data.find import find_dataset
from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note
from tests.conftest import Run
from tests.data.test_data_arrays import save


def test_a_missing_file_says_where_to_name_it(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset("arrays:gone.npz", tmp_path)
    assert caught.value.code == "dataset-missing"
    assert caught.value.message == f"arrays:gone.npz is not in {tmp_path}"
    assert "--dataset arrays:FOLDER/gone.npz" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["arrays:", "arrays:/"])
def test_a_name_without_a_file_is_told_the_form(name: str) -> None:
    with pytest.raises(ForgetkitError, match="names no file") as caught:
        open_dataset(name, Path())
    assert caught.value.hint == "for example: --dataset arrays:FILE.npz"


@pytest.mark.parametrize("name", ["arrays", "array:x.npz"])
def test_the_scheme_is_suggested(name: str) -> None:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset(name, Path())
    assert (caught.value.code, caught.value.hint) == ("dataset-unknown", "did you mean 'arrays:'?")


def opened(name: str, root: Path) -> Dataset:
    dataset = open_dataset(name, root)
    assert dataset.name == "arrays:tiny.npz"
    return dataset


def test_the_name_is_without_folders_wherever_the_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("arrays:here/tiny.npz", f"arrays:{tmp_path}/here/tiny.npz", "arrays:~/here/tiny.npz")
    found = {opened(name, Path("elsewhere")).fingerprint for name in names}
    assert found == {opened("arrays:tiny.npz", tmp_path / "here").fingerprint}


def test_the_data_root_comes_before_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "root")
    save(tmp_path / "here", labels=[1, 0, 1, 0, 1, 0])
    monkeypatch.chdir(tmp_path / "here")
    assert opened("arrays:tiny.npz", tmp_path / "root").train.labels.tolist() == [0, 0, 1, 1]
    assert opened("arrays:tiny.npz", tmp_path / "gone").train.labels.tolist() == [1, 1, 0, 0]
    assert opened("arrays:./tiny.npz", tmp_path / "root").train.labels.tolist() == [1, 1, 0, 0]


def test_a_file_counts_only_if_the_fingerprint_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "right")
    save(tmp_path / "wrong", labels=[1, 0, 1, 0, 1, 0])
    wanted = opened("arrays:tiny.npz", tmp_path / "right").fingerprint
    monkeypatch.chdir(tmp_path / "wrong")
    roots = [tmp_path / "gone", tmp_path / "wrong", tmp_path / "right"]
    told = list[Event]()
    assert find_dataset("arrays:tiny.npz", wanted, roots, tell=told.append).root == tmp_path / "right"
    assert any(isinstance(one, Note) and f"read from {tmp_path / 'right'}" in one.text for one in told)
    with pytest.raises(ForgetkitError, match=r"arrays:tiny\.npz in .*wrong is not the data set") as caught:
        find_dataset(f"arrays:{tmp_path}/wrong/tiny.npz", wanted, roots)
    assert caught.value.code == "checkpoint-mismatch"


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Return a file of 120 images of noise, 40 of them unseen."""
    source = np.random.default_rng(0)
    images, ids = source.integers(0, 256, (120, 8, 8), dtype=np.uint8), [f"img-{n:03}" for n in range(120)]
    split = np.arange(120) % 3 == 0
    return save(tmp_path / "sets", "noise.npz", images=images, labels=np.arange(120) % 4, split=split, id=ids)


def test_a_step_finds_the_file_again_and_knows_its_ids(forgetkit: Run, shapes: Path, tmp_path: Path) -> None:
    ran = forgetkit("train", "--dataset", "arrays:sets/noise.npz", "--epochs", 1, "--threads", 1, "-o", "m.st")
    assert ran.code == 0, ran.err
    assert forgetkit("inspect", "m.st", "--json").json["record"]["dataset"]["name"] == "arrays:noise.npz"
    assert str(tmp_path).encode() not in (tmp_path / "m.st").read_bytes()
    assert forgetkit("forget-ids", "m.st", "--class", "1", "--count", 3, "-o", "ids.txt").code == 0
    assert (tmp_path / "ids.txt").read_text().startswith("img-")
    (tmp_path / "wrong.txt").write_text("img-0001\n")
    assert "did you mean 'img-001'?" in forgetkit("forget-ids", "m.st", "--ids", "wrong.txt").err


def test_a_file_that_moved_beside_the_checkpoint_is_found(forgetkit: Run, shapes: Path, tmp_path: Path) -> None:
    assert forgetkit("train", "--dataset", f"arrays:{shapes}", "--epochs", 1, "--threads", 1, "-o", "a/m.st").code == 0
    shapes.rename(tmp_path / "a" / "noise.npz")
    assert forgetkit("forget-ids", "a/m.st", "--count", 1).code == 0
    (tmp_path / "a" / "noise.npz").rename(tmp_path / "moved.npz")
    assert forgetkit("forget-ids", "a/m.st", "--count", 1).code == 2
    assert forgetkit("forget-ids", "a/m.st", "--count", 1, "--dataset", "arrays:moved.npz").code == 0


def test_replicas_read_the_file_in_their_own_processes(forgetkit: Run, shapes: Path) -> None:
    arguments = ("--epochs", 1, "--replicas", 2, "--threads", 1, "-o", "r{n}.st")
    assert forgetkit("train", "--dataset", "arrays:./sets/noise.npz", *arguments).lines == ["r0.st", "r1.st"]


def test_4000_images_of_cifar_are_read_and_trained_on(forgetkit: Run) -> None:
    root = Path(os.environ.get("FORGETKIT_DATA", ""))
    if not (root / "cifar10-4000.npz").is_file():
        pytest.skip("needs cifar10-4000.npz: set FORGETKIT_DATA")
    ran = forgetkit("train", "--dataset", "arrays:cifar10-4000.npz", "--epochs", 1, "--threads", 1, "-o", "m.st")
    assert "3000 samples of arrays:cifar10-4000.npz" in ran.err
    record = forgetkit("inspect", "m.st", "--json").json["record"]
    assert record["classes"][:2] == ["airplane", "automobile"]
    assert record["input"]["shape"] == [3, 32, 32]
