"""What an audit judges, from scores alone: no model, no data, no record."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forgetkit.auditing.check import Check
from forgetkit.auditing.evidence import Evidence
from forgetkit.auditing.predictions import ModelPredictions, Predictions, drawn_retained, predictions_of
from forgetkit.auditing.scores.agreement import (
    Rows,
    check_alike,
    check_control,
    check_copies,
    check_histories,
    rows_in,
)
from forgetkit.auditing.scores.table import Mask, ScoreTable
from forgetkit.auditing.shadow_predictions import (
    Course,
    OnSamples,
    ShadowPredictions,
    count_twins,
    draw_retained,
    draw_sides,
)
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, Warned
from forgetkit.files.id_list import digest_of

NO_WEIGHTS = "no weights were seen: whether these are the scores of the model in use is not checked, nor its record"
REFRESH = "forgetkit shadows refresh, then predict again"


def evidence_from_scores(
    table: ScoreTable,
    original: ScoreTable | None,
    references: Sequence[ScoreTable],
    shadows: Sequence[ScoreTable],
    *,
    tell: Tell,
) -> Evidence:
    """Gather the evidence; samples of other models are found by their ids, in any order.

    Args:
        table: scores of the model under audit.
        original: of the original, the positive control.
        references: of models trained without the samples.
        shadows: of shadow models, twins after each other.
        tell: told what is odd, but no error.

    Raises:
        ForgetkitError: ``scores-malformed`` for a table without forgotten or unseen samples; ``scores-mismatch`` for
            tables that do not belong together.
    """
    for group in ("forget", "unseen"):
        if not len(table.rows(group)):
            hint = "an audit compares samples in question, forget, with samples that were never trained on, unseen"
            raise ForgetkitError("scores-malformed", f"{table.name}: no row is of the group '{group}'", hint)
    named = [owner for owner in table.owners or () if owner]
    if named and len(set(named)) == len(named):
        text = f"{table.name}: each sample has an owner of its own: the column 'owner' changes nothing"
        tell(Warned("owners-unused", text))
    check_alike([table, *([original] if original else []), *references, *shadows])
    forget = table.rows("forget")
    ids = [table.ids[row] for row in forget]
    after = _predictions(table, table, ("forget", "unseen", "retain", "earlier"))
    before = None if original is None else _control(original, table, ("forget", "unseen", "earlier"))
    others = [_control(one, table, ("forget", "unseen")) for one in references]
    check_histories(table, original, references)
    known = [] if original is None or before is None else [(original.name, before)]
    for name, control in known:
        check_control(name, control)
    named_references = zip([one.name for one in references], others, strict=True)
    check_copies([(table.name, after), *known, *named_references], judged=1 + len(known))
    return Evidence(
        ids=ids,
        inputs=_inputs(table, original, references, shadows, ids),
        after=after,
        before=before,
        references=others,
        integrity=_integrity(table, original),
        others=[],
        classes=table.classes,
        shadows=_shadow_predictions(table, shadows) if shadows else None,
        recorded=all(one.saw is not None for one in references),
        by_owner=_by_owner(table),
        weights=False,
    )


def _predictions(one: ScoreTable, table: ScoreTable, groups: Sequence[str]) -> ModelPredictions:
    """Return the predictions of a model on these groups of the table under audit."""
    parts = {name: _on(one, table, table.rows(name)) for name in groups}
    nothing = parts["forget"].take(np.zeros(len(parts["forget"]), dtype=bool))
    others = {name: nothing for name in ("retain", "earlier") if name not in parts}
    return ModelPredictions(**parts, **others, views={}, canaries=np.empty(0))


def _control(one: ScoreTable, table: ScoreTable, groups: Sequence[str]) -> ModelPredictions:
    """Return the predictions of a model to compare with; on drawn retained samples too, if its table has them."""
    found, kept = _predictions(one, table, groups), table.rows("retain")
    rows = kept[drawn_retained(len(kept))]
    if not all(table.ids[row] in one.row_of for row in rows.tolist()):
        return found
    return replace(found, retain=_on(one, table, rows))


def _on(one: ScoreTable, table: ScoreTable, rows: Rows) -> Predictions:
    found = rows_in(one, table, rows)
    return predictions_of(torch.from_numpy(one.logits[found]), torch.from_numpy(one.labels[found]))


def _by_owner(table: ScoreTable) -> bool:
    """Say whether the samples in question are all samples of some owners, of whom one has several."""
    if table.owners is None:
        return False
    asked = [table.owners[row] for row in table.rows("forget").tolist()]
    kept = {table.owners[row] for row in table.rows("retain").tolist()}
    return all(asked) and len(set(asked)) < len(asked) and not kept & set(asked)


def _integrity(table: ScoreTable, original: ScoreTable | None) -> Check:
    """Check what can be checked without weights: that the scores are not the original's."""
    if original is not None and table.digest == original.digest:
        return Check("integrity", "fail", "the scores are the original's, bit for bit", gating=True)
    return Check("integrity", "not-run", NO_WEIGHTS, gating=True)


def _inputs(
    table: ScoreTable,
    original: ScoreTable | None,
    references: Sequence[ScoreTable],
    shadows: Sequence[ScoreTable],
    ids: list[str],
) -> dict[str, Any]:
    """Return the digests of what was given."""
    samples = hashlib.sha256(digest_of(table.ids).encode() + table.labels.tobytes()).hexdigest()
    return {
        "checkpoint": table.digest,
        "original": None if original is None else original.digest,
        "references": [one.digest for one in references],
        **({"shadows": [one.digest for one in shadows]} if shadows else {}),
        "dataset": samples,
        "ids": {"count": len(ids), "digest": digest_of(ids)},
    }


def _shadow_predictions(table: ScoreTable, shadows: Sequence[ScoreTable]) -> ShadowPredictions:
    """Return what the shadow models say of the samples, and which of them had seen which."""
    if len(shadows) % 2:
        message = f"{len(shadows)} tables of shadow models, but they come in pairs"
        raise ForgetkitError("scores-mismatch", message, "give an even number, twins after each other")
    forget, unseen, retain = (table.rows(name) for name in ("forget", "unseen", "retain"))
    retained = retain[draw_retained(table.labels[forget], table.labels[retain])]
    groups = _groups(table)
    courses = [_course(one, table, forget) for one in shadows]
    here = np.stack([_saw(one)[rows_in(one, table, forget)] for one in shadows[1::2]])
    kept = np.stack([_saw(one)[rows_in(one, table, retained)] for one in shadows[1::2]])
    for (first, second), left, right in zip(_pairs(shadows), courses[::2], courses[1::2], strict=True):
        if not np.array_equal(left.saw, ~right.saw):
            message = f"{second.name}: its half does not complete that of {first.name}"
            hint = "of two twins, one saw each sample: write 'saw' as 1 or 0, and give twins after each other"
            raise ForgetkitError("scores-mismatch", message, hint)
    step = _step(table) if table.model else next((one.step for one in courses if one.step), None)
    counts, why = count_twins(courses, step, REFRESH)
    column = next((one.model["group"] for one in shadows if one.model and one.model.get("group")), None)
    if column and table.owners is None:  # one coin for each sample would be too many
        counts, why = np.zeros_like(counts), f"the halves go by {column}: forgetkit predict --owner {column} writes it"
    scores = [[_on(one, table, rows).phi for one in shadows] for rows in (forget, unseen, retained)]
    drawn = draw_sides(len(forget), len(unseen))
    return ShadowPredictions(
        OnSamples(np.stack(scores[0]), here, groups[forget]),
        OnSamples(np.stack(scores[1]), here[:, drawn], np.arange(len(unseen))),
        OnSamples(np.stack(scores[2]), kept, groups[retained]),
        counts,
        why,
    )


def _pairs(shadows: Sequence[ScoreTable]) -> list[tuple[ScoreTable, ScoreTable]]:
    return list(zip(shadows[::2], shadows[1::2], strict=True))


def _groups(table: ScoreTable) -> NDArray[np.int64]:
    """Return the number of each sample's owner; without owners, its own number."""
    if table.owners is None:
        return np.arange(len(table))
    keys = [owner or row for row, owner in enumerate(table.owners)]  # without an owner, a sample is by itself
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys])


def _course(one: ScoreTable, table: ScoreTable, rows: Rows) -> Course:
    """Return what became of the samples in question in a shadow model; without word of it, the step under audit."""
    found = rows_in(one, table, rows)
    saw = _saw(one)[found]
    forgot = np.ones_like(saw) if one.forgot is None else one.forgot[found]
    return Course(saw, saw & ~forgot, _step(one))


def _saw(one: ScoreTable) -> Mask:
    """Return which samples a shadow model was trained on; raises ForgetkitError if its table does not say."""
    if one.saw is None:
        hint = "add a column 'saw': 1 where the model was trained on the sample, else 0"
        raise ForgetkitError("scores-malformed", f"{one.name}: the table does not say what the model saw", hint)
    return one.saw


def _step(one: ScoreTable) -> SimpleNamespace | None:
    """Return the last step that unlearned, as the file has it; where it says nothing, one without a name."""
    if one.model is None:
        return SimpleNamespace(command="", options={})
    step = one.model.get("step")
    return None if step is None else SimpleNamespace(command=step["command"], options=step["options"])
