"""Data sets: what they hold, how they are known, where they are found."""

import hashlib
import json
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from forgetkit.data.dataset import Dataset, Split, fingerprint_of
from forgetkit.data.find import find_dataset
from forgetkit.data.open import default_root, open_dataset
from forgetkit.data.sources import DATASETS, Source, register_dataset, split_of
from forgetkit.errors import ForgetkitError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a cache of this test's own; no test here reaches the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(socket, "socket", None)
    return tmp_path / "cache" / "forgetkit" / "datasets.json"


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[str]:
    """Register a data set of four samples that stands in a file ``toy.bin`` of four bytes."""

    @register_dataset("toy")
    def read(root: Path, *, download: bool) -> Source:
        pixels = np.frombuffer((root / "toy.bin").read_bytes(), np.uint8).reshape(4, 1, 1, 1)
        half = Split(["0", "1", "2", "3"], pixels, np.array([0, 1, 0, 1]))
        return Source(("a", "b"), half, half, (root / "toy.bin",))

    yield "toy"
    del DATASETS._entries["toy"]


def toy_root(folder: Path, content: bytes = b"abcd") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "toy.bin").write_bytes(content)
    return folder


def refusal(name: str, root: Path, code: str) -> ForgetkitError:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset(name, root)
    assert caught.value.code == code
    return caught.value


def fingerprint_by_hand(dataset: Dataset) -> str:
    shape = list(dataset.train.images.shape[1:])
    content = json.dumps([list(dataset.classes), shape], separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    for split in (dataset.train, dataset.test):
        content += b"".join(id_.encode() + b"\n" for id_ in split.ids)
        content += b"".join(struct.pack("<q", label) for label in split.labels.tolist())
        content += split.images.tobytes()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return open_dataset("digits", Path("/nowhere"))


def test_digits_has_1297_and_500_images_of_8_by_8(digits: Dataset) -> None:
    assert digits.train.images.shape == (1297, 1, 8, 8)
    assert digits.test.images.shape == (500, 1, 8, 8)
    assert digits.shape == (1, 8, 8)
    assert digits.classes == tuple("0123456789")


def test_digits_are_those_of_scikit_learn_each_once(digits: Dataset) -> None:
    from sklearn.datasets import load_digits

    theirs = load_digits()
    order = np.random.RandomState(0).permutation(1797)
    images = np.concatenate([digits.train.images, digits.test.images]).reshape(1797, 64)
    labels = np.concatenate([digits.train.labels, digits.test.labels])
    assert (images == theirs.data[order]).all()
    assert (labels == theirs.target[order]).all()


def test_digits_has_no_image_in_both_splits(digits: Dataset) -> None:
    train, test = ({image.tobytes() for image in split.images} for split in (digits.train, digits.test))
    assert not train & test


def test_ids_of_digits_are_the_row_numbers(digits: Dataset) -> None:
    assert digits.train.ids == [str(row) for row in range(1297)]
    assert digits.train.row_of["1296"] == 1296
    assert digits.train.ids_at(np.array([5, 3])) == ["5", "3"]


def test_the_fingerprint_is_the_sha256_of_everything_in_order(digits: Dataset) -> None:
    assert digits.fingerprint == fingerprint_by_hand(digits)


def test_tune_and_check_halves_follow_the_hash_of_the_id(digits: Dataset) -> None:
    bits = [hashlib.blake2b(str(row).encode()).digest()[0] % 2 for row in range(500)]
    assert digits.tune_rows.tolist() == [row for row in range(500) if bits[row] == 0]
    assert digits.check_rows.tolist() == [row for row in range(500) if bits[row] == 1]


def test_every_part_of_a_data_set_changes_its_fingerprint() -> None:
    def split(ids: str = "xy", pixel: int = 0, label: int = 0) -> Split:
        return Split(list(ids), np.full((2, 1, 2, 2), pixel, np.uint8), np.array([0, label]))

    found = [fingerprint_of(classes, split(), split()) for classes in (("a", "b"), ("b", "a"), ("a",))]
    for other in (split("yx"), split(pixel=1), split(label=1)):
        found += [fingerprint_of("ab", other, split()), fingerprint_of("ab", split(), other)]
    assert len(set(found)) == len(found)


def test_a_fingerprint_does_not_see_how_the_arrays_lie_in_memory() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 1, 3, 4)
    one = Split(["0", "1"], images, np.array([0, 1]))
    other = Split(["0", "1"], np.asfortranarray(images), np.array([0, 1], dtype=">i8"))
    assert fingerprint_of("ab", one, one) == fingerprint_of("ab", other, other)


def test_a_cached_fingerprint_counts_while_the_file_is_unchanged(toy: str, tmp_path: Path, cache: Path) -> None:
    root = toy_root(tmp_path / "a")
    true = open_dataset(toy, root).fingerprint
    cache.write_text(cache.read_text().replace(true, "ab" * 32))
    assert open_dataset(toy, root).fingerprint == "ab" * 32
    assert open_dataset(toy, toy_root(root, b"abcd")).fingerprint == true


def test_a_cached_fingerprint_that_is_none_is_taken_again(toy: str, tmp_path: Path, cache: Path) -> None:
    true = open_dataset(toy, root := toy_root(tmp_path / "a")).fingerprint
    cache.write_text(cache.read_text().replace(true, "planted"))
    assert open_dataset(toy, root).fingerprint == true


def test_a_cached_fingerprint_goes_with_the_file_even_when_its_time_is_put_back(toy: str, tmp_path: Path) -> None:
    import os

    root = toy_root(tmp_path / "a")
    before, times = open_dataset(toy, root).fingerprint, (root / "toy.bin").stat()
    toy_root(root, b"abce")
    os.utime(root / "toy.bin", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert open_dataset(toy, root).fingerprint != before


def test_a_change_within_a_tick_of_the_clock_is_seen(toy: str, tmp_path: Path) -> None:
    for turn in range(10):
        for content in (b"ab%02d" % turn, b"cd%02d" % turn):
            dataset = open_dataset(toy, toy_root(tmp_path / "a", content))
            assert dataset.fingerprint == fingerprint_by_hand(dataset)


def test_a_file_that_changes_after_it_was_read_is_read_again(tmp_path: Path) -> None:
    contents = [b"abcf", b"abce"]

    @register_dataset("toy")
    def read(root: Path, *, download: bool) -> Source:
        pixels = np.frombuffer((root / "toy.bin").read_bytes(), np.uint8).reshape(4, 1, 1, 1)
        half = Split(["0", "1", "2", "3"], pixels, np.array([0, 1, 0, 1]))
        if contents:
            toy_root(root, contents.pop())
        return Source(("a", "b"), half, half, (root / "toy.bin",))

    try:
        dataset = open_dataset("toy", toy_root(tmp_path / "a"))
        assert dataset.train.images.tobytes() == b"abcf"
        assert open_dataset("toy", tmp_path / "a").fingerprint == fingerprint_by_hand(dataset)
    finally:
        del DATASETS._entries["toy"]


@pytest.mark.parametrize("content", ["", "[]", '{"seen": 5}', '{"seen": {"f": 5}}', "{}", "\0", "[" * 9999])
def test_a_broken_cache_is_no_error(toy: str, tmp_path: Path, cache: Path, content: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    dataset = open_dataset(toy, toy_root(tmp_path / "a"))
    assert dataset.fingerprint == fingerprint_by_hand(dataset)


def test_a_cache_that_cannot_be_written_is_no_error(toy: str, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert len(open_dataset(toy, toy_root(tmp_path / "a")).train) == 4


def test_a_data_set_is_found_where_it_was_last_seen(toy: str, tmp_path: Path) -> None:
    seen = open_dataset(toy, toy_root(tmp_path / "a"))
    assert find_dataset(toy, seen.fingerprint, [tmp_path / "b"]).fingerprint == seen.fingerprint


def test_the_root_with_the_right_fingerprint_counts(toy: str, tmp_path: Path) -> None:
    roots = [toy_root(tmp_path / "a"), toy_root(tmp_path / "b", b"efgh")]
    wanted = open_dataset(toy, roots[1]).fingerprint
    assert find_dataset(toy, wanted, roots).train.images.tobytes() == b"efgh"


def test_another_data_set_of_that_name_is_a_mismatch(toy: str, tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match="its fingerprint differs") as caught:
        find_dataset(toy, "0" * 64, [tmp_path / "b", toy_root(tmp_path / "a")])
    assert caught.value.code == "checkpoint-mismatch"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"])
def test_a_missing_data_set_says_what_to_type(tmp_path: Path, name: str) -> None:
    problem = refusal(name, tmp_path, "dataset-missing")
    assert problem.message == f"{name} is not in {tmp_path}"
    assert f"--dataset {name} --download" in (problem.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_an_unknown_data_set_is_told_the_nearest(tmp_path: Path) -> None:
    assert refusal("minst", tmp_path, "dataset-unknown").hint == "did you mean 'mnist'?"


def test_the_root_is_the_variable_else_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/d")
    monkeypatch.setenv("FORGETKIT_DATA", "")
    assert default_root() == Path("/d/forgetkit")
    monkeypatch.setenv("FORGETKIT_DATA", "/here")
    assert default_root() == Path("/here")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def small_mnist(root: Path, name: str = "MNIST", *, train: int = 6, labels: int = 6) -> Path:
    """Write a set in the layout of MNIST with ``train`` images and ``labels`` labels."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for part, images, count in (("train", train, labels), ("t10k", 3, 3)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(np.arange(images * 784).reshape(images, 28, 28) % 256))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count) % 10))
    return raw


def test_an_mnist_file_keeps_its_order(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    train = open_dataset("mnist", tmp_path).train
    assert train.images[5].reshape(-1).tolist() == [pixel % 256 for pixel in range(5 * 784, 6 * 784)]
    assert train.labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"\0\0\x08\x03", b"\0\0\xff\x03" * 9, b"\0\0\x0d\x03" * 99, b"\x1f\x8b"]
)
@pytest.mark.parametrize("part", ["train-images-idx3", "t10k-labels-idx1"])
def test_a_broken_mnist_file_is_malformed(tmp_path: Path, content: bytes, part: str) -> None:
    (small_mnist(tmp_path) / f"{part}-ubyte").write_bytes(content)
    refusal("mnist", tmp_path, "dataset-malformed")


def test_images_without_labels_are_malformed(tmp_path: Path) -> None:
    small_mnist(tmp_path, labels=5)
    assert "6 images, but 5 labels" in refusal("mnist", tmp_path, "dataset-malformed").message


def test_an_old_pickle_of_mnist_is_not_read(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    (tmp_path / "MNIST" / "processed").mkdir()
    for name in ("training.pt", "test.pt"):
        torch.save((torch.zeros(2, 28, 28, dtype=torch.uint8), torch.zeros(2)), tmp_path / "MNIST/processed" / name)
    assert len(open_dataset("mnist", tmp_path).train) == 6


def test_mnist_is_mnist(mnist_root: Path) -> None:
    dataset = open_dataset("mnist", mnist_root)
    assert (dataset.train.images.shape, dataset.test.images.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    raw = (mnist_root / "MNIST/raw/train-images-idx3-ubyte").read_bytes()
    assert hashlib.sha256(dataset.train.images).digest() == hashlib.sha256(raw[16:]).digest()
    assert np.bincount(dataset.train.labels).tolist()[:3] == [5923, 6742, 5958]
    assert dataset.train.ids[59999] == "59999"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_files_of_mnist_are_read_as_torchvision_reads_them(tmp_path: Path, name: str) -> None:
    from torchvision import datasets

    kind = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[name]
    small_mnist(tmp_path, kind)
    ours, theirs = open_dataset(name, tmp_path), getattr(datasets, kind)(str(tmp_path))
    assert ours.classes == tuple(theirs.classes)
    assert (ours.train.images[:, 0] == theirs.data.numpy()).all()
    assert (ours.train.labels == theirs.targets.numpy()).all()


def test_mnist_is_read_without_torch(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    code = "import sys, pathlib; from forgetkit.data.open import open_dataset; open_dataset('mnist', pathlib.Path());"
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], cwd=tmp_path, check=True)


def test_fashion_mnist_is_read_from_its_own_folder(tmp_path: Path) -> None:
    small_mnist(tmp_path, "FashionMNIST")
    dataset = open_dataset("fashion-mnist", tmp_path)
    assert dataset.classes[9] == "Ankle boot"
    assert len(dataset.train) == 6


def test_the_same_pixels_under_other_classes_are_another_data_set(tmp_path: Path) -> None:
    small_mnist(tmp_path)
    shutil.copytree(tmp_path / "MNIST", tmp_path / "FashionMNIST")
    assert open_dataset("mnist", tmp_path).fingerprint != open_dataset("fashion-mnist", tmp_path).fingerprint


def test_the_layout_of_cifar_is_turned_to_channels_first() -> None:
    data = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    split = split_of(SimpleNamespace(data=data, targets=[7, 1]))
    assert split.images.shape == (2, 3, 4, 4)
    assert split.images[1, 2, 3, 0] == data[1, 3, 0, 2]
    assert split.images.flags.c_contiguous
    assert (split.ids, split.labels.tolist()) == (["0", "1"], [7, 1])


def test_the_layout_of_svhn_is_kept() -> None:
    data = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    split = split_of(SimpleNamespace(data=data, labels=np.array([7, 1])))
    assert (split.images == data).all()
    assert split.labels.dtype == np.int64


def test_the_layout_of_mnist_gets_a_channel() -> None:
    data = torch.arange(2 * 4 * 4, dtype=torch.uint8).reshape(2, 4, 4)
    split = split_of(SimpleNamespace(data=data, targets=torch.tensor([7, 1])))
    assert (split.images == data.numpy()[:, None]).all()
