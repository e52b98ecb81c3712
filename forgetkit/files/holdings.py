"""Which checkpoints hold which ids, read from their records alone; without torch."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from forgetkit.errors import ForgetkitError, did_you_mean
from forgetkit.files.header import read_header, record_in
from forgetkit.files.record import Record
from forgetkit.files.wanted_ids import Split, Wanted

STATES = ("held", "unknown", "unreadable", "forgotten", "never")
"""What a file may be to the ids: it holds some of them; that cannot be known; it cannot be read; it has forgotten some
and holds none; it was trained on none of them. In the order in which they are listed."""
UNNAMED = {"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn"}
"""Data sets whose ids are the row numbers of their training split, from 0."""


@dataclass(frozen=True)
class Holding:
    """A file that was found, and what it is to the ids.

    Attributes:
        path: of the file.
        state: one of ``STATES``.
        ids: the ids, divided.
        digest: of the checkpoint; None if it has no record.
        dataset: name of its data set; None likewise.
        fingerprint: of its data set as it is now.
        salt: fingerprint of its data set at the first training: models with the same one name samples alike.
        shadow_of: digest of the model that a shadow model was trained like.
        state_of: digest of the checkpoint that an optimizer state belongs to.
        ancestors: digests of the models that it was made from, or trained like.
        teachers: digests of the models that it was distilled from.
        stepped: whether ids were removed from its weights, rather than left out of its training.
        why: of a file that says nothing, in words; empty for others.
    """

    path: Path
    state: str
    ids: Split
    digest: str | None = None
    dataset: str | None = None
    fingerprint: str | None = None
    salt: str | None = None
    shadow_of: str | None = None
    state_of: str | None = None
    ancestors: frozenset[str] = frozenset()
    teachers: frozenset[str] = frozenset()
    stepped: bool = False
    why: str = ""


def holding_of(path: Path, wanted: Wanted) -> Holding:
    """Return what the file at ``path`` says of the ids; a file that cannot be read says why."""
    try:
        header = read_header(path)
        metadata = header.get("__metadata__")
        metadata = metadata if isinstance(metadata, dict) else {}
        if "forgetkit" in metadata:
            return _of_record(path, record_in(header, path), wanted)
    except ForgetkitError as problem:
        why = problem.message.removeprefix(f"{path}: ")
        return unreadable(path, why, wanted)
    if "forgetkit-optimizer" in metadata:
        return _unknown(path, wanted, "an optimizer state", state_of=_named(metadata["forgetkit-optimizer"]))
    if "forgetkit-state" in metadata:
        return _unknown(path, wanted, "left by an interrupted run: repeat that, or delete it")
    return _unknown(path, wanted, "no forgetkit record")


def unreadable(path: Path, why: str, wanted: Wanted) -> Holding:
    """Return the entry of a file or folder that cannot be read."""
    return Holding(path, "unreadable", wanted.all_unknown(), why=why)


def _unknown(path: Path, wanted: Wanted, why: str, *, state_of: str | None = None) -> Holding:
    return Holding(path, "unknown", wanted.all_unknown(), state_of=state_of, why=why)


def _named(text: object) -> str | None:
    """Return the digest of the checkpoint that the entry of an optimizer state names."""
    try:
        found = json.loads(text)["checkpoint"] if isinstance(text, str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _of_record(path: Path, record: Record, wanted: Wanted) -> Holding:
    ids = _division(record, wanted)
    options = [step.options for step in record.steps]
    made_from = [step.parent for step in record.steps] + [one.get("like") for one in options]
    teachers = [value for one in options for name, value in one.items() if name.endswith("teacher")]
    taught = [one for value in teachers for one in (value if isinstance(value, list) else [value])]
    return Holding(
        path,
        ids.state,
        ids,
        digest=record.digest,
        dataset=record.dataset["name"],
        fingerprint=record.dataset["fingerprint"],
        salt=record.forgotten.salt,
        shadow_of=_shadow_of(record),
        ancestors=_texts(made_from),
        teachers=_texts(taught),
        stepped=bool(record.unlearning),
        why=_reservation(record, ids),
    )


def _division(record: Record, wanted: Wanted) -> Split:
    """Divide the ids by what a record says of them.

    Without a list of what it was trained on, a model was trained on the whole training split. Its ids are row numbers
    then, unless it was adopted or retrained like such a one: data with ids of their own are listed otherwise.
    """
    forgotten = wanted.in_set(record.forgotten)
    rest, foreign = ~forgotten, _adopted_whole(record)
    if record.trained is not None:
        held = wanted.in_set(record.trained) & rest
        known = np.full(len(rest), not foreign)
    elif foreign:
        held = known = np.zeros(len(rest), dtype=bool)
    elif record.dataset["name"] in UNNAMED:
        size = min(record.dataset["size"], 10**18)
        held, known = rest & (wanted.rows >= 0) & (wanted.rows < size), np.ones(len(rest), dtype=bool)
    else:  # which rows were held out is not recorded, so any row number may be a training sample
        held = rest & (wanted.rows >= 0)
        known = held
    left = rest & ~held
    return wanted.divided(held=held, forgotten=forgotten, never=left & known, unknown=left & ~known)


def _adopted_whole(record: Record) -> bool:
    """Say whether the weights were trained elsewhere on data that only whoever adopted them knows."""
    first = record.steps[0] if record.steps else None
    return first is not None and first.command == "adopt" and "replace_head" not in first.options


def _reservation(record: Record, ids: Split) -> str:
    if ids.unknown and _adopted_whole(record):
        return "adopted: what it was trained on is not recorded"
    return "trained on the whole split, whose ids are not recorded" if ids.unknown else ""


def _shadow_of(record: Record) -> str | None:
    """Return the digest of the model that a shadow model was trained like; None for other models."""
    trainings = [step for step in record.steps if step.trains]
    entry: Any = trainings[-1].options.get("shadow") if trainings else None
    of = entry.get("of") if isinstance(entry, dict) else None
    return of if isinstance(of, str) else None


def _texts(values: Iterable[object]) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str))


def with_optimizers(holdings: Sequence[Holding]) -> list[Holding]:
    """Return the same files, each optimizer state with what its checkpoint holds.

    The state of a checkpoint from which ids were removed has averages over the steps that removed them, so whether it
    shows them cannot be known.
    """
    models = {one.digest: one for one in holdings if one.digest is not None}
    found = []
    for one in holdings:
        model = models.get(one.state_of) if one.state_of is not None else None
        if model is not None:
            data = {"dataset": model.dataset, "fingerprint": model.fingerprint, "salt": model.salt}
            silent = model.stepped and model.state == "forgotten"
            said = {} if silent else {"ids": model.ids, "state": model.state}
            one = replace(one, **data, **said)  # type: ignore[arg-type]
        found.append(one)
    return found


def without_folders(name: str) -> str:
    """Return the name of a data set as a record holds it."""
    kind, colon, path = name.partition(":")
    return kind + colon + path.rstrip("/").rpartition("/")[2]


def of_dataset(holdings: Sequence[Holding], name: str) -> list[Holding]:
    """Return the files whose data set is the one meant, and those that do not say theirs.

    Args:
        holdings: all files.
        name: of the data set, with or without folders, or the first digits of its fingerprint, four or more.

    Raises:
        ForgetkitError: ``dataset-unknown`` where files name their data sets, and none names this one.
    """
    plain = without_folders(name)
    prefix = name.lower() if re.fullmatch(r"[0-9a-fA-F]{4,64}", name) else None

    def fits(one: Holding) -> bool:
        """Say whether a file's data set has this name, or a fingerprint that begins so."""
        begun = prefix and any(text.startswith(prefix) for text in (one.fingerprint, one.salt) if text)
        return one.dataset in {name, plain} or bool(begun)

    known = [one for one in holdings if one.dataset is not None]
    if known and not any(map(fits, known)):
        names = sorted({str(one.dataset) for one in known})
        message = f"'{name}' is the data set of none of these checkpoints"
        raise ForgetkitError("dataset-unknown", message, did_you_mean(name, names), option="dataset")
    return [one for one in holdings if one.dataset is None or fits(one)]


def datasets_of(holdings: Sequence[Holding]) -> list[str]:
    """Return the names of the data sets in whose models the ids are, or were, one for each first fingerprint."""
    found = {one.salt: str(one.dataset) for one in holdings if one.salt and one.state in {"held", "forgotten"}}
    return sorted(found.values())
