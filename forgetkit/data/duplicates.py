"""Copies of images: of chosen ones elsewhere in a training split, and of training images in the test split.

A copy has equal pixels, or (near) a similar average hash.
"""

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset
from forgetkit.data.row_digests import rows_of
from forgetkit.events import Note, Tell, Warned

Mask = NDArray[np.bool_]

MANY = 0.1
"""Share of training images that are copies of others from which a training warns."""
NEAR = 2
"""Bits of 64 in which the average hashes of near duplicates may differ."""
SIDE = 8
AT_ONCE = 1024
"""Images whose hashes are compared at once."""


def warn_of_unseen(dataset: Dataset, tell: Tell) -> None:
    """Warn of unseen samples that are exact copies of training images."""
    if count := len(dataset.copies):
        text = f"{count:,} of {len(dataset.test):,} unseen samples are exact copies of training images"
        tell(Warned("unseen-copied", f"{text}; no command tunes or judges on them"))


def warn_of_equal(dataset: Dataset, tell: Tell) -> None:
    """Warn where many training images are equal."""
    digests = rows_of(dataset).pixels[: len(dataset.train)]
    if (count := len(digests) - len(np.unique(digests))) >= MANY * len(digests):
        text = f"{count:,} of {len(digests):,} training images are exact copies of others"
        tell(Warned("images-equal", f"{text}; to forget an image with its copies: forget-ids --with-duplicates add"))


def with_copies(chosen: Mask, among: Mask, dataset: Dataset, *, add: bool, near: bool, tell: Tell) -> Mask:
    """Return the chosen samples, with ``add`` their copies too; tell, without ``add`` warn, how many copies there are.

    Args:
        chosen: bool of shape ``(rows,)``.
        among: samples that can be copies, likewise.
        dataset: with the training split that has the rows.
        add: whether copies are chosen too.
        near: whether near duplicates count as copies.
        tell: told the number of copies.
    """
    exact = duplicates_of(dataset, chosen, among)
    alike = near_duplicates_of(dataset, chosen, among) & ~exact if near else np.zeros_like(exact)
    if not exact.any() and not alike.any():
        return chosen
    text = f"exact copies of chosen images among the other samples: {exact.sum()}"
    text += f", near ones: {alike.sum()}" if near else ""
    if add:
        tell(Note(f"  {text}; they are added"))
        return chosen | exact | alike
    tell(Warned("ids-copied", f"{text}; they are not chosen: --with-duplicates add chooses them too"))
    return chosen


def duplicates_of(dataset: Dataset, chosen: Mask, among: Mask) -> Mask:
    """Say for each training sample ``among`` the others whether it has exactly the pixels of a ``chosen`` one.

    Args:
        dataset: with the training split that has the rows.
        chosen: bool of shape ``(rows,)``; a chosen sample is no copy.
        among: samples that can be copies, likewise.
    """
    found = np.zeros(len(chosen), dtype=bool)
    images = dataset.train.images
    digests = rows_of(dataset).pixels[: len(chosen)]
    maybe = np.flatnonzero(among & ~chosen & np.isin(digests, digests[chosen]))
    if len(maybe):
        known = {images[row].tobytes() for row in np.flatnonzero(chosen & np.isin(digests, digests[maybe]))}
        found[[row for row in maybe if images[row].tobytes() in known]] = True
    return found


def near_duplicates_of(dataset: Dataset, chosen: Mask, among: Mask) -> Mask:
    """Say for each training sample ``among`` the others whether its average hash is near that of a ``chosen`` one.

    An image of a single colour is a near duplicate of nothing. Shapes are those of :func:`duplicates_of`.
    """
    hashes, plain = average_hashes(dataset.train.images)
    rows = np.flatnonzero(among & ~chosen & ~plain)
    wanted = np.unique(hashes[chosen & ~plain])
    found = np.zeros(len(chosen), dtype=bool)
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        distance = np.bitwise_count(hashes[part, None] ^ wanted[None])
        found[part] = (distance <= NEAR).any(axis=1)
    return found


def average_hashes(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], Mask]:
    """Return the average hash of each image, and whether the image has a single colour.

    Each of the 64 bits says whether one of 8 × 8 fields of the grey image is brighter than the mean of all.

    Args:
        images: uint8 of shape ``(rows, channels, height, width)``.
    """
    tall, wide = (np.arange(SIDE) * size // SIDE for size in images.shape[2:])
    hashes, plain = [], []
    for start in range(0, len(images), AT_ONCE):
        grey = images[start : start + AT_ONCE].mean(axis=1, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(grey, tall, axis=1), wide, axis=2)
        areas = np.outer(_sizes(tall, images.shape[2]), _sizes(wide, images.shape[3]))
        fields = (sums / areas).reshape(len(grey), -1)
        bright = fields > fields.mean(axis=1, keepdims=True)
        hashes.append(np.packbits(bright, axis=1).view(np.uint64)[:, 0])
        plain.append(fields.max(axis=1) - fields.min(axis=1) < 1)
    return np.concatenate(hashes), np.concatenate(plain)


def _sizes(starts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return the number of lines of each field; 1 where there are fewer lines than fields."""
    return np.maximum(np.diff(starts, append=size), 1)
