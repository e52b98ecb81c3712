"""Image files decoded once, into one file of the cache that later commands map into memory.

A pack is an ``.npy`` file, uint8 of shape ``(rows, channels, height, width)``, training split first. There is one for
a data set in one place: when its files change, the next command replaces it, so that what was deleted there does not
live on here. It counts while name, size and times of all its files, and its own, are as they were; else while its
content has the fingerprint that it had.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.console import Console, compact_json
from forgetkit.data.cache import cache_folder, load_array, recall, remember, states
from forgetkit.data.images import Shape, read_images
from forgetkit.data.samples import Listing
from forgetkit.errors import ForgetkitError
from forgetkit.storage import publish

Images = NDArray[np.uint8]


def packed(
    listing: Listing, place: Path, key: str, console: Console, *, proves: Callable[[Images], bool]
) -> tuple[Images, bool]:
    """Return the images of a listing, and whether they were decoded just now.

    Args:
        listing: image files, checked by :func:`forgetkit.data.images.check_files`.
        place: where the data set is.
        key: what the states of its files come to.
        console: what progress is shown on.
        proves: says whether images have the remembered fingerprint; asked where the pack itself has changed.

    Raises:
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    path = cache_folder() / "packs" / f"{_name(place)}-{key[:16]}.npy"
    images = _opened(path)
    fresh = images is None or len(images) != len(listing) or not (_unchanged(path, key) or proves(images))
    if images is None or fresh:
        images = _made(path, place, listing, console)
    _vouch(path, key)
    return images, fresh


def _opened(path: Path) -> Images | None:
    """Return the images of a pack, mapped, or None where there is none that can be read."""
    images = load_array(path, mapped=True)
    return images if images is not None and images.dtype == np.uint8 and images.ndim == 4 else None


def _unchanged(path: Path, key: str) -> bool:
    """Say whether the pack is the file that was vouched for."""
    with suppress(OSError):
        return recall().get("packs", {}).get(key) == compact_json(states([path]))
    return False


def _vouch(path: Path, key: str) -> None:
    """Remember that the pack, as it is now, is the right one."""
    with suppress(OSError):
        remember({"packs": {key: compact_json(states([path]))}})


def _made(path: Path, place: Path, listing: Listing, console: Console) -> Images:
    """Decode the images of ``listing`` and return them: mapped from the new pack, or in memory if none can be written.

    Raises:
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    shape, images = read_images(listing)
    whole = (len(listing), *shape)

    def write(temporary: Path) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": whole}
        with temporary.open("wb") as stream:  # written, not mapped: a full disk is then an error, not a signal
            np.lib.format.write_array_header_1_0(stream, header)
            for image in console.progress(images, f"reading the images of {place.name}", len(listing)):
                stream.write(image.data)

    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        publish(path, write)
    except ForgetkitError as problem:
        if problem.code == "dataset-malformed":
            raise
        return _in_memory(listing, shape)
    for old in path.parent.glob(f"{_name(place)}-*.npy"):
        if old != path:
            with suppress(OSError):
                old.unlink()
    mapped = _opened(path)
    return _in_memory(listing, shape) if mapped is None or mapped.shape != whole else mapped


def _in_memory(listing: Listing, shape: Shape) -> Images:
    images = np.empty((len(listing), *shape), np.uint8)
    for row, image in enumerate(read_images(listing)[1]):
        images[row] = image
    return images


def _name(place: Path) -> str:
    return hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:16]
