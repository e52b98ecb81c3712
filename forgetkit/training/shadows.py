"""Shadow models: trained like a model, each on a random half of its samples, in complementary pairs.

Half of the shadow models never saw a given sample: they show what a model says of it that was not trained on it. The
construction is that of Carlini et al. 2022, "Membership Inference Attacks From First Principles"; that they also give
unlearning its targets is ours. The side of a sample in each pair is a bit of a keyed hash of its group: of its id, or
of its value in a column, so that all samples of one person are on one side. No list is kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.deleted_rows import check_same_data, same_data
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, Warned, silent
from forgetkit.files.header import read_record
from forgetkit.files.id_list import digest_of
from forgetkit.files.record import Record
from forgetkit.training.recipe import without_machine

Mask = NDArray[np.bool_]
SUFFIX = ".shadows"
"""Of the folder beside a checkpoint."""


def sides(groups: Sequence[str], pairs: int, salt: str) -> Mask:
    """Return the side of each sample in each pair of shadow models, bool of shape ``(pairs, samples)``.

    Args:
        groups: the group of each sample: its id, or what it has in common with others.
        pairs: number of pairs, at most 64.
        salt: key of the hash, 32 bytes in hex.
    """
    key = bytes.fromhex(salt)
    known: dict[str, int] = {}
    for group in groups:
        if group not in known:
            hashed = hashlib.blake2b(group.encode(), digest_size=8, key=key, person=b"shadow")
            known[group] = int.from_bytes(hashed.digest())
    bits = np.array([known[group] for group in groups], dtype=np.uint64)
    found: Mask = (bits[None] >> np.arange(pairs, dtype=np.uint64)[:, None]) & np.uint64(1) == 1
    return found


def folder_beside(path: Path) -> Path:
    """Return the folder of a checkpoint's shadow models: ``model.st`` → ``model.shadows``."""
    return path.with_name(path.stem + SUFFIX)


@dataclass(frozen=True)
class Shadow:
    """A shadow model.

    Attributes:
        path: its checkpoint.
        record: its record.
        entry: what it is: ``of`` (digest of the model that it was trained like), ``number``, ``count`` and ``group``
            (the column that samples are grouped by, or None).
    """

    path: Path
    record: Record
    entry: dict[str, Any]

    @property
    def number(self) -> int:
        """Its number; that of its twin differs in the last bit."""
        return int(self.entry["number"])

    def holds(self, ids: Sequence[str]) -> Mask:
        """Say for each of ``ids`` whether it was trained on it and has not forgotten it."""
        return self.record.retains(ids)


@dataclass(frozen=True)
class Shadows:
    """All shadow models of a folder, in the order of their numbers."""

    folder: Path
    members: list[Shadow]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def group(self) -> str | None:
        """The column that samples are grouped by; None if each is by itself."""
        found: str | None = self.members[0].entry["group"]
        return found

    @property
    def of(self) -> str:
        """Digest of the model that they were trained like."""
        return str(self.members[0].entry["of"])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the digests of all."""
        return digest_of([one.record.digest for one in self.members])

    def never_saw(self, ids: Sequence[str]) -> Mask:
        """Say which never saw which of ``ids``, bool of shape ``(shadow models, ids)``."""
        return np.stack([one.record.never_saw(ids) for one in self.members])

    def stale(self, ids: Sequence[str]) -> list[Shadow]:
        """Return those that still hold some of ``ids``."""
        return [one for one in self.members if one.holds(ids).any()]


def open_shadows(folder: Path) -> Shadows:
    """Read and check the records of a folder of shadow models.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` if they do not belong
            together; the message says which.
    """
    first = read_shadow(folder / "0.st")
    members = [first, *(read_shadow(folder / f"{number}.st") for number in range(1, int(first.entry["count"])))]
    for number, one in enumerate(members):
        if one.number != number:
            raise _mismatch(one, f"it is shadow model {one.number}")
        for name, what in (("of", "another model"), ("count", "another set"), ("group", "another grouping")):
            if one.entry[name] != first.entry[name]:
                raise _mismatch(one, f"it belongs to {what} than {first.path}")
        check_same_data(one.path, one.record, first.record, "shadow model")
    whole = _size(members[0], members[1])
    for left, right in zip(members[::2], members[1::2], strict=True):
        overlap = np.isin(left.record.trained.keys, right.record.trained.keys).any()  # type: ignore[union-attr]
        if overlap or _size(left, right) != whole:
            raise _mismatch(right, f"its half does not complete that of {left.path}")
    return Shadows(folder, members)


def read_shadow(path: Path) -> Shadow:
    """Return a shadow model, its record read; raises ForgetkitError as :func:`open_shadows`."""
    record = read_record(path)
    trainings = [step for step in record.steps if step.trains]
    entry = trainings[-1].options.get("shadow") if trainings else None
    if not isinstance(entry, dict) or record.trained is None or not _is_entry(entry):
        hint = "make them with: forgetkit train --like model.st --shadows 8 -o model.shadows/{n}.st"
        raise ForgetkitError("checkpoint-mismatch", f"{path}: this is no shadow model", hint)
    return Shadow(path, record, entry)


def _is_entry(entry: dict[str, Any]) -> bool:
    """Say whether ``entry`` says which shadow model a checkpoint is."""
    kinds = {"of": str, "number": int, "count": int, "group": str | None}
    known = all(isinstance(entry.get(name), kind) for name, kind in kinds.items())
    return known and 0 <= entry["number"] < entry["count"] and entry["count"] % 2 == 0


def _size(left: Shadow, right: Shadow) -> int:
    return len(left.record.trained or ()) + len(right.record.trained or ())


def _mismatch(shadow: Shadow, why: str) -> ForgetkitError:
    hint = "train that one again: forgetkit train --like ORIGINAL.st --shadows K -o FOLDER/{n}.st"
    return ForgetkitError("checkpoint-mismatch", f"{shadow.path}: {why}", hint)


def shadows_of(path: Path, record: Record, folder: str | None = None, tell: Tell = silent) -> Shadows | None:
    """Return the shadow models of a checkpoint: those of any model of its recipe, trained on its data.

    Args:
        path: the checkpoint, beside which they are looked for.
        record: its record.
        folder: where they are, if not there.
        tell: receives a warning if a folder beside it cannot be used.

    Returns:
        them; None if no folder is given and none fits.

    Raises:
        ForgetkitError: for those in ``folder``, as :func:`open_shadows`; ``checkpoint-mismatch`` for those of another
            recipe or of other data.
    """
    if folder is not None:
        found = open_shadows(Path(folder))
        check_same_data(found.members[0].path, found.members[0].record, record, "shadow model")
        if not _fits(found, record):
            message = f"{folder}: the shadow models were trained by another recipe than the model"
            raise ForgetkitError("checkpoint-mismatch", message, "name those of the original that it descends from")
        return found
    for place in sorted(path.parent.glob(f"*{SUFFIX}")):
        try:
            found = open_shadows(place)
        except ForgetkitError as problem:
            tell(Warned("shadows-unusable", problem.message))
            continue
        if _fits(found, record):
            return found
    return None


def _fits(shadows: Shadows, record: Record) -> bool:
    """Say whether a model and shadow models have the same recipe, whatever the machine, and data."""
    of = shadows.members[0].record
    same = of.model == record.model and without_machine(of.recipe) == without_machine(record.recipe)
    same = same and of.forgotten.salt == record.forgotten.salt
    return same and same_data(of, record) and of.input["shape"] == record.input["shape"]
