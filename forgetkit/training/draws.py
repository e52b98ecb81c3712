"""Random numbers that belong to a sample, not to its place in a list: a list of ids draws what its ids draw one by one.

Each sample has a key, 64 bits of its id's digest; a draw is a function of the seed, the purpose and the key.
"""

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from forgetkit.training.device import seed_for

Keys = NDArray[np.uint64]
"""A key for each sample, of shape ``(samples,)``."""


def uniform(keys: Keys, count: int, seed: int, *purpose: object) -> Tensor:
    """Draw ``count`` uniform numbers for each key.

    Args:
        keys: of the samples.
        count: numbers for each.
        seed: seed of the draw.
        purpose: of the draw, and its turn: with another one, other numbers are drawn.

    Returns:
        float32 of shape ``(samples, count)``, in [0, 1], on the CPU; a row depends on its own key alone.
    """
    start = seed_for(seed, *purpose).to_bytes(8)
    stream = b"".join(hashlib.shake_128(start + int(key).to_bytes(8)).digest(4 * count) for key in keys)
    drawn = np.frombuffer(stream, dtype="<u4").reshape(len(keys), count)
    return torch.from_numpy((drawn / 2.0**32).astype(np.float32))


def ranked(keys: Keys, seed: int, *purpose: object) -> NDArray[np.int64]:
    """Return the places of ``keys`` in a random order in which each pair stands whatever the other keys are.

    A draw of its first ones is the same from a larger set, unless one of the others comes before them. The mixing is
    that of splitmix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
    """
    mixed = keys ^ np.uint64(seed_for(seed, *purpose))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.argsort(mixed ^ (mixed >> np.uint64(31)), kind="stable")


def content_keys(images: Tensor, labels: Tensor) -> Keys:
    """Return keys for samples without ids: digests of their pixels and labels."""
    rows = zip(images.cpu().numpy(), labels.tolist(), strict=True)
    return np.array([_key(image.tobytes(), str(label).encode()) for image, label in rows], dtype=np.uint64)


def key_of(keys: Keys) -> int:
    """Return one key for a set of samples, whatever their order."""
    return _key(np.sort(keys).astype("<u8").tobytes())


def _key(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest())
