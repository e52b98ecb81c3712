"""A table of scores: what one model says of each sample, and what was done with the sample. Format: docs/formats.md."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_list import digest_of

GROUPS = ("forget", "retain", "unseen", "earlier")
"""What may have been done with a sample: it is in question, retained, never trained on, or was forgotten before."""
TOLERANCE = 0.01
"""How far the probabilities of a sample may sum up to something else than 1: they may have been rounded."""
NEARLY = 0.2
"""How far a sum may be from the right one, as a share, and still tell what went wrong."""
SMALLEST = float(np.finfo(np.float64).tiny)
Mask = NDArray[np.bool_]
Place = Callable[[int], str]
"""Returns the name of a row, counted from 0, in messages."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one model.

    Attributes:
        name: of the file, in messages.
        ids: one per sample, unique.
        labels: true classes, int64 of shape ``(samples,)``.
        groups: of :data:`GROUPS`, one per sample.
        logits: float of shape ``(samples, classes)``; of probabilities, their logarithms.
        owners: the person that each sample is of, if the file says.
        saw: whether the model was ever trained on each sample, if the file says.
        forgot: whether it has forgotten it, if the file says.
        classes: names of the classes; none if they have only numbers.
        model: what the file says of the model: ``digest``, and ``step``, the last one that unlearned.
    """

    name: str
    ids: list[str]
    labels: NDArray[np.int64]
    groups: list[str]
    logits: NDArray[np.floating[Any]]
    owners: list[str] | None = None
    saw: Mask | None = None
    forgot: Mask | None = None
    classes: tuple[str, ...] = ()
    model: dict[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, group: str) -> NDArray[np.int64]:
        """Return the numbers of the rows of a group."""
        return np.flatnonzero(self._groups == group)

    @cached_property
    def _groups(self) -> NDArray[np.str_]:
        return np.array(self.groups)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row number of each id."""
        return {id_: row for row, id_ in enumerate(self.ids)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the scores, with the samples that they are of."""
        found = hashlib.sha256(digest_of(self.ids).encode())
        found.update(np.ascontiguousarray(self.labels).tobytes())
        found.update(np.ascontiguousarray(self.logits, dtype=np.float64).tobytes())
        return found.hexdigest()


def check_table(table: ScoreTable, place: Place) -> ScoreTable:
    """Refuse a table that no audit could judge; return it.

    Args:
        table: as it was read.
        place: names its rows.

    Raises:
        ForgetkitError: ``scores-malformed``; names the first row that is wrong.
    """
    classes = table.logits.shape[1]
    if classes < 2:
        raise scores_malformed(table.name, f"scores of {classes} class", "give one column for each class, two or more")
    known = set(GROUPS)
    for row, group in enumerate(table.groups):
        if group not in known:
            hint = "a group is forget, retain or unseen (or earlier, for samples forgotten before)"
            raise scores_malformed(place(row), f"'{shorten(group)}' is no group", hint)
    outside = np.flatnonzero((table.labels < 0) | (table.labels >= classes))
    if len(outside):
        row = int(outside[0])
        hint = "a label is the number of the column of its class, from 0"
        message = f"the label {table.labels[row]}, but scores of {classes} classes"
        raise scores_malformed(place(row), message, hint)
    bad = np.flatnonzero(~np.isfinite(table.logits).all(axis=1))
    if len(bad):
        message = f"a score is NaN or infinite ({len(bad)} such rows)"
        raise scores_malformed(
            place(int(bad[0])), message, "write finite numbers; a model that has none cannot be judged"
        )
    _check_unique(table.ids, place)
    return table


def logits_of(probabilities: NDArray[np.floating[Any]], place: Place) -> NDArray[np.float64]:
    """Return logits of which ``probabilities`` are the softmax: their logarithms; 0 counts as the smallest number.

    Args:
        probabilities: float of shape ``(samples, classes)``.
        place: names the rows.

    Raises:
        ForgetkitError: ``scores-malformed`` for a row that is no distribution.
    """
    found = probabilities.astype(np.float64)
    with np.errstate(invalid="ignore"):
        wrong = np.isfinite(found).all(axis=1) & ((found < 0).any(axis=1) | (abs(found.sum(axis=1) - 1) > TOLERANCE))
        bad = np.flatnonzero(wrong)
        if len(bad):
            row = int(bad[0])
            message = f"the probabilities sum up to {found[row].sum():.4g}, not 1 ({len(bad)} such rows)"
            if (found[row] < 0).any():
                message = f"a probability is negative ({len(bad)} such rows)"
            raise scores_malformed(place(row), message, _cure(found[row]))
        logits: NDArray[np.float64] = np.log(np.maximum(found, SMALLEST))
    return np.where(np.isfinite(found), logits, np.nan)


def _cure(row: NDArray[np.float64]) -> str:
    """Say what to do about a row that is no distribution."""
    if (row < 0).any() or row.sum() > 200:
        return "if they are raw outputs of the model, call them logits"
    if abs(row.sum() - 100) < 100 * NEARLY:
        return "if they are percentages, divide them by 100"
    if abs(row.sum() - 1) < NEARLY:
        return "if they were rounded, write all digits, or logits: rounding hides what is remembered"
    return "write one probability for each class; if they are raw outputs of the model, call them logits"


def _check_unique(ids: Sequence[str], place: Place) -> None:
    if len(set(ids)) == len(ids):
        return
    first: dict[str, int] = {}
    for row, id_ in enumerate(ids):
        if id_ in first:
            message = f"the id '{shorten(id_)}' is in {place(first[id_])} too"
            raise scores_malformed(place(row), message, "one row per sample, in one group")
        first[id_] = row


def scores_malformed(place: str, message: str, hint: str) -> ForgetkitError:
    """Return the error for a table of scores that cannot be read."""
    return ForgetkitError("scores-malformed", f"{place}: {message}", hint)
