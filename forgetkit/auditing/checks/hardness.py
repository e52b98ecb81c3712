"""The ids in thirds by how much the original had memorised them: a clean average may hide a few that are remembered."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forgetkit.auditing.check import Check
from forgetkit.auditing.predictions import ModelPredictions
from forgetkit.auditing.shadow_predictions import ShadowPredictions
from forgetkit.statistics.hardness import Group, Mask, compare_parts, memorised, never_memorised, surer, thirds
from forgetkit.statistics.intervals import Estimate
from forgetkit.statistics.membership_auc import stratified_auc
from forgetkit.statistics.strata import Scores

NAMES = ("hardness-memorised", "hardness-vulnerable", "hardness-safe")
"""The thirds, by how much was memorised of them: most, some, least."""
FEWEST_IDS = 9
"""Fewest ids that are divided."""
CALIBRATED_FROM = 5
"""Fewest references with which a third has a right value and an interval."""


def hardness_checks(
    after: ModelPredictions,
    before: ModelPredictions | None,
    references: Sequence[ModelPredictions],
    shadows: ShadowPredictions | None,
    *,
    level: float,
) -> list[Check]:
    """Return what the model shows of each third of the ids, as information.

    Args:
        after: predictions of the model under audit.
        before: those of the original, which says how much was memorised.
        references: those of models that never saw the ids; with five or more, each third has a right value.
        shadows: those of shadow models; their halves without an id order the ids, if there are any.
        level: error rate of all three intervals together.
    """
    if before is None or len(after.forget) < FEWEST_IDS:
        need = "needs --original" if before is None else f"fewer than {FEWEST_IDS} ids make no thirds"
        return [Check(NAMES[0], "not-run", need)]
    if len(references) >= CALIBRATED_FROM:
        return _with_references(after, before, references, shadows, level=level)
    return _figures(after, before, references, shadows)


def _with_references(
    after: ModelPredictions,
    before: ModelPredictions,
    references: Sequence[ModelPredictions],
    shadows: ShadowPredictions | None,
    *,
    level: float,
) -> list[Check]:
    """Return the thirds, each compared with references on the same ids."""
    every, alike = np.ones(len(after.forget), dtype=bool), np.isin(after.unseen.labels, after.forget.labels)
    forget = _group("forget", every, after, before, references, shadows)
    enough = alike.sum() >= FEWEST_IDS
    unseen = _group("unseen", alike, after, before, references, shadows) if enough else None
    known = surer(before.forget.phi, forget.references)
    original = replace(forget, model=before.forget.phi).shifts()[0].tolist()
    checks = []
    compared = zip(NAMES, original, compare_parts(forget, unseen, level=level), strict=True)
    for name, first, (found, right) in compared:
        note = (
            f"{_words(found, right, beside_unseen=unseen is not None)} (φ above references'; the original: {first:.3f})"
        )
        checks.append(_check(name, found.value, note, found.n, found.wide, right))
    return [*checks[:-1], _with_count(checks[-1], known)]


def _group(
    name: str,
    rows: Mask,
    after: ModelPredictions,
    before: ModelPredictions,
    references: Sequence[ModelPredictions],
    shadows: ShadowPredictions | None,
) -> Group:
    """Return what the models say of ``rows`` of the ids (``forget``) or of unseen samples, in thirds by one rule."""
    model, original, *others = (getattr(one, name).phi[rows] for one in (after, before, *references))
    own = [getattr(shadows, name).usual[rows]] if shadows else [*others, model]
    return Group(model, others, thirds(memorised(original, own)))


def _words(found: Estimate, right: float, *, beside_unseen: bool) -> str:
    """Say what a difference means beside the right value, that of unseen samples if there are enough."""
    other = "of unseen samples in the same order" if beside_unseen else "references"
    if found.wide[0] > right:
        return f"surer than {other}: remembered"
    if found.wide[1] < right:
        return f"less sure than {other}: over-forgotten"
    alike = "as on unseen samples in the same order" if beside_unseen else "like references"
    return f"{alike}, as far as the interval shows"


def _figures(
    after: ModelPredictions,
    before: ModelPredictions,
    references: Sequence[ModelPredictions],
    shadows: ShadowPredictions | None,
) -> list[Check]:
    """Return the thirds without a right value: too few references say how much those differ from each other."""
    usual, usual_unseen = _usual(references, shadows)
    labels, others = after.forget.labels, after.unseen.labels
    known, known_unseen = before.forget.phi - usual, before.unseen.phi - usual_unseen
    pairs = (after.forget.phi - usual, after.unseen.phi - usual_unseen), (known, known_unseen)
    alone = "ordered by the original's certainty alone, so that easy samples come first"
    how = (
        f"{alone}; no right value" if not references and shadows is None else "no right value: that takes 5 references"
    )
    checks = []
    for name, part in zip(NAMES, thirds(known), strict=True):
        if not np.isin(labels[part], others).any():
            checks.append(Check(name, "not-run", "no unseen samples of these classes", n=int(part.sum())))
            continue
        now, then = (stratified_auc(one[part], labels[part], two, others).estimate.value for one, two in pairs)
        note = f"AUC against unseen samples ({how}; the original: {then:.3f})"
        checks.append(_check(name, now, note, int(part.sum())))
    if not len(others) or (not references and shadows is None):
        return checks
    median = np.median(known_unseen)
    return [*checks[:-1], _with_count(checks[-1], np.where(known == median, 0.5, known > median))]


def _usual(
    references: Sequence[ModelPredictions], shadows: ShadowPredictions | None
) -> tuple[Scores | float, Scores | float]:
    """Return what models say of the ids and of unseen samples that saw neither; 0 without such models."""
    if shadows:
        return shadows.forget.usual, shadows.unseen.usual
    if not references:
        return 0.0, 0.0
    forget, unseen = ([getattr(model, name).phi for model in references] for name in ("forget", "unseen"))
    return np.mean(forget, axis=0), np.mean(unseen, axis=0)


def _check(
    name: str,
    value: float,
    note: str,
    n: int,
    interval: tuple[float, float] | None = None,
    right: float | None = None,
) -> Check:
    return Check(name, "info", note, n=n, statistic=value, interval=interval, null=right)


def _with_count(check: Check, known: Scores) -> Check:
    """Return the check of the safe third with the negative control: of how many ids nothing was memorised."""
    never, n = never_memorised(known), len(known)
    words = f"the original memorised nothing of about {never:,} of all {n:,} ids: nothing has to change for these"
    return replace(check, note=f"{check.note}; {words}")
