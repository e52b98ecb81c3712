"""``arrays:FILE.npz``: a data set as NumPy arrays, read and checked."""

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Split, row_numbers
from forgetkit.data.listing import Source, Stored, check_ids, malformed
from forgetkit.errors import shorten

Array = NDArray[Any]
NAMES = ("images", "labels", "split", "id", "classes")
MOST_CLASSES = 100_000
LARGE = 1 << 26
"""Bytes of images from which they are packed rather than held in memory."""
_BROKEN = (OSError, ValueError, EOFError, BadZipFile, zlib.error, RuntimeError, MemoryError, SyntaxError, TokenError)
"""What NumPy and zipfile raise for files that are not what they say."""


def read_arrays(path: Path) -> Source:
    """Return the data set in an ``.npz`` file; nothing in it is unpickled.

    ``images`` is uint8 of shape ``(rows, height, width)`` or ``(rows, height, width, channels)``, ``labels`` are whole
    numbers from 0. Optional: ``split`` (``train`` or ``test``, or 0 or 1), ``id`` (unique), ``classes`` (names).
    Without ``id``, ids are row numbers; without ``classes``, classes are ``0``, ``1``, …. Large images are left in the
    file for :func:`read_stored`.

    Raises:
        FileNotFoundError: no such file.
        ForgetkitError: ``dataset-malformed``.
    """
    arrays, large = _arrays(path)
    try:
        images = _images(arrays["images"])
        labels = _labels(arrays["labels"], len(images))
        classes = _classes(arrays.get("classes"), labels)
        ids = _ids(arrays.get("id"), len(images))
        unseen = _unseen(arrays.get("split"), len(ids))
    except KeyError as problem:
        found = ", ".join(arrays) or "nothing"
        raise malformed(path, f"there is no array {problem}, only {found}", "save images and labels") from problem
    except _Defect as problem:
        raise malformed(path, *problem.args) from problem
    check_ids(ids, lambda row: f"{path}: row {row}")
    whole: Split | Stored = Split(ids, images, labels)
    if large:
        channels, height, width = images.shape[1:]
        whole = Stored(ids, labels, path, np.arange(len(ids)), (channels, height, width))
    source = Source(classes, whole, files=[path], numbered="id" not in arrays)
    return source if unseen is None else source.divided(unseen)


class _Defect(Exception):
    """A fault of an array, and what to do about it."""


def read_stored(stored: Stored) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of rows of an array, uint8 of shape ``(channels, height, width)``.

    The file is read from start to end for each rising run of rows, which means once for each split.

    Raises:
        ForgetkitError: ``dataset-malformed`` where the file cannot be read.
    """
    try:
        for run in np.split(stored.rows, np.flatnonzero(np.diff(stored.rows) < 0) + 1):
            with ZipFile(stored.path) as archive, archive.open("images.npy") as member:
                shape = _header(member)[0]
                size, at = int(np.prod(shape[1:])), 0
                for row in run.tolist():
                    _skip(member, (row - at) * size)
                    at = row + 1
                    image = np.frombuffer(member.read(size), np.uint8).reshape(shape[1:])
                    yield image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))
                _skip(member, (shape[0] - at) * size)  # to the end, where zipfile compares the checksum
    except _BROKEN as problem:
        raise malformed(stored.path, f"not readable as .npz: {problem}", "fetch or save the file again") from problem


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0 and (content := stream.read(min(size, 1 << 20))):
        size -= len(content)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, column order and type of the array in a ``.npy`` stream."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(member)
    return found


def _arrays(path: Path) -> tuple[Mapping[str, Array], bool]:
    """Return the arrays of a file by name, and whether the images are large, and a stand-in returned for them."""
    hint = "fetch it again, or write it with numpy.savez_compressed, without object arrays"
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise malformed(path, "a single array, not an .npz file", hint)
            large = _large(loaded.zip) if "images" in loaded else None
            names = [name for name in NAMES if name in loaded and (name != "images" or large is None)]
            arrays = {name: loaded[name] for name in names}
            return (arrays if large is None else {**arrays, "images": large}), large is not None
    except (FileNotFoundError, PermissionError):
        raise
    except _BROKEN as problem:
        raise malformed(path, f"not readable as .npz: {problem}", hint) from problem


def _large(archive: ZipFile) -> Array | None:
    """Return a stand-in of the shape and type of the images, without memory for the pixels, if they are large."""
    with archive.open("images.npy") as member:
        shape, by_columns, kind = _header(member)
    if by_columns or kind != np.uint8 or len(shape) not in (3, 4) or int(np.prod(shape)) < LARGE:
        return None
    return np.broadcast_to(np.zeros((), np.uint8), shape)


def _images(images: Array) -> NDArray[np.uint8]:
    """Return images as ``(rows, channels, height, width)``."""
    if images.dtype != np.uint8:
        raise _Defect(f"'images' are {images.dtype}, not uint8", "save pixels from 0 to 255: images.astype('uint8')")
    if images.ndim not in (3, 4) or 0 in images.shape:
        hint = "a grey image is height × width, a colour image height × width × channels"
        raise _Defect(f"'images' have shape {images.shape}", hint)
    if images.ndim == 3:
        return images[:, None]
    if images.shape[1] <= 4 < images.shape[3]:
        raise _Defect(f"'images' of shape {images.shape} look channels-first", "save images.transpose(0, 2, 3, 1)")
    return images.transpose(0, 3, 1, 2)


def _labels(labels: Array, rows: int) -> NDArray[np.int64]:
    if not np.issubdtype(labels.dtype, np.integer):
        raise _Defect(f"'labels' are {labels.dtype}, not whole numbers", "number the classes from 0; names: 'classes'")
    _check_rows("labels", labels, rows)
    if labels.min() < 0:
        raise _Defect(f"'labels' hold {labels.min()} in row {labels.argmin()}", "number the classes from 0")
    if labels.max() >= MOST_CLASSES:
        hint = "number the classes from 0, without gaps"
        raise _Defect(f"'labels' hold {labels.max()} in row {labels.argmax()}", hint)
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
    unseen: NDArray[np.bool_] = np.isin(texts, ("test", "1"))
    other = np.flatnonzero(~unseen & ~np.isin(texts, ("train", "0")))
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
