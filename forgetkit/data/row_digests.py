"""A few bytes of each sample: enough to find exact copies and changed rows.

Digests are kept in the cache under the fingerprint of the data set, so that they outlive the rows.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.cache import cache_folder, keep_array, load_array
from forgetkit.data.dataset import Dataset, Split

Digests = NDArray[np.uint64]


@dataclass(frozen=True)
class Rows:
    """Digests of the samples of both splits, training split first; each uint64 of shape ``(rows,)``.

    Attributes:
        ids: of the ids, keyed with the fingerprint.
        pixels: of the images.
        labels: the labels themselves.
        unseen: 1 in the test split, else 0.
    """

    ids: Digests
    pixels: Digests
    labels: Digests
    unseen: Digests


def rows_of(dataset: Dataset) -> Rows:
    """Return the digests of a data set, from the cache if possible."""
    found = known_rows(dataset.fingerprint)
    if found is None or len(found.ids) != len(dataset.train) + len(dataset.test):
        splits = (dataset.train, dataset.test)
        found = Rows(
            id_digests([*dataset.train.ids, *dataset.test.ids], dataset.fingerprint),
            np.concatenate([pixel_digests(split) for split in splits]),
            np.concatenate([split.labels for split in splits]).astype(np.uint64),
            np.repeat(np.array([0, 1], np.uint64), [len(split) for split in splits]),
        )
        keep_array(_path(dataset.fingerprint), np.stack([found.ids, found.pixels, found.labels, found.unseen]))
    return found


def copied_rows(rows: Rows, *, trained: Rows | None = None) -> NDArray[np.int64]:
    """Return the rows of the test split whose image is in the training split too, int64, sorted.

    Args:
        rows: of the data set.
        trained: of the data set whose training split counts; ``rows`` if not given.
    """
    source = trained or rows
    return np.flatnonzero(np.isin(rows.pixels[rows.unseen == 1], source.pixels[source.unseen == 0]))


def known_rows(fingerprint: str) -> Rows | None:
    """Return the digests of a data set that was read before, or None."""
    table = load_array(_path(fingerprint))
    return Rows(*table) if table is not None and table.dtype == np.uint64 and table.shape[:-1] == (4,) else None


def id_digests(ids: list[str], fingerprint: str) -> Digests:
    """Return 8 bytes of the keyed BLAKE2b of each id."""
    return _digests([id_.encode() for id_ in ids], bytes.fromhex(fingerprint))


def pixel_digests(split: Split) -> Digests:
    """Return 8 bytes of the BLAKE2b of each image; equal images have equal ones."""
    found = b"".join(
        hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest() for image in split.images
    )
    return np.frombuffer(found, ">u8").astype(np.uint64)


def _digests(contents: list[bytes], key: bytes) -> Digests:
    found = b"".join(hashlib.blake2b(content, digest_size=8, key=key).digest() for content in contents)
    return np.frombuffer(found, ">u8").astype(np.uint64)


def _path(fingerprint: str) -> Path:
    return cache_folder() / "rows" / f"{fingerprint}.npy"
