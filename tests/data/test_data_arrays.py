"""``arrays:FILE.npz``: a data set as NumPy arrays."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from forgetkit.data.open import open_dataset
from forgetkit.data.readers import npz
from forgetkit.data.readers.arrays import read_arrays
from forgetkit.errors import ForgetkitError

IMAGES = np.arange(6 * 4 * 5 * 3, dtype=np.uint16).astype(np.uint8).reshape(6, 4, 5, 3)
SPLIT = ["train", "test", "train", "train", "test", "train"]


def save(folder: Path, name: str = "tiny.npz", **changed: object) -> Path:
    """Write six colour images of two classes; a changed array that is None is left out."""
    arrays = {"images": IMAGES, "labels": np.array([0, 1, 0, 1, 0, 1]), "split": np.array(SPLIT)} | changed
    folder.mkdir(exist_ok=True)
    np.savez(folder / name, **{key: np.asarray(value) for key, value in arrays.items() if value is not None})
    return folder / name


def refusal(path: Path) -> ForgetkitError:
    with pytest.raises(ForgetkitError) as caught:
        open_dataset(f"arrays:{path}", Path("nowhere"))
    assert caught.value.hint
    return caught.value


def defect(path: Path) -> str:
    problem = refusal(path)
    assert problem.code == "dataset-malformed"
    assert problem.message.startswith(f"{path}: ")
    return problem.message


def test_images_come_out_channels_first_in_the_order_of_the_file(tmp_path: Path) -> None:
    save(tmp_path)
    dataset = open_dataset("arrays:tiny.npz", tmp_path)
    assert dataset.shape == (3, 4, 5)
    assert dataset.train.ids == ["0", "2", "3", "5"]
    assert dataset.test.ids == ["1", "4"]
    assert dataset.test.labels.tolist() == [1, 0]
    assert dataset.train.images[1, 2, 3, 4] == IMAGES[2, 3, 4, 2]
    assert dataset.train.images.flags.c_contiguous


def test_grey_images_get_one_channel(tmp_path: Path) -> None:
    path = save(tmp_path, images=IMAGES[:, :, :, 0])
    train = open_dataset(f"arrays:{path}", Path()).train
    assert train.images.shape == (4, 1, 4, 5)
    assert (train.images[3, 0] == IMAGES[5, :, :, 0]).all()


def test_classes_have_names_else_their_numbers(tmp_path: Path) -> None:
    assert read_arrays(save(tmp_path)).classes == ("0", "1")
    assert read_arrays(save(tmp_path, classes=["cat", "dog", "eel"])).classes == ("cat", "dog", "eel")
    assert read_arrays(save(tmp_path, classes=np.array([b"cat", "süß".encode()]))).classes == ("cat", "süß")


@pytest.mark.parametrize("ids", [["a", "b", "ç", "d d", "e", "f"], [b"a", b"b", "ç".encode(), b"d d", b"e", b"f"]])
def test_ids_may_be_text_or_bytes(tmp_path: Path, ids: list[Any]) -> None:
    dataset = open_dataset(f"arrays:{save(tmp_path, id=ids)}", tmp_path)
    assert (dataset.train.ids, dataset.test.ids) == (["a", "ç", "d d", "f"], ["b", "e"])


def test_ids_may_be_numbers(tmp_path: Path) -> None:
    assert read_arrays(save(tmp_path, id=[70, 60, 50, 40, 30, -20])).train.ids == ["70", "50", "40", "-20"]


@pytest.mark.parametrize("split", [[0, 1, 0, 0, 1, 0], [False, True, False, False, True, False], [b"train", b"test"]])
def test_the_split_may_be_numbers_truth_values_or_bytes(tmp_path: Path, split: list[Any]) -> None:
    split = split if len(split) == 6 else [split[text == "test"] for text in SPLIT]
    assert open_dataset(f"arrays:{save(tmp_path, split=split)}", tmp_path).test.ids == ["1", "4"]


def distinct(count: int) -> NDArray[np.uint8]:
    """Return grey images of 2 × 2 pixels, each of its own."""
    return np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 2, 2)


def many(folder: Path, ids: list[str]) -> tuple[set[str], set[str]]:
    """Return the ids of both splits of a file without a split."""
    count = len(ids)
    path = save(folder, images=distinct(count), labels=np.arange(count) % 2, split=None, id=ids)
    dataset = open_dataset(f"arrays:{path}", folder)
    return set(dataset.train.ids), set(dataset.test.ids)


def test_without_a_split_a_fifth_is_unseen(tmp_path: Path) -> None:
    train, test = many(tmp_path, [f"x{n}" for n in range(5000)])
    assert len(train | test) == 5000
    assert abs(len(test) - 1000) < 4 * np.sqrt(5000 * 0.2 * 0.8)


def test_without_a_split_each_id_stays_where_it_is_when_others_go(tmp_path: Path) -> None:
    ids = [f"x{n}" for n in range(300)]
    train, test = many(tmp_path, ids)
    fewer_train, fewer_test = many(tmp_path, ids[100:][::-1])
    assert (fewer_train, fewer_test) == (train & set(ids[100:]), test & set(ids[100:]))


def test_the_unseen_fifth_falls_into_both_halves(tmp_path: Path) -> None:
    save(tmp_path, images=distinct(1000), labels=np.arange(1000) % 2, split=None)
    dataset = open_dataset("arrays:tiny.npz", tmp_path)
    assert 60 < len(dataset.check_rows) < len(dataset.test) - 60


@pytest.mark.parametrize("name", ["{}_images {}_labels", "x_{} y_{}", "X_{} y_{}", "{}_data {}_targets"])
def test_the_names_of_other_tools_are_read(tmp_path: Path, name: str) -> None:
    """As Keras, scikit-learn and MedMNIST name arrays; the latter has validation images, and labels in a column."""
    images, labels = distinct(9), np.arange(9)[:, None] % 3
    parts = {"test": slice(4, 6), "val": slice(6, 9), "train": slice(4)}
    pairs = [(name.format(part, part).split(), rows) for part, rows in parts.items()]
    arrays = {key: whole[rows] for keys, rows in pairs for key, whole in zip(keys, (images, labels), strict=True)}
    np.savez(tmp_path / "other.npz", **arrays)
    dataset = open_dataset("arrays:other.npz", tmp_path)
    assert (dataset.train.images[:, 0] == images[:4]).all()
    assert (dataset.test.images[:, 0] == images[4:]).all()
    assert (dataset.train.labels.tolist(), dataset.test.labels.tolist()) == ([0, 1, 2, 0], [1, 2, 0, 1, 2])
    assert (dataset.train.ids, dataset.test.ids) == (["0", "1", "2", "3"], ["4", "5", "6", "7", "8"])


@pytest.mark.parametrize("names", ["X y", "x y", "data target", "image label", "train_images train_labels"])
def test_names_without_a_test_split_leave_a_fifth_unseen(tmp_path: Path, names: str) -> None:
    arrays = dict(zip(names.split(), (distinct(100), np.arange(100) % 2), strict=True))
    np.savez(tmp_path / "other.npz", **arrays)
    dataset = open_dataset("arrays:other.npz", tmp_path)
    assert (len(dataset.train) + len(dataset.test), dataset.options) == (100, {"unseen": 0.2})


def test_large_images_of_several_arrays_are_read_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3), np.uint8), np.arange(9) % 3
    arrays = {"x_test": images[4:], "y_test": labels[4:], "x_train": images[:4], "y_train": labels[:4]}
    np.savez_compressed(tmp_path / "other.npz", **arrays)
    small = open_dataset("arrays:other.npz", tmp_path)
    monkeypatch.setattr(npz, "LARGE", 1)
    large = open_dataset("arrays:other.npz", tmp_path)
    assert isinstance(large.train.images, np.memmap)
    assert (large.train.images == small.train.images).all()
    assert (large.test.images == images[4:].transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(
    ("kind", "values", "cure"),
    [
        ("float32", [0, 0.5, 1], "(images * 255).round().astype('uint8')"),
        ("bool", [0, 1, 1], "(images * 255).round().astype('uint8')"),
        ("float64", [0, 7, 255], "images.round().astype('uint8')"),
        ("int64", [0, 7, 255], "images.round().astype('uint8')"),
        ("uint16", [0, 257, 65535], "(images // 257).astype('uint8')"),
        ("float32", [-1, 0, 1], "((images + 1) * 127.5).round().astype('uint8')"),
        ("float32", [-2.1, 0, 2.6], "undo what changed their range, then round() and astype('uint8')"),
    ],
)
def test_the_cure_for_pixels_of_another_type_fits_their_range(
    tmp_path: Path, kind: str, values: list[float], cure: str
) -> None:
    images = np.array(values, kind).repeat(40).reshape(6, 4, 5)
    assert refusal(save(tmp_path, images=images)).hint == f"save pixels from 0 to 255: {cure}"
    if cure.startswith(("(", "images")):
        pixels = eval(cure, {"images": images})
        assert (pixels.min(), pixels.max()) == (0, 255)


def test_arrays_of_two_splits_must_be_alike(tmp_path: Path) -> None:
    arrays = {
        "x_train": distinct(4),
        "y_train": [0, 1, 0, 1],
        "x_test": np.zeros((2, 3, 3), np.uint8),
        "y_test": [0, 1],
    }
    np.savez(tmp_path / "other.npz", **arrays)
    assert "'x_test' is uint8 of shape (2, 3, 3), 'x_train' uint8 of shape (4, 2, 2)" in defect(tmp_path / "other.npz")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"images": None}, "no images for 'labels', only labels, split"),
        ({"labels": None}, "no labels for 'images', only images, split"),
        ({"images": None, "labels": None, "kinds": [0]}, "no images and labels to train on, only split, kinds"),
        ({"images": None, "X": IMAGES, "data": IMAGES}, "'X' and 'data' may both be the images"),
        ({"images": None, "test_images": IMAGES}, "no images and labels to train on, only labels, split, test_images"),
        ({"images": IMAGES.astype(float)}, "'images' are float64, not uint8"),
        ({"images": IMAGES[0, 0]}, "'images' have shape (5, 3)"),
        ({"images": IMAGES[:0]}, "'images' have shape (0, 4, 5, 3)"),
        ({"images": IMAGES.transpose(0, 3, 1, 2)}, "look channels-first"),
        ({"labels": ["a"] * 6}, "'labels' are <U1, not whole numbers"),
        ({"labels": [0, 1]}, "'labels' has shape (2,), but there are 6 images"),
        ({"labels": np.eye(6, dtype=int)}, "'labels' has shape (6, 6)"),
        ({"labels": [0, 1, 0, -1, 0, 1]}, "'labels' hold -1 in row 3"),
        ({"labels": np.array([0, 1, 0, 1, 0, 2**64 - 1], np.uint64)}, "'labels' hold 18446744073709551615 in row 5"),
        ({"labels": [0, 1, 0, 2, 0, 1], "classes": ["a", "b"]}, "'labels' hold 2 in row 3, but there are 2 'classes'"),
        ({"classes": ["a", "a"]}, "'classes' are 1 different names"),
        ({"classes": [1, 2]}, "'classes' are int64"),
        ({"split": ["train"] * 5}, "'split' has shape (5,)"),
        ({"split": ["train"] * 5 + ["fold"]}, "'split' holds 'fold' in row 5"),
        ({"split": [0, 1, 0, 0, 1, 2]}, "'split' holds '2' in row 5"),
        ({"split": ["train"] * 6}, "no test samples among 6"),
        ({"split": ["test"] * 6}, "no training samples among 6"),
        ({"id": [0.5] * 6}, "'id' is float64"),
        ({"id": ["a"] * 5}, "'id' has shape (5,)"),
        ({"id": ["a", "b", "c", "b", "e", "b"]}, "row 3: the id 'b' is in"),
        ({"id": ["a", "b", "", "d", "e", "f"]}, "row 2: '' cannot be an id"),
        ({"id": ["a", "b", "c ", "d", "e", "f"]}, "row 2: 'c ' cannot be an id"),
        ({"id": ["a", "b", "c\nd", "d", "e", "f"]}, "row 2: 'c\\nd' cannot be an id"),
        ({"id": ["a", "b", "#c", "d", "e", "f"]}, "row 2: '#c' cannot be an id"),
        ({"id": ["a", "b", "c\td", "d", "e", "f"]}, "row 2: 'c\\td' cannot be an id"),
        ({"id": ["a", "b", "c" * 2000, "d", "e", "f"]}, "cannot be an id"),
    ],
)
def test_every_defect_is_named_with_its_cure(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    assert words in defect(save(tmp_path, **changed))


def test_a_text_that_is_not_utf8_is_malformed(tmp_path: Path) -> None:
    assert "not UTF-8" in defect(save(tmp_path, id=[b"\xff", b"b", b"c", b"d", b"e", b"f"]))
    assert "not UTF-8" in defect(save(tmp_path, id=["\ud800", "b", "c", "d", "e", "f"]))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "trap.npz", images=IMAGES, labels=np.array([Trap()] * 6, dtype=object))
    assert "not readable as .npz" in defect(tmp_path / "trap.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"PK\3\4" + b"\0" * 99, b"\x93NUMPY", b"\x80\4K\1.", b"text"])
def test_a_file_of_another_kind_is_malformed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tiny.npz").write_bytes(content)
    assert "not readable as .npz" in defect(tmp_path / "tiny.npz")


def test_a_single_array_is_malformed(tmp_path: Path) -> None:
    np.save(tmp_path / "tiny.npy", IMAGES)
    assert "a single array" in defect(tmp_path / "tiny.npy")


@settings(max_examples=200)
@given(cut=st.integers(0, 10**6), at=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_a_damaged_file_is_malformed_or_read_whole(
    cut: int, at: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = save(tmp_path_factory.mktemp("damaged"))
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= byte
    path.write_bytes(content[: len(content) - (cut % len(content)) // 2])
    with suppress(ForgetkitError):
        dataset = open_dataset(f"arrays:{path}", path.parent)
        assert len(dataset.train) + len(dataset.test) == 6


def test_a_class_with_a_control_character_is_refused(tmp_path: Path) -> None:
    problem = refusal(save(tmp_path, classes=["cat", "d\x1bog"]))
    assert problem.message == "arrays:tiny.npz: 'd\\x1bog' cannot be the name of a class"
