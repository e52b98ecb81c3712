"""The share of a data set that is held out as the test split, where its files name none."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.cache import cache_folder, keep_array, load_array
from forgetkit.data.listing import Source
from forgetkit.errors import ForgetkitError

UNSEEN_SHARE = 0.2
MANY = 100_000
"""Number of keys from which the split is kept in the cache."""


def put_aside(source: Source, share: float, name: str) -> Source:
    """Return ``source`` with a test split: the samples whose id (or group, if there are groups) hashes below ``share``.

    So a sample stays in its split when others are added or removed, and no group is divided.

    Args:
        source: without a test split.
        share: to hold out, in (0, 1).
        name: of the data set, for messages.

    Raises:
        ForgetkitError: ``usage`` for a share outside (0, 1), ``dataset-malformed`` where a split would be empty.
    """
    if not 0 < share < 1:
        raise ForgetkitError("usage", f"--unseen: {share} is not between 0 and 1", "for example: --unseen 0.2")
    keys = source.train.ids if source.groups is None else source.groups
    unseen = aside(keys, share)
    if unseen.all() or not unseen.any():
        empty = "training" if unseen.all() else "test"
        hint = "name the split of each sample in 'split': train or test; or add samples"
        raise ForgetkitError("dataset-malformed", f"{name}: no {empty} samples among {len(unseen)}", hint)
    return source.divided(unseen)


def aside(keys: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Say for each key whether its hash falls into the first ``share`` of [0, 1), bool of shape ``(keys,)``.

    The position in [0, 1) is 7 bytes of its BLAKE2b, without the byte whose lowest bit halves the test split. For many
    keys, the answer is kept in the cache.
    """
    if len(keys) < MANY:
        return _aside(keys, share)
    name = hashlib.sha256("\n".join([repr(share), *keys]).encode()).hexdigest()
    path = cache_folder() / "aside" / f"{name}.npy"
    found = load_array(path)
    if found is None or found.dtype != bool or found.shape != (len(keys),):
        found = _aside(keys, share)
        keep_array(path, found)
    return found


def _aside(keys: Sequence[str], share: float) -> NDArray[np.bool_]:
    hashes = b"".join([hashlib.blake2b(key.encode()).digest()[:8] for key in keys])
    values = np.frombuffer(hashes, ">u8").astype(np.uint64) & np.uint64(2**56 - 1)
    found: NDArray[np.bool_] = values / 2**56 < share
    return found
