"""The statistical checks of one model, or of two, from their predictions. Their formulas: forgetkit.statistics."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from forgetkit.auditing.check import Check, CheckVerdict, check_of
from forgetkit.auditing.predictions import Predictions
from forgetkit.errors import listed, shorten
from forgetkit.statistics.attacks import advantage, low_fpr, per_id
from forgetkit.statistics.intervals import Estimate, accuracy, judge, judge_utility, utility
from forgetkit.statistics.membership_auc import ids_to_decide, ids_to_pass, stratified_auc

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which ids stand out as remembered, and which as over-forgotten; bool of shape ``(ids,)`` each."""

FEWEST_IDS = 20
"""Fewest ids of a membership check that is not inconclusive."""
VANISHED_MARGIN = 0.05
SHOWN = 5
"""Most classes that a note names."""


def utility_check(after: Predictions, before: Predictions, *, level: float, margin: float) -> Check:
    """Check that accuracy on unseen samples was kept; both models predicted the same samples."""
    estimate = utility(before.correct, after.correct, level=level)
    verdict: CheckVerdict = judge_utility(estimate, margin=margin)
    fewest = math.ceil(math.log(level) / math.log(1 - margin))
    if verdict == "pass" and len(after) < fewest:
        verdict = "inconclusive"
    rates = f"{before.correct.mean():.1%} → {after.correct.mean():.1%}"
    note, weak = f"accuracy {rates} on {len(after):,} unseen samples", False
    if verdict == "inconclusive":
        spread = (estimate.narrow[1] - estimate.narrow[0]) / 2 * math.sqrt(estimate.n)
        enough = max(fewest, math.ceil((2 * spread / margin) ** 2))
        weak = estimate.n < enough and estimate.value > -margin
        note += f"; about {enough:,} are needed to show that nothing was lost"
    check = check_of("utility", estimate, verdict, note, null=0.0, margin=margin)
    return replace(check, gating=True, weak=weak)


def membership(forget: Predictions, unseen: Predictions, *, level: float, margin: float) -> Check:
    """Check that forgotten samples rank like unseen ones of their class: the AUC of φ is ½."""
    blank = Check("membership", "inconclusive", "no unseen samples of these classes", gating=True, proves=True)
    if not np.isin(forget.labels, unseen.labels).any():
        return replace(blank, weak=True)
    found = stratified_auc(forget.phi, forget.labels, unseen.phi, unseen.labels, level=level)
    usable = int(np.isin(unseen.labels, forget.labels).sum())
    fewest = ids_to_pass(usable, margin=margin, level=level)
    verdict: CheckVerdict = judge(found.estimate, null=0.5, margin=margin)
    weak = fewest is None or found.n < max(FEWEST_IDS, fewest)
    if found.n < FEWEST_IDS or (verdict == "pass" and weak):
        verdict = "inconclusive"
    meaning = {"fail": "remembered" if found.estimate.value > 0.5 else "over-forgotten: they stick out as unfamiliar"}
    note = meaning.get(verdict, "like unseen samples" if verdict == "pass" else "undecided")
    if verdict == "inconclusive":
        note += f"; {_enough_ids(found.n, usable, level, margin)}"
    if found.left_out:
        note += f"; {found.left_out} ids of classes without unseen samples are left out"
    check = check_of("membership", found.estimate, verdict, note, null=0.5, margin=margin)
    return replace(check, gating=True, proves=True, weak=weak and verdict == "inconclusive")


def _enough_ids(n: int, usable: int, level: float, margin: float) -> str:
    """Say how many ids would decide the membership check, if any number does."""
    if n < FEWEST_IDS:
        return f"{n} ids are too few: at least {FEWEST_IDS} are needed"
    enough = ids_to_decide(usable, margin=margin, level=level)
    if enough is None:
        return f"with {usable} unseen samples, no number of ids is sure to decide"
    if enough <= n:
        return "the value is too close to the margin for this number of ids"
    return f"if nothing leaked, about {enough} ids would pass in 9 of 10 audits"


def chance(
    correct: NDArray[np.bool_], classes: int, *, level: float, gating: bool, at_most: bool = False, view: str = ""
) -> Check:
    """Check that accuracy on forgotten samples is that of a guess, 1/classes.

    Args:
        correct: which samples are classified correctly, bool of shape ``(samples,)``.
        classes: number of classes.
        level: error rate of the check.
        gating: whether it decides.
        at_most: whether accuracy below chance passes as well.
        view: name of the view of the images, if they were changed.

    Source: Kim & Woo, "Efficient two-stage model retraining for machine unlearning", 2022, sections 3.2 and 6
    (``at_most``).
    """
    estimate = accuracy(int(correct.sum()), len(correct), level=level)
    null, margin = 1 / classes, max(0.05, 1 / (2 * classes))
    judged = _from_above(estimate, null) if at_most else estimate
    verdict: CheckVerdict = judge(judged, null=null, margin=margin)
    where = {
        "fail": "above chance" if estimate.value > null else "below chance",
        "pass": "at most at chance" if at_most else "at chance",
    }
    note = where.get(verdict, "undecided") + (f" ({view})" if view else "")
    if verdict == "inconclusive" and gating:
        note += f"; about {_ids_for_chance(null, margin, level)} ids would decide"
    check = check_of(
        f"chance-{view}" if view else "chance", estimate, verdict if gating else "info", note, null=null, margin=margin
    )
    return replace(check, gating=gating, proves=gating)


def _from_above(estimate: Estimate, null: float) -> Estimate:
    """Return an estimate with values below ``null`` raised to ``null``."""
    value, *ends = (max(end, null) for end in (estimate.value, *estimate.wide, *estimate.narrow))
    return replace(estimate, value=value, wide=(ends[0], ends[1]), narrow=(ends[2], ends[3]))


def exposures(forget: Predictions, unseen: Predictions, *, level: float) -> list[Check]:
    """Return what an attacker could gain, as information: the largest advantage, and rates at few false positives."""
    found = advantage(forget.phi, unseen.phi, level=level)
    blind = 0.87 * math.sqrt((len(forget) + len(unseen)) / (len(forget) * len(unseen)))
    error, (low, high) = found.bayes_error.value, found.bayes_error.wide
    note = (
        f"largest gain of any single threshold (equal groups of this size show about {blind:.2f}); the best such guess "
        f"errs in {error:.1%} of cases (Bayes error, interval {low:.1%} to {high:.1%}; a blind guess errs in 50%)"
    )
    checks = [check_of("advantage", found.distance, "info", note, null=0.0)]
    tails = low_fpr(forget.phi, unseen.phi, level=level)
    if tails is None:
        return [*checks, Check("low-fpr", "not-run", "needs 1,000 unseen samples", n=len(unseen))]
    for name, tail, what in (("low-fpr", tails.upper, "remembered"), ("low-fpr-over", tails.lower, "over-forgotten")):
        bound = f"ε ≥ {tail.epsilon:.2f} (at this n, {tail.ceiling:.2f} at most)"
        note = f"found as {what} at a false-positive rate of 1%; {bound}"
        checks.append(check_of(name, tail.tpr, "info", note, null=0.01))
    return checks


def single_ids(forget: Predictions, unseen: Predictions) -> tuple[Check, Masks]:
    """Return which single ids stand out among unseen samples of their class: a check, and two masks."""
    found = per_id(forget.phi, forget.labels, unseen.phi, unseen.labels)
    remembered, over = int(found.remembered.sum()), int(found.over_forgotten.sum())
    note = f"{remembered} stand out as remembered, {over} as over-forgotten (about 5% of them by chance)"
    if not found.possible:
        note = "no single id could stand out at this number of ids and unseen samples"
    elif found.needed and found.needed > 1:
        note += f"; fewer than {found.needed} together cannot stand out"
    return Check("per-id", "info", note, n=len(forget)), (found.remembered, found.over_forgotten)


def vanished(forget: Predictions, *, level: float, classes: Sequence[str] = ()) -> Check:
    """Check classes without retained samples. It can only fail: wrong answers do not prove forgetting.

    Args:
        forget: the forgotten samples of these classes.
        level: error rate of the check.
        classes: names of all classes; none where they have only numbers.
    """
    estimate = accuracy(int(forget.correct.sum()), len(forget), level=level)
    failed = judge(estimate, null=0.0, margin=VANISHED_MARGIN) == "fail"
    gone = _named(np.unique(forget.labels).tolist(), classes)
    note = f"no sample of {gone} is retained: a retrained model has accuracy 0 there, this one {estimate.value:.2%}"
    check = check_of("vanished", estimate, "fail" if failed else "info", note, null=0.0, margin=VANISHED_MARGIN)
    return replace(check, gating=failed)


def worst_class(after: Predictions, before: Predictions, *, classes: Sequence[str] = ()) -> Check:
    """Return the class that lost most accuracy, as information; ``classes`` are the names of all, or none."""
    change = {int(c): _mean(after, c) - _mean(before, c) for c in np.unique(after.labels)}
    worst = min(change, key=lambda c: change[c])
    count = int((after.labels == worst).sum())
    note = f"{_named([worst], classes)}: {_mean(before, worst):.2%} → {_mean(after, worst):.2%} of {count}"
    if change[worst] >= 0:
        note = "no class lost accuracy"
    return Check("utility-worst-class", "info", note, n=count, statistic=change[worst], null=0.0)


def _named(labels: list[int], classes: Sequence[str]) -> str:
    """Return classes by name, in quotes, or by number where they have no names; of many, the first five."""
    names = [f"'{shorten(classes[label])}'" if classes else str(label) for label in labels]
    return f"class{'es' * (len(labels) > 1)} {listed(names, SHOWN)}"


def _mean(found: Predictions, label: int) -> float:
    return float(found.correct[found.labels == label].mean())


def _ids_for_chance(null: float, margin: float, level: float) -> int:
    """Return the ids with which a model at chance passes in 9 of 10 audits, by the normal approximation."""
    z = float(ndtri(1 - level) + ndtri(0.95))
    return math.ceil(null * (1 - null) * (z / margin) ** 2)
