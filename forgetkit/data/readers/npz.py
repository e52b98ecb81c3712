"""The arrays of an ``.npz`` file by their meaning, under the names that are in use; large images stay in the file."""

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.listing import TRAIN, UNSEEN, Decode, malformed
from forgetkit.errors import shorten

Array = NDArray[Any]
LARGE = 1 << 26
"""Bytes of images from which they are packed rather than held in memory."""
MEANINGS = {
    **dict.fromkeys(("images", "image", "imgs", "img", "data", "x"), "images"),
    **dict.fromkeys(("labels", "label", "targets", "target", "y"), "labels"),
    **dict.fromkeys(("ids", "id"), "id"),
}
"""What an array holds by its name, or by its name without that of a split: ``x_train``, ``test_labels``."""
OWN = ("images", "labels", "split", "id", "classes")
"""The names that need no guess: beside ``images`` and ``labels``, no other array counts."""
SHOWN = 20
"""Most names of arrays that a message lists."""
_BROKEN = (OSError, ValueError, EOFError, BadZipFile, zlib.error, RuntimeError, MemoryError, SyntaxError, TokenError)
"""What NumPy and zipfile raise for files that are not what they say."""


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file.

    Attributes:
        found: by meaning, ``images``, ``labels``, and ``split``, ``id`` and ``classes`` if they are there; those of
            several splits joined, training split first.
        names: of the first array of each meaning in the file.
        decode: reads the images, if they are large and ``found`` has only their shape and type.
    """

    found: Mapping[str, Array]
    names: Mapping[str, str]
    decode: Decode | None


def load_arrays(path: Path) -> Arrays:
    """Return the arrays of a file; nothing in it is unpickled.

    Raises:
        FileNotFoundError: no such file.
        PermissionError: it may not be read.
        ForgetkitError: ``dataset-malformed``.
    """
    hint = "fetch it again, or write it with numpy.savez_compressed, without object arrays"
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise malformed(path, "a single array, not an .npz file", hint)
            members = _members(path, loaded.files)
            images = _large(loaded.zip, members["images"])
            found = {} if images is None else {"images": images}
            sizes = [np.atleast_1d(loaded[name]).shape[0] for name in members["labels"]]
            found |= {key: _joined(path, names, loaded) for key, names in members.items() if key not in found}
    except (FileNotFoundError, PermissionError):
        raise
    except _BROKEN as problem:
        raise malformed(path, f"not readable as .npz: {problem}", hint) from problem
    if len(sizes) > 1:
        found["split"] = np.repeat([_meaning(name)[0] in UNSEEN for name in members["labels"]], sizes)
    names = {key: some[0] for key, some in members.items()}
    return Arrays(found, names, None if images is None else partial(_read_rows, path, members["images"]))


def _members(path: Path, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the arrays of each meaning: one for each split, training split first.

    Raises:
        ForgetkitError: ``dataset-malformed`` where they are not there, or could mean either of two things.
    """
    if {"images", "labels"} <= {*names}:
        return {name: [name] for name in OWN if name in names}
    splits: dict[str, dict[str, str]] = {}
    for name in names:
        split, meaning = _meaning(name)
        if splits.setdefault(split, {}).setdefault(meaning, name) != name and meaning:
            message = f"'{splits[split][meaning]}' and '{name}' may both be the {meaning}"
            raise malformed(path, message, "name the right ones images and labels")
    held = [split for split in splits if {"images", "labels"} & {*splits[split]}]
    order = sorted(held, key=lambda split: split in UNSEEN)
    listed = ", ".join(shorten(name) for name in names[:SHOWN]) or "nothing"
    if not order or order[0] in UNSEEN or ("" in order and len(order) > 1):
        hint = "name them images and labels, or train_images, train_labels, test_images, test_labels (or x_train, …)"
        raise malformed(path, f"there are no images and labels to train on, only {listed}", hint)
    needed = ["images", "labels", *(["id"] if "id" in splits[order[0]] else [])]
    for split, meaning in product(order, needed):
        if meaning not in splits[split]:
            beside = next(iter(splits[split].values()))
            raise malformed(path, f"there are no {meaning} for '{beside}', only {listed}", "save one per image")
    more = [name for name in ("split", "classes") if name in names and order == [""]]
    return {meaning: [splits[split][meaning] for split in order] for meaning in needed} | {one: [one] for one in more}


def _meaning(name: str) -> tuple[str, str]:
    """Return the split that the name of an array names, or ``""``, and what the array holds, or ``""``."""
    words = name.lower().split("_")
    split = next((word for word in words if word in TRAIN | UNSEEN), "")
    return split, MEANINGS.get("_".join(word for word in words if word != split), "")


def _joined(path: Path, names: Sequence[str], loaded: Mapping[str, Array]) -> Array:
    """Return arrays of the same kind one after the other; a column is a row of values."""
    arrays = [loaded[name] for name in names]
    arrays = [array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array for array in arrays]
    for name, array in zip(names, arrays, strict=True):
        if (array.dtype.kind, array.shape[1:]) != (arrays[0].dtype.kind, arrays[0].shape[1:]):
            shapes = f"{array.dtype} of shape {array.shape}, '{names[0]}' {arrays[0].dtype} of shape {arrays[0].shape}"
            raise malformed(path, f"'{name}' is {shapes}", "save both of one kind")
    return np.concatenate(arrays) if len(arrays) > 1 else arrays[0]


def _large(archive: ZipFile, names: Sequence[str]) -> Array | None:
    """Return a stand-in of the shape and type of the images, without memory for the pixels, if they are large."""
    shapes = []
    for name in names:
        with archive.open(f"{name}.npy") as member:
            shape, by_columns, kind = _header(member)
        if by_columns or kind != np.uint8 or len(shape) not in (3, 4):
            return None
        shapes.append(shape)
    if len({shape[1:] for shape in shapes}) > 1 or sum(map(math.prod, shapes)) < LARGE:
        return None
    return np.broadcast_to(np.zeros((), np.uint8), (sum(shape[0] for shape in shapes), *shapes[0][1:]))


def _read_rows(path: Path, names: Sequence[str], rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of rows, counted through all arrays, uint8 of shape ``(channels, height, width)``.

    The file is read from start to end for each rising run of rows, which means once for each split.

    Raises:
        ForgetkitError: ``dataset-malformed`` where the file cannot be read.
    """
    try:
        for run in np.split(rows, np.flatnonzero(np.diff(rows) < 0) + 1):
            with ZipFile(path) as archive:
                first = 0
                for name in names:
                    with archive.open(f"{name}.npy") as member:
                        shape = _header(member)[0]
                        wanted = run[(run >= first) & (run < first + shape[0])] - first
                        yield from _read_member(member, shape, wanted) if len(wanted) else ()
                    first += shape[0]
    except _BROKEN as problem:
        raise malformed(path, f"not readable as .npz: {problem}", "fetch or save the file again") from problem


def _read_member(member: IO[bytes], shape: tuple[int, ...], rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of rising rows of one array."""
    size, at = math.prod(shape[1:]), 0
    for row in rows.tolist():
        _skip(member, (row - at) * size)
        at = row + 1
        image = np.frombuffer(member.read(size), np.uint8).reshape(shape[1:])
        yield image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))
    _skip(member, (shape[0] - at) * size)  # to the end, where zipfile compares the checksum


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0 and (content := stream.read(min(size, 1 << 20))):
        size -= len(content)


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, column order and type of the array in a ``.npy`` stream."""
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(member)
    return found
