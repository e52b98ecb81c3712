"""Ids that are looked for in records, and how many of them are what to a model; without torch."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from forgetkit.files.id_digests import KeySet, digests

Mask = NDArray[np.bool_]
MOST_SALTS = 16
"""Salts for which the digests of the ids are kept."""
_ROW = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Split:
    """How many ids are what to a file; the four add up to all ids.

    Attributes:
        held: the model was trained on them and has not forgotten them.
        forgotten: the record names them as forgotten.
        never: the model was trained without them.
        unknown: the record does not say.
        named: the ids themselves by these names, where they are to be listed.
    """

    held: int = 0
    forgotten: int = 0
    never: int = 0
    unknown: int = 0
    named: Mapping[str, list[str]] | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The four numbers by name."""
        return {"held": self.held, "forgotten": self.forgotten, "never": self.never, "unknown": self.unknown}

    @property
    def state(self) -> str:
        """The state, one of ``holdings.STATES``, that a file with these ids is in."""
        return next((name for name in ("held", "unknown", "forgotten") if self.counts[name]), "never")


@dataclass
class Wanted:
    """The ids that are looked for; they are hashed once for each salt.

    Attributes:
        ids: unique.
        show: whether ids are to be listed rather than counted.
    """

    ids: Sequence[str]
    show: bool = False
    _keys: dict[str, NDArray[np.uint64]] = field(default_factory=dict)

    def in_set(self, keys: KeySet) -> Mask:
        """Say for each id whether it is in a set of keyed digests."""
        if keys.salt not in self._keys:
            if len(self._keys) == MOST_SALTS:
                self._keys.clear()
            self._keys[keys.salt] = digests(self.ids, keys.salt)
        return keys.holds(self._keys[keys.salt])

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The row number that each id is, -1 for an id that is none; int64 of shape ``(ids,)``."""
        return np.array([int(id_) if _ROW.fullmatch(id_) else -1 for id_ in self.ids], dtype=np.int64)

    def divided(self, *, held: Mask, forgotten: Mask, never: Mask, unknown: Mask) -> Split:
        """Return the ids by what they are to a file."""
        named = None
        if self.show:
            parts = {"held": held, "forgotten": forgotten, "never": never, "unknown": unknown}
            named = {name: [self.ids[at] for at in np.flatnonzero(mask).tolist()] for name, mask in parts.items()}
        return Split(int(held.sum()), int(forgotten.sum()), int(never.sum()), int(unknown.sum()), named)

    def all_unknown(self) -> Split:
        """Return the division of which nothing is known."""
        return Split(unknown=len(self.ids), named={"unknown": list(self.ids)} if self.show else None)
