"""``arrays:FILE.npz``: a data set as NumPy arrays, read and checked."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Split, row_numbers
from forgetkit.data.listing import TRAIN, UNSEEN, Source, Stored, check_ids, malformed
from forgetkit.data.readers.npz import load_arrays
from forgetkit.errors import shorten

Array = NDArray[Any]
MOST_CLASSES = 100_000


def read_arrays(path: Path) -> Source:
    """Return the data set in an ``.npz`` file; nothing in it is unpickled.

    ``images`` is uint8 of shape ``(rows, height, width)`` or ``(rows, height, width, channels)``, ``labels`` are whole
    numbers from 0. Optional: ``split`` (``train`` or ``test``, or 0 or 1), ``id`` (unique), ``classes`` (names).
    Without ``id``, ids are row numbers; without ``classes``, classes are ``0``, ``1``, …. Other names in use, such as
    ``x_train``, ``y_train``, ``x_test``, ``y_test``, are read as well; ids are then row numbers through all splits,
    training split first. Large images are left in the file.

    Raises:
        FileNotFoundError: no such file.
        PermissionError: it may not be read.
        ForgetkitError: ``dataset-malformed``.
    """
    arrays = load_arrays(path)
    found, names = arrays.found, arrays.names
    try:
        images = _images(found["images"], names["images"])
        labels = _labels(found["labels"], names["labels"], len(images))
        classes = _classes(found.get("classes"), labels)
        ids = _ids(found.get("id"), len(images))
        unseen = _unseen(found.get("split"), len(ids))
    except _Defect as problem:
        raise malformed(path, *problem.args) from problem
    check_ids(ids, lambda row: f"{path}: row {row}")
    whole: Split | Stored = Split(ids, images, labels)
    if arrays.decode:
        channels, height, width = images.shape[1:]
        whole = Stored(ids, labels, np.arange(len(ids)), (channels, height, width), arrays.decode)
    source = Source(classes, whole, files=[path], numbered="id" not in found)
    return source if unseen is None else source.divided(unseen)


class _Defect(Exception):
    """A fault of an array, and what to do about it."""


def _images(images: Array, name: str) -> NDArray[np.uint8]:
    """Return images as ``(rows, channels, height, width)``."""
    if images.dtype != np.uint8:
        raise _Defect(f"'{name}' are {images.dtype}, not uint8", f"save pixels from 0 to 255: {_as_pixels(images)}")
    if images.ndim not in (3, 4) or 0 in images.shape:
        hint = "a grey image is height × width, a colour image height × width × channels"
        raise _Defect(f"'{name}' have shape {images.shape}", hint)
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] <= 4 < images.shape[3]:
        raise _Defect(f"'{name}' of shape {images.shape} look channels-first", "save images.transpose(0, 2, 3, 1)")
    return images.transpose(0, 3, 1, 2)


def _as_pixels(images: Array) -> str:
    """Return how to convert images to pixels from 0 to 255, judging by the range of their values."""
    if images.dtype.kind in "biuf" and images.size:
        low, high = float(images.min()), float(images.max())
        if low >= 0 and high <= 1:
            return "(images * 255).round().astype('uint8')"
        if low >= 0 and high <= 255:
            return "images.round().astype('uint8')"
        if images.dtype == np.uint16:
            return "(images // 257).astype('uint8')"
        if low >= -1 and high <= 1:
            return "((images + 1) * 127.5).round().astype('uint8')"
    return "undo what changed their range, then round() and astype('uint8')"


def _labels(labels: Array, name: str, rows: int) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer):
        raise _Defect(f"'{name}' are {labels.dtype}, not whole numbers", "number the classes from 0; names: 'classes'")
    if labels.ndim == 2 and len(labels) == rows:
        hint = f"save one class per image; of one-hot rows: {name}.argmax(1)"
        raise _Defect(f"'{name}' has shape {labels.shape}", hint)
    _check_rows(name, labels, rows)
    if labels.min() < 0:
        raise _Defect(f"'{name}' hold {labels.min()} in row {labels.argmin()}", "number the classes from 0")
    if labels.max() >= MOST_CLASSES:
        hint = "number the classes from 0, without gaps"
        raise _Defect(f"'{name}' hold {labels.max()} in row {labels.argmax()}", hint)
    return labels.astype(np.int64)


def _classes(classes: Array | None, labels: NDArray[np.int64]) -> tuple[str, ...]:
    highest = int(labels.max())
    if classes is None:
        return tuple(row_numbers(max(highest + 1, 2)))
    if classes.dtype.kind not in "US" or classes.ndim != 1:
        raise _Defect(f"'classes' are {classes.dtype} of shape {classes.shape}", "save a list of names")
    names = tuple(_texts(classes))
    if highest >= len(names):
        message = f"'labels' hold {highest} in row {labels.argmax()}, but there are {len(names)} 'classes'"
        raise _Defect(message, "labels run from 0")
    if len(set(names)) < max(len(names), 2):
        raise _Defect(f"'classes' are {len(set(names))} different names", "name two classes or more, each once")
    return names


def _ids(ids: Array | None, rows: int) -> list[str]:
    """Return the ids as text; row numbers if there are none."""
    if ids is None:
        return row_numbers(rows)
    if ids.dtype.kind not in "USiu":
        raise _Defect(f"'id' is {ids.dtype}, neither text nor whole numbers", "save one id per sample, as text")
    _check_rows("id", ids, rows)
    return _texts(ids)


def _unseen(split: Array | None, rows: int) -> NDArray[np.bool_] | None:
    """Say which samples are of the test split, bool of shape ``(rows,)``; None where the file does not say."""
    if split is None:
        return None
    _check_rows("split", split, rows)
    texts = np.array(_texts(split.astype(np.int64) if split.dtype.kind == "b" else split))
    lower = np.char.lower(texts)
    unseen: NDArray[np.bool_] = np.isin(lower, ("1", *UNSEEN))
    other = np.flatnonzero(~unseen & ~np.isin(lower, ("0", *TRAIN)))
    if len(other):
        message = f"'split' holds '{shorten(str(texts[other[0]]))}' in row {other[0]}"
        raise _Defect(message, "write train or test, or 0 or 1")
    if unseen.all() or not unseen.any():
        empty = "training" if unseen.all() else "test"
        raise _Defect(f"no {empty} samples among {rows}", "name the split of each sample in 'split': train or test")
    return unseen


def _check_rows(name: str, array: Array, rows: int) -> None:
    if array.shape != (rows,):
        raise _Defect(f"'{name}' has shape {array.shape}, but there are {rows} images", "save one entry per image")


def _texts(array: Array) -> list[str]:
    """Return entries as text; bytes are UTF-8."""
    try:
        entries = array.tolist()
        if array.dtype.kind != "U":
            entries = [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in entries]
        texts: list[str] = entries
        "".join(texts).encode()
    except UnicodeError as problem:
        raise _Defect(f"a text is not UTF-8: {problem}", "save str, or bytes in UTF-8") from problem
    return texts
