"""The checks against references: models retrained by the same recipe without the samples in question."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.check import Check, CheckVerdict, check_of
from forgetkit.auditing.checks.one_model import Masks
from forgetkit.auditing.predictions import ModelPredictions
from forgetkit.statistics.calibration import calibrate
from forgetkit.statistics.divergence import auto_bound, divergence, least_statistic, mean_of
from forgetkit.statistics.references import CLOSER_MARGIN, Closer, Rank, closer, rank

CLOSER_FROM = 5
"""Fewest references with which ``closer`` decides."""
NO_CONTROL = "no control: the original knows less of the ids than the references do; is it the original?"

Softmax = NDArray[np.float64]


@dataclass(frozen=True)
class ReferenceResults:
    """The checks against references, and what figures are drawn from.

    Attributes:
        checks: in the order of the report.
        rank: of the check ``rank``, which needs two references.
        closer: of the check ``closer``, which needs two references and the original.
        masks: which single ids stand out.
    """

    checks: list[Check]
    rank: Rank | None = None
    closer: Closer | None = None
    masks: Masks | None = None


def compare_with_references(
    after: ModelPredictions, before: ModelPredictions | None, references: list[ModelPredictions], *, level: float
) -> ReferenceResults:
    """Run the checks against at least one reference, the single ids included.

    Args:
        after: predictions of the model under audit.
        before: those of the original.
        references: those of each reference.
        level: error rate of each check.
    """
    found = _all_ids(after, before, references, level=level)
    if not len(after.unseen):
        return found
    single, masks = single_ids(after, references)
    return replace(found, checks=[*found.checks, single], masks=masks)


def _all_ids(
    after: ModelPredictions, before: ModelPredictions | None, references: list[ModelPredictions], *, level: float
) -> ReferenceResults:
    """Run the checks on all ids together."""
    softmax, others = after.forget.softmax, [model.forget.softmax for model in references]
    apart = divergence_check(softmax, others)
    if len(references) < 2:
        need = "needs at least two references"
        return ReferenceResults([Check("rank", "not-run", need), Check("closer", "not-run", need), apart])
    phi_before = None if before is None else before.forget.phi
    placed = rank(after.forget.phi, phi_before, [model.forget.phi for model in references], level=level)
    near: Closer | None = None
    if before is None:
        near_check = Check("closer", "not-run", "needs --original")
    else:
        try:
            near = closer(softmax, before.forget.softmax, others, level=level)
            near_check = closer_check(near, len(others), remembers=placed.control_remembers)
        except ValueError as problem:  # the original is at the references' mean
            near_check = Check("closer", "not-run", str(problem), n=len(softmax))
    return ReferenceResults([rank_check(placed), near_check, apart], placed, near)


def single_ids(after: ModelPredictions, references: list[ModelPredictions]) -> tuple[Check, Masks]:
    """Return which ids stand out, corrected for their difficulty to the references: a check, and two masks.

    The correction is approximate.
    """
    found = calibrate(
        after.forget.softmax,
        [model.forget.softmax for model in references],
        after.unseen.softmax,
        [model.unseen.softmax for model in references],
        labels=after.forget.labels,
        unseen_labels=after.unseen.labels,
    ).found
    remembered, over = int(found.remembered.sum()), int(found.over_forgotten.sum())
    note = f"{remembered} stand out as remembered, {over} as over-forgotten, compared with the references (approximate)"
    return Check("per-id-calibrated", "info", note, n=len(after.forget)), (found.remembered, found.over_forgotten)


def rank_check(found: Rank) -> Check:
    """Return the check on the model's rank; it decides with enough references, if the original stands apart.

    A statistic above 0 means remembered.
    """
    models = len(found.references) + 1
    apart = "a model that remembers" if found.signed > 0 else "an over-forgotten one"
    note = {
        "fail": f"stands apart from {models - 1} references, as {apart} does",
        "pass": f"like {models - 1} models that never saw the ids; the original stands apart",
    }.get(found.verdict, "no power: the original does not stand apart from the references either")
    if found.verdict == "inconclusive" and found.p_before is None:
        note = f"like {models - 1} models that never saw the ids; needs --original to show that not every model is"
    if found.verdict == "inconclusive" and found.p_before is not None and not found.control_remembers:
        note = NO_CONTROL
    if not found.possible:
        note = f"{models - 1} references; at least {found.needed} are needed to decide"
    decides = found.possible and found.verdict != "inconclusive"
    verdict: CheckVerdict = found.verdict if decides else "info"
    check = Check("rank", verdict, note, n=len(found.references), statistic=found.signed, null=0.0, p=found.p)
    return replace(check, gating=decides, proves=found.possible)


def closer_check(found: Closer, count: int, *, remembers: bool) -> Check:
    """Return the check on the distance to the references, as a share of the original's distance.

    It decides with five references or more, if the original is farther from them than they are from each other, and
    ``remembers``: it knows more of the ids than they do. A model farther away than the original fails in any case.
    """
    floor = max(found.floors)
    note = f"{found.ratio.value:.2f} of the original's distance from {count} references"
    if not remembers:
        note += f"; {NO_CONTROL}"
    elif not found.possible:
        note += "; no power: the original is as close as they are"
    elif found.verdict == "inconclusive" and not found.resolved:
        note += "; too few ids: most references would not pass either"
    enough = count >= CLOSER_FROM
    decides = enough and ((found.possible and remembers) or found.verdict == "fail")
    verdict: CheckVerdict = found.verdict if decides else "info"
    check = check_of("closer", found.ratio, verdict, note, null=floor, margin=CLOSER_MARGIN)
    weak = decides and verdict == "inconclusive" and not found.resolved and found.ratio.wide[0] <= found.ceiling
    return replace(check, gating=decides, proves=enough, weak=weak)


def divergence_check(after: Softmax, references: list[Softmax]) -> Check:
    """Return the divergence certificate's statistic and its two parts, as information (docs/certificates.md)."""
    apart = divergence(after, mean_of(references))
    note = (
        "95th percentile of the distance to the references' mean softmax "
        f"(of the cosine divergence {apart.cosine_statistic:.2g}, of the difference in norm {apart.norm_statistic:.2g})"
    )
    if len(references) >= CLOSER_FROM:
        bound, least = auto_bound(references), least_statistic(after, references)
        word = "within" if least <= bound.value else "above"
        note += (
            f"; {word} the bound of honest retraining ({bound.value:.3f}; false-alarm rate {bound.false_alarms:.0%})"
        )
    return Check("divergence", "info", note, n=len(after), statistic=apart.statistic, null=0.0)
