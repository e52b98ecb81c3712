"""The checks against references: models trained again by the same recipe without the samples in question."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forgetkit.audit.check import Check, CheckVerdict, measured
from forgetkit.audit.divergence import auto_bound, divergence, least_statistic, mean_of
from forgetkit.audit.references import CLOSER_MARGIN, Closer, Rank, calibrated, closer, rank
from forgetkit.audit.strata import Labels

CLOSER_FROM = 5
"""References from which ``closer`` decides."""

Softmax = NDArray[np.float64]
Phi = NDArray[np.float64]


def against(
    after: tuple[Softmax, Phi], before: tuple[Softmax, Phi], references: list[tuple[Softmax, Phi]], *, level: float
) -> list[Check]:
    """Return the checks of a model against references, each given by its softmax and φ on the forget set.

    Args:
        after: of the model under audit, of shapes ``(ids, classes)`` and ``(ids,)``.
        before: of the original.
        references: of each reference, at least two.
        level: error rate of each check.
    """
    softmax = [found for found, _ in references]
    checks = [_rank_check(rank(after[1], before[1], [found for _, found in references], level=level))]
    try:
        checks.append(_closer_check(closer(after[0], before[0], softmax, level=level), len(references)))
    except ValueError as problem:  # the original is at the references' mean
        checks.append(Check("closer", "not-run", str(problem), n=len(after[1])))
    return [*checks, _divergence_check(after[0], softmax)]


def without_smaller(checks: list[Check]) -> list[Check]:
    """Let an inconclusive membership check inform only, where a check against references can decide."""
    if not any(check.gating and check.id in {"closer", "rank"} for check in checks):
        return checks
    small = {check.id for check in checks if check.id == "membership" and check.verdict == "inconclusive"}
    return [replace(check, verdict="info", gating=False) if check.id in small else check for check in checks]


def single_ids(
    after: tuple[Softmax, Softmax], references: list[tuple[Softmax, Softmax]], labels: Labels, unseen_labels: Labels
) -> Check:
    """Return how many ids stand out once the difficulty that the references see is taken off; approximate.

    Args:
        after: softmax of the model under audit on the forget set and on unseen samples.
        references: of each reference, likewise.
        labels: of the forget set.
        unseen_labels: of the unseen samples.
    """
    found = calibrated(
        after[0],
        [forget for forget, _ in references],
        after[1],
        [unseen for _, unseen in references],
        labels=labels,
        unseen_labels=unseen_labels,
    ).found
    remembered, over = int(found.remembered.sum()), int(found.over_forgotten.sum())
    note = f"{remembered} stand out as remembered, {over} as over-forgotten, beside the references (approximate)"
    return Check("per-id-calibrated", "info", note, n=len(labels))


def _rank_check(found: Rank) -> Check:
    """Decide where there are references enough; the statistic is signed, above 0 is remembered."""
    models = len(found.references) + 1
    apart = "remembered" if found.signed > 0 else "over-forgotten"
    note = {
        "fail": f"stands apart from {models - 1} references as {apart} does",
        "pass": f"one of {models} like models; the original is not",
    }.get(found.verdict, "cannot tell: the original does not stand apart from the references either")
    if not found.possible:
        note = f"{models - 1} references; it takes {found.needed} to decide"
    verdict: CheckVerdict = found.verdict if found.possible else "info"
    check = Check("rank", verdict, note, n=len(found.references), statistic=found.signed, null=0.0, p=found.p)
    return replace(check, gating=found.possible, proves=found.possible)


def _closer_check(found: Closer, count: int) -> Check:
    """Decide from five references on; the statistic is the distance as a share of the original's."""
    floor = max(found.floors)
    note = f"distance to {count} references, as a share of the original's; honest retraining: at most {floor:.2f}"
    if not found.possible:
        note += "; the original is as near as they are, so nothing can pass"
    decides = count >= CLOSER_FROM
    verdict: CheckVerdict = found.verdict if decides else "info"
    check = measured("closer", found.ratio, verdict, note, null=floor, margin=CLOSER_MARGIN)
    return replace(check, gating=decides, proves=decides)


def _divergence_check(after: Softmax, references: list[Softmax]) -> Check:
    """Return the divergence certificate's statistic, as information (docs/methods.md)."""
    value = divergence(after, mean_of(references)).statistic
    note = "95th percentile of the distance to the references' mean softmax"
    if len(references) >= CLOSER_FROM:
        bound, least = auto_bound(references), least_statistic(after, references)
        word = "within" if least <= bound.value else "above"
        note += f"; {word} what honest retraining shows ({bound.value:.3f}; false alarms {bound.false_alarms:.0%})"
    return Check("divergence", "info", note, n=len(after), statistic=value, null=0.0)
