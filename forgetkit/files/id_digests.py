"""Keyed digests of ids: they tell whether an id is in a set, but do not list the ids."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from forgetkit.errors import ForgetkitError

MOST_FORGOTTEN = 1_000_000
"""Most ids in a record, of which each takes 11 bytes: every command reads the whole record."""
_KNOWN: dict[str, tuple[Sequence[str], NDArray[np.uint64]]] = {}
"""By salt: a sequence of ids, and their digests."""


@dataclass(frozen=True)
class KeySet:
    """A set of ids that can be tested but not listed: sorted keyed 8-byte BLAKE2b digests.

    Attributes:
        salt: the key, 32 bytes in hex.
        keys: big-endian unsigned 64-bit integers, sorted, unique.
    """

    salt: str
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, ids: Iterable[str], salt: str) -> Self:
        """Return the set of ``ids``."""
        return cls(salt, _distinct(digests(ids, salt)))

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and self.salt == other.salt and np.array_equal(self.keys, other.keys)

    def __or__(self, other: "KeySet") -> "KeySet":
        return replace(self, keys=_distinct(np.concatenate([self.keys, other.keys])))

    def contains(self, ids: Iterable[str]) -> NDArray[np.bool_]:
        """Say for each of ``ids`` whether it is in the set."""
        return self.holds(digests(ids, self.salt))

    def holds(self, wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Say for each digest, made with this salt, whether it is in the set."""
        if not len(self):
            return np.zeros(len(wanted), dtype=bool)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self) - 1)
        found: NDArray[np.bool_] = self.keys[at] == wanted
        return found

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the sorted keys."""
        return hashlib.sha256(self.keys.astype(">u8").tobytes()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return ``count``, ``digest`` and ``keys`` (base64)."""
        packed = base64.b64encode(self.keys.astype(">u8").tobytes()).decode()
        return {"count": len(self), "digest": self.digest, "keys": packed}

    @classmethod
    def from_json(cls, content: dict[str, Any], salt: str) -> Self:
        """Return the set that :meth:`to_json` wrote; raises ValueError where its parts contradict each other."""
        if not re.fullmatch("[0-9a-f]{64}", salt):
            raise ValueError("the salt of an id set is not 32 bytes in hex")
        keys = np.frombuffer(base64.b64decode(content["keys"], validate=True), dtype=">u8").astype(np.uint64)
        found = cls(salt, keys)
        if content["count"] != len(found) or content["digest"] != found.digest or np.any(keys[1:] <= keys[:-1]):
            raise ValueError("count, digest and keys of an id set contradict each other")
        return found


def forgotten_with(before: KeySet, ids: Iterable[str]) -> KeySet:
    """Return the forgotten ids ``before`` and ``ids`` together.

    Raises:
        ForgetkitError: ``ids-too-many`` for more than a record holds.
    """
    found = before | KeySet.of(ids, before.salt)
    if len(found) > MOST_FORGOTTEN:
        message = f"{len(found):,} forgotten ids are more than a record holds ({MOST_FORGOTTEN:,})"
        hint = "remove their rows from the data set, and train a new model on the rest: forgetkit train --dataset"
        raise ForgetkitError("ids-too-many", message, hint)
    return found


def know(ids: Sequence[str], salt: str, digests: NDArray[np.uint64]) -> None:
    """Keep the digests of this very sequence, which never changes: hashing a million ids takes a second."""
    _KNOWN[salt] = (ids, digests)


def digests(ids: Iterable[str], salt: str = "") -> NDArray[np.uint64]:
    """Return the 8-byte BLAKE2b digest of each id, keyed with ``salt`` (hex) if there is one."""
    known = _KNOWN.get(salt)
    if known is not None and known[0] is ids:
        return known[1]
    key = bytes.fromhex(salt)
    packed = b"".join(hashlib.blake2b(id_.encode(), digest_size=8, key=key).digest() for id_ in ids)
    return np.frombuffer(packed, dtype=">u8").astype(np.uint64)


def _distinct(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each key once, sorted; numpy.unique would first import masked arrays, for a tenth of a second."""
    keys = np.sort(keys)
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    return keys[first]
