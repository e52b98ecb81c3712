"""Whether tables of scores belong together: the same samples and classes, different models, the right histories."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.predictions import ModelPredictions
from forgetkit.auditing.scores.table import Mask, ScoreTable
from forgetkit.errors import ForgetkitError, shorten

Rows = NDArray[np.int64]
COPY = 0.001
"""Most that φ of one model differs from run to run, as a share of φ, 1 added: by other rounding, or other batches."""


def rows_in(one: ScoreTable, table: ScoreTable, rows: Rows) -> Rows:
    """Return the rows of another model's table that are of the same samples as ``rows`` of the first.

    Raises:
        ForgetkitError: ``scores-mismatch`` for a sample that is missing, or has another label.
    """
    if one is table or one.ids == table.ids:
        found = rows
    else:
        places = [one.row_of.get(table.ids[row], -1) for row in rows.tolist()]
        found = np.array(places, dtype=np.int64)
    if len(missing := np.flatnonzero(found < 0)):
        row = int(rows[missing[0]])
        message = f"{len(missing)} of {len(rows)} '{table.groups[row]}' samples of {table.name} are missing"
        hint = f"write scores of the same samples, such as '{shorten(table.ids[row])}'"
        raise ForgetkitError("scores-mismatch", f"{one.name}: {message}", hint)
    if len(other := np.flatnonzero(one.labels[found] != table.labels[rows])):
        row, place = int(rows[other[0]]), int(found[other[0]])
        message = f"'{shorten(table.ids[row])}' has the label {one.labels[place]}, in {table.name} {table.labels[row]}"
        raise ForgetkitError("scores-mismatch", f"{one.name}: {message}", "number samples and classes the same way")
    return found


def check_alike(tables: Sequence[ScoreTable]) -> None:
    """Refuse tables of different classes, and one that is given twice.

    Args:
        tables: that of the model under audit first; the second may have the same scores.

    Raises:
        ForgetkitError: ``scores-mismatch``.
    """
    first, digests = tables[0], dict[str, str]()
    for one in tables:
        if one.logits.shape[1] != first.logits.shape[1]:
            classes = f"scores of {one.logits.shape[1]} classes, but {first.name} of {first.logits.shape[1]}"
            raise ForgetkitError("scores-mismatch", f"{one.name}: {classes}", "both models must have the same classes")
        if one.classes and first.classes and one.classes != first.classes:
            message = f"{one.name}: its classes are named otherwise than in {first.name}, or in another order"
            raise ForgetkitError("scores-mismatch", message, "number the classes the same way")
    for one in tables[1:]:
        if other := digests.get(one.digest):
            message = f"{one.name}: these are the scores of {other} again"
            raise ForgetkitError("scores-mismatch", message, "leave one of them out: a copy is no second model")
        digests[one.digest] = one.name


def check_histories(table: ScoreTable, original: ScoreTable | None, references: Sequence[ScoreTable]) -> None:
    """Refuse models whose tables say that they saw what they must not have seen, or not what they must have.

    A table says so by ``saw`` and ``forgot``, or by its own groups: a sample that it calls retained was trained on.

    Raises:
        ForgetkitError: ``scores-mismatch`` for an unseen sample that was trained on, a reference that was trained on
            samples in question, or an original that was not.
    """
    forget, unseen = table.rows("forget"), table.rows("unseen")
    for one in (table, *([original] if original else []), *references):
        if count := int((_saw(one) | ~_is(one, "unseen"))[rows_in(one, table, unseen)].sum()):
            message = f"{one.name}: by its 'group' or 'saw', it was trained on {count} of the 'unseen' samples"
            raise ForgetkitError("scores-mismatch", message, "unseen samples were trained on by none of the models")
    for one in references:
        held = (_saw(one) & ~_forgot(one)) | _is(one, "retain")
        if count := int(held[rows_in(one, table, forget)].sum()):
            message = f"{one.name}: it was trained on {count} of the samples in question, so it is no reference"
            raise ForgetkitError("scores-mismatch", message, "a reference is trained from scratch without them")
    if original is not None:
        rows = rows_in(original, table, forget)
        gone = _forgot(original) | _is(original, "unseen") | (~_saw(original) & (original.saw is not None))
        if count := int(gone[rows].sum()):
            message = f"{original.name}: it never saw, or forgot, {count} of the {len(rows)} samples in question"
            raise ForgetkitError("scores-mismatch", message, "the original is the model that was trained on them")


def _is(one: ScoreTable, group: str) -> Mask:
    """Say which samples are of a group."""
    return np.isin(np.arange(len(one)), one.rows(group))


def _saw(one: ScoreTable) -> Mask:
    """Say which samples the table says the model was trained on."""
    return np.zeros(len(one), dtype=bool) if one.saw is None else one.saw


def _forgot(one: ScoreTable) -> Mask:
    """Say which samples the table says the model has forgotten."""
    return np.zeros(len(one), dtype=bool) if one.forgot is None else one.forgot


def check_control(name: str, before: ModelPredictions) -> None:
    """Refuse an original that is no better than guessing at samples in question and unseen ones together.

    Raises:
        ForgetkitError: ``scores-mismatch``.
    """
    right = np.concatenate([before.forget.correct, before.unseen.correct])
    if right.mean() <= 1 / before.forget.softmax.shape[1]:
        message = f"{name}: it is right on {int(right.sum()):,} of {len(right):,} samples, no better than guessing"
        raise ForgetkitError("scores-mismatch", message, "are its classes in the order of the labels?")


def check_copies(models: Sequence[tuple[str, ModelPredictions]], judged: int) -> None:
    """Refuse a model that is given twice, in another order of rows or with other rounding.

    Args:
        models: name and predictions of the model under audit, the original and the references.
        judged: how many of them come before the references; those may be alike.

    Raises:
        ForgetkitError: ``scores-mismatch``.
    """
    scores = [np.concatenate([one.forget.phi, one.unseen.phi]) for _, one in models]
    for one, other in combinations(range(len(models)), 2):
        if other < judged:
            continue
        if (np.abs(scores[one] - scores[other]) <= COPY * (1 + np.abs(scores[other]))).all():
            message = f"{models[other][0]}: these are the scores of {models[one][0]} again, but for rounding"
            raise ForgetkitError("scores-mismatch", message, "leave one of them out: a copy is no second model")
