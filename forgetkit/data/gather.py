"""Images of some rows of a split; many of them are kept in a file, not in memory."""

import mmap
import os
import tempfile
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.cache import cache_folder
from forgetkit.data.dataset import Split, span

LARGE = 1 << 28
"""Bytes of images from which on a selection is kept in a file."""
AT_ONCE = 4096
"""Images copied at once."""

Images = NDArray[np.uint8]


def images_at(split: Split, rows: NDArray[np.int64]) -> Images:
    """Return the images of ``rows``, uint8 of shape ``(rows, channels, height, width)``.

    Of a pack, rows that follow each other are those of the pack; another large selection is copied into a file without
    a name in the cache, which is gone when nothing uses it. Both take memory that the system can have back. Where no
    file can be made, the copy is in memory.
    """
    images = split.images
    size = len(rows) * images[:1].nbytes
    if not isinstance(images, np.memmap):
        return np.asarray(images[rows])
    if isinstance(at := span(rows), slice) and bool((np.diff(rows) == 1).all()):
        return np.asarray(images[at])
    if size < LARGE:
        return np.asarray(images[rows])
    with suppress(OSError):
        found = _in_file(size).reshape(len(rows), *images.shape[1:])
        for start in range(0, len(rows), AT_ONCE):
            found[start : start + AT_ONCE] = images[rows[start : start + AT_ONCE]]
        return found
    return np.asarray(images[rows])


def _in_file(size: int) -> Images:
    """Return ``size`` bytes that stand in a file of their own; raises OSError where the disk has no room for it."""
    with tempfile.TemporaryFile(dir=cache_folder()) as file:
        os.posix_fallocate(file.fileno(), 0, size)  # a disk that is full later would end the process
        return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
