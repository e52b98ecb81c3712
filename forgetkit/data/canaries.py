"""Canaries: training samples that a coin flip included or withheld, so that an audit can count guesses. Without torch.

All draws are keyed hashes of seed and id: they need no state, and no draw depends on other samples.
Source: Steinke, Nasr & Jagielski, "Privacy auditing with one (1) training run", 2023.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset, at_size
from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, check_shape

KINDS = ("mislabelled", "natural")
FEWEST = 8
"""Least number of candidates: with fewer, guesses prove nothing."""

_SHAPE = {"count": int, "digest": str, "keys": str, "kind": str, "seed": int, "commitment": str}


@dataclass(frozen=True)
class Canaries:
    """The candidates of a training, in the order of their draw, which does not depend on the coin flips.

    Attributes:
        rows: training rows, int64 of shape ``(candidates,)``.
        included: whether the coin flip included the candidate, bool of the same shape.
        labels: assigned labels, int64 of the same shape; an included candidate was trained with its label.
    """

    rows: NDArray[np.int64]
    included: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def included_rows(self) -> NDArray[np.int64]:
        """Training rows of the candidates that were trained on."""
        return self.rows[self.included]

    @property
    def withheld_rows(self) -> NDArray[np.int64]:
        """Training rows of the candidates that no step may ever read."""
        return self.rows[~self.included]


def draw_canaries(dataset: Dataset, rows: NDArray[np.int64], *, count: int, kind: str, seed: int) -> Canaries:
    """Draw candidates, flip their coins, and assign their labels: another class, uniformly, or (natural) their own.

    Args:
        dataset: with the training split and its true labels.
        rows: training rows to draw from.
        count: number of candidates.
        kind: one of ``KINDS``.
        seed: of all draws.

    Raises:
        ForgetkitError: ``usage`` for too low or too high a count, or wrong labels where there is only one class.
    """
    if not FEWEST <= count <= len(rows):
        message = f"--canaries: {count} is not between {FEWEST} and the {len(rows)} samples to train on"
        raise ForgetkitError("usage", message, "draw fewer" if count > len(rows) else "draw hundreds")
    if kind == "mislabelled" and len(dataset.classes) < 2:
        raise ForgetkitError("usage", f"{dataset.name} has only one class, so no wrong labels", "--canary-kind natural")
    return _drawn(dataset, _ordered(dataset, rows, seed)[:count], kind, seed)


def entry_of(canaries: Canaries, dataset: Dataset, *, kind: str, seed: int, salt: str) -> dict[str, Any]:
    """Return the entry of the recipe for canaries: keyed digests of their ids, kind, seed and the commitment."""
    ids = dataset.train.ids_at(canaries.rows)
    commitment = _commitment(canaries, ids, kind, seed)
    return {**KeySet.of(ids, salt).to_json(), "kind": kind, "seed": seed, "commitment": commitment}


def open_canaries(record: Record, dataset: Dataset, seed: int | None = None) -> Canaries | None:
    """Return the canaries that a model was trained with; None if there are none.

    Args:
        record: with the recipe that has the commitment.
        dataset: that the model was trained on, as it is or :func:`relabelled`.
        seed: of the draws; the recorded one if not given.

    Raises:
        ForgetkitError: ``canaries-mismatch`` where seed and data do not reproduce the committed draws;
            ``checkpoint-malformed`` where the entry of the record cannot be read.
    """
    if "canaries" not in record.recipe:
        return None
    entry, keys = _read(record)
    seed = entry["seed"] if seed is None else seed
    kind = entry["kind"]
    rows = _ordered(dataset, np.flatnonzero(keys.contains(dataset.train.ids)), seed)
    found = _drawn(dataset, rows, kind, seed)
    trained = np.where(found.included, dataset.train.labels[rows], found.labels)  # as relabelled data has them
    ids = dataset.train.ids_at(rows)
    for canaries in (found, replace(found, labels=trained)):
        if _commitment(canaries, ids, kind, seed) == entry["commitment"]:
            return canaries
    message = f"seed {seed} does not reproduce the canaries that the record commits to"
    raise ForgetkitError("canaries-mismatch", message, "give the --seed of train --canaries, and the same data")


def relabelled(dataset: Dataset, canaries: Canaries) -> Dataset:
    """Return the data set as the training saw it: included canaries have their assigned labels.

    It shares the images and keeps the fingerprint of the data with true labels.
    """
    labels = dataset.train.labels.copy()
    labels[canaries.included_rows] = canaries.labels[canaries.included]
    return replace(dataset, train=replace(dataset.train, labels=labels))


def as_trained(dataset: Dataset, record: Record) -> Dataset:
    """Return the data set as the model of ``record`` saw it: labels of its canaries, images at the size of its input.

    Raises:
        ForgetkitError: as :func:`open_canaries`.
    """
    canaries = open_canaries(record, dataset)
    return at_size(relabelled(dataset, canaries) if canaries else dataset, record.image_size)


def _drawn(dataset: Dataset, rows: NDArray[np.int64], kind: str, seed: int) -> Canaries:
    """Return the candidates ``rows`` with their coin flips and labels."""
    ids, classes = dataset.train.ids_at(rows), len(dataset.classes)
    included = np.array([_hash(seed, "coin", id_) & 1 for id_ in ids], dtype=bool)
    labels = dataset.train.labels[rows]
    if kind == "mislabelled" and classes > 1:
        shifts = [1 + _hash(seed, "label", id_) % (classes - 1) for id_ in ids]
        labels = (labels + np.array(shifts, dtype=np.int64)) % classes
    return Canaries(rows, included, labels)


def _ordered(dataset: Dataset, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return ``rows`` in the order in which candidates are drawn."""
    places = [_hash(seed, "candidate", id_) for id_ in dataset.train.ids_at(rows)]
    return rows[np.argsort(np.array(places, dtype=np.uint64), kind="stable")]


def _hash(seed: int, purpose: str, id_: str) -> int:
    """Return 64 bits that depend only on seed, purpose and id."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/canaries/{purpose}/{id_}".encode(), digest_size=8).digest())


def _commitment(canaries: Canaries, ids: Iterable[str], kind: str, seed: int) -> str:
    """Return the SHA-256 (hex) over compact JSON of ``[seed, kind, [[id, included, label], …]]``."""
    drawn = zip(ids, canaries.included.tolist(), canaries.labels.tolist(), strict=True)
    return hashlib.sha256(compact_json([seed, kind, list(drawn)]).encode()).hexdigest()


def _read(record: Record) -> tuple[dict[str, Any], KeySet]:
    """Return the entry of the recipe, and the keys of the candidates."""
    entry = record.recipe["canaries"]
    try:
        check_shape(entry, _SHAPE, "'canaries' of the recipe")
        keys = KeySet.from_json(entry, record.forgotten.salt)
        if entry["kind"] not in KINDS or entry["seed"] < 0 or len(keys) < FEWEST:
            raise ValueError("kind, seed or count is out of range")
    except (TypeError, ValueError) as problem:
        message = f"the canaries of the record cannot be read ({problem})"
        raise ForgetkitError("checkpoint-malformed", message, "give a checkpoint that forgetkit wrote") from problem
    return entry, keys
