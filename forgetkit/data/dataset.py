"""Data sets: two splits of uint8 images with ids and labels, the classes, and a fingerprint over all of it."""

import hashlib
import math
import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.cache import cache_folder
from forgetkit.errors import shorten
from forgetkit.files.canonical_json import compact_json

LARGE = 1 << 28
"""Bytes of images from which a selection is kept in a file."""
FIRST = 5
"""Classes that a training names."""
AT_ONCE = 4096
"""Images copied at once."""


@dataclass(frozen=True)
class Split:
    """The samples of one split, in row order.

    Attributes:
        ids: one per row, unique.
        images: uint8 of shape ``(rows, channels, height, width)``.
        labels: int64 of shape ``(rows,)``, values in ``[0, classes)``.
        size: height and width to which images are resized before a model sees them; None for none.
    """

    ids: Sequence[str]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def ids_at(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the ids of ``rows``."""
        return [self.ids[row] for row in rows.tolist()]

    def at(self, rows: NDArray[np.int64]) -> "Split":
        """Return the samples in ``rows``, which are sorted; consecutive images are not copied."""
        images = self.images[span(rows)]
        return Split(self.ids_at(rows), np.ascontiguousarray(images), self.labels[rows], self.size)

    @cached_property
    def seen(self) -> NDArray[np.uint8]:
        """The images as a model sees them, each resized once; the images themselves where there is no ``size``."""
        if self.size is None:
            return self.images
        from forgetkit.data.resize import resize_into

        return resize_into(_room((len(self), self.images.shape[1], *self.size)), self.images)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {id_: row for row, id_ in enumerate(self.ids)}


@dataclass(frozen=True)
class Dataset:
    """A training split, a test split that no training step sees, and the names of the classes.

    Attributes:
        name: as for ``--dataset``.
        classes: names, in the order of the labels.
        train: the training split.
        test: the test split.
        fingerprint: SHA-256 in hex, see :func:`fingerprint_of`.
        options: settings needed to read the data set again.
        attributes: further columns of the training split by name, one value per row.
        test_attributes: the same of the test split.
        root: folder in which the data set was found.
        numbered: whether the ids are row numbers.
        copies: rows of the test split, int64, whose image is in the training split too; they are in neither half.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    options: Mapping[str, object] = field(default_factory=dict)
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    test_attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    root: Path = Path()
    numbered: bool = True
    copies: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image of the data set."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width

    @property
    def seen_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image as a model sees it."""
        return self.shape[0], *(self.train.size or self.shape[1:])

    @property
    def input_entry(self) -> dict[str, object]:
        """What a record says of the images that a model sees: their shape, and what they are resized from, if so."""
        resized = {} if self.train.size is None else {"resized_from": list(self.shape[1:])}
        return {"shape": list(self.seen_shape), **resized}

    @property
    def entry(self) -> dict[str, object]:
        """What a record says of the data set; of copies only where there are any."""
        copies = {"copies": len(self.copies)} if len(self.copies) else {}
        known = {"name": self.name, "options": dict(self.options), "size": len(self.train), **copies}
        return {**known, "fingerprint": self.fingerprint}

    @cached_property
    def held_out(self) -> dict[str, int]:
        """The row of each id of the test split; empty where both splits are numbered from 0, so that ids are shared."""
        shared = not self.test.row_of.keys().isdisjoint(self.train.row_of)
        return {} if shared else self.test.row_of

    @cached_property
    def tune_rows(self) -> NDArray[np.int64]:
        """Rows of the tune half of the test split: the only unseen data by which a step may choose."""
        return np.setdiff1d(np.flatnonzero(~_check_half(self.test.ids)), self.copies)

    @cached_property
    def check_rows(self) -> NDArray[np.int64]:
        """Rows of the check half of the test split: the only data on which an audit judges."""
        return np.setdiff1d(np.flatnonzero(_check_half(self.test.ids)), self.copies)


def at_size(dataset: Dataset, size: tuple[int, int] | None) -> Dataset:
    """Return the data set for a model that sees its images at ``size`` (height, width); None for the size they have.

    Images, ids and fingerprint stay: only what a model sees changes.
    """
    if size is None or size == dataset.shape[1:]:
        return dataset
    return replace(dataset, train=replace(dataset.train, size=size), test=replace(dataset.test, size=size))


def classes_of(dataset: Dataset) -> str:
    """Return the number of classes and the names of the first ones, in words."""
    names = ", ".join(map(shorten, dataset.classes[:FIRST]))
    return f"{len(dataset.classes)} classes: {names}{', …' if len(dataset.classes) > FIRST else ''}"


def fingerprint_of(classes: Sequence[str], train: Split, test: Split) -> str:
    """Return the SHA-256 over classes, image shape, and both splits' ids, labels and pixels in row order."""
    state = hashlib.sha256(compact_json([list(classes), list(train.images.shape[1:])]).encode() + b"\n")
    for split in (train, test):
        state.update("".join(f"{id_}\n" for id_ in split.ids).encode())
        state.update(np.ascontiguousarray(split.labels, dtype="<i8").data)
        state.update(np.ascontiguousarray(split.images).data)
    return state.hexdigest()


def images_at(split: Split, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the images of ``rows`` as a model sees them, uint8 of shape ``(rows, channels, height, width)``.

    Consecutive rows of a pack are not copied. Any other large selection of a pack is copied into a nameless file in the
    cache, which vanishes with the array: the system can reclaim the memory of both. Where no file can be made, the copy
    is in memory.
    """
    images = split.seen
    if not isinstance(images, np.memmap):
        return np.asarray(images[rows])
    if isinstance(at := span(rows), slice) and bool((np.diff(rows) == 1).all()):
        return np.asarray(images[at])
    found = _room((len(rows), *images.shape[1:]))
    for start in range(0, len(rows), AT_ONCE):
        found[start : start + AT_ONCE] = images[rows[start : start + AT_ONCE]]
    return found


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an array for images, where they are many in a nameless file if one can be made, else in memory."""
    if (size := math.prod(shape)) >= LARGE:
        with suppress(OSError):
            return _in_file(size).reshape(shape)
    return np.empty(shape, np.uint8)


def _in_file(size: int) -> NDArray[np.uint8]:
    """Return ``size`` bytes mapped from a nameless file; raises OSError where the disk is full."""
    with tempfile.TemporaryFile(dir=cache_folder()) as file:
        os.posix_fallocate(file.fileno(), 0, size)  # now: later, a full disk would kill the process
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)


def span(rows: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Return sorted ``rows`` as a slice if they are consecutive, so that indexing copies nothing."""
    follows = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if follows else rows


def row_numbers(count: int) -> list[str]:
    """Return decimal row numbers, the ids of a built-in split."""
    return [str(row) for row in range(count)]


def _check_half(ids: Sequence[str]) -> NDArray[np.bool_]:
    bits = (hashlib.blake2b(id_.encode()).digest()[0] & 1 for id_ in ids)
    return np.fromiter(bits, dtype=bool, count=len(ids))
