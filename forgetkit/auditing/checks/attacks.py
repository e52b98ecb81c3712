"""The attacks of the field: what each reads from the model under audit, and from models that never saw the ids."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, stdtrit
from scipy.stats import rankdata

from forgetkit.auditing.checks.one_model import FEWEST_IDS
from forgetkit.auditing.predictions import Predictions
from forgetkit.auditing.shadow_predictions import ShadowPredictions
from forgetkit.statistics.attack_nulls import FewAlarms, apart, few_alarms, normal_p, rank_p
from forgetkit.statistics.intervals import Estimate, clip, references_needed
from forgetkit.statistics.membership_attacks import bavaria, lira, rmia, ruli, u_lira
from forgetkit.statistics.membership_auc import stratified_auc
from forgetkit.statistics.strata import auc

Scores = NDArray[np.float64]
Answers = tuple[Predictions, Predictions]
"""What a model says of the forget set, and of the unseen samples."""
OUTSIDE = {"rmia": 1, "lira": 2, "bavaria": 2}
"""Fewest models that never saw the samples, of the attacks that compare with them."""
FEWEST_OUTSIDE = 2
"""Fewest references that make a null of their own, and fewest shadow models that a mean and a variance come from."""
SHADOWS_FROM = 16
"""Fewest shadow models of U-LiRA and RULI."""


@dataclass(frozen=True)
class Family:
    """The model under audit and models that never saw the ids, which a fair attack could not tell from it.

    Attributes:
        phi: of the forget set and then of the unseen samples, float64 of shape ``(1 + k, samples)``; the model first.
        correct: likewise, bool.
        labels: int64 of shape ``(samples,)``.
        forgotten: how many of the samples are in the forget set.
    """

    phi: Scores
    correct: NDArray[np.bool_]
    labels: NDArray[np.int64]
    forgotten: int


@dataclass(frozen=True)
class Reading:
    """What one attack reads from the model.

    Attributes:
        estimate: AUC of the ids against unseen samples.
        few: the same at few false alarms; None with too few unseen samples.
        null: ½, or the mean over the references.
        p: exact, by rank among the references, or by the normal approximation; None where neither holds.
        distances: how far each model lies from the others, float64 of shape ``(1 + k,)``; None without references.
    """

    estimate: Estimate
    few: FewAlarms | None
    null: float
    p: float | None
    distances: Scores | None = None


def family_of(after: Answers, references: Sequence[Answers] = ()) -> Family:
    """Return the models as one family; all answered on the same samples."""
    models = [after, *references]
    phi, correct = (
        np.stack([np.concatenate([getattr(part, name) for part in model]) for model in models])
        for name in ("phi", "correct")
    )
    return Family(phi, correct, np.concatenate([part.labels for part in after]), len(after[0]))


def outside_of(shadows: ShadowPredictions) -> Scores:
    """Return φ of shadow models, NaN where they saw the sample, float64 of shape ``(shadow models, samples)``.

    Sides of unseen samples are drawn, so that as many models judge them as judge the ids.
    """
    parts = [np.where(part.never, part.scores, np.nan) for part in (shadows.forget, shadows.unseen)]
    return np.concatenate(parts, axis=1)


def read_matched(name: str, family: Family, shadows: ShadowPredictions, *, level: float) -> Reading | str:
    """Attack by what the step leaves in shadow models: U-LiRA or RULI; unseen samples have no such models.

    So the ids are compared with themselves: the value is the probability that the attack's score of an id is higher for
    the model than for a reference, which never saw it. The interval is that of one more such model.

    Args:
        name: ``ulira`` or ``ruli``.
        family: the models, with at least two references.
        shadows: shadow models that took the step under audit themselves.
        level: error rate.

    Returns:
        The reading, or why the attack cannot be made.
    """
    k, part = len(family.phi) - 1, shadows.forget
    if shadows.why:
        return shadows.why
    if k < FEWEST_OUTSIDE or len(part.scores) < SHADOWS_FROM:
        return f"needs --shadows with {SHADOWS_FROM} models, and --reference with {references_needed(level)}"
    forgot = ~part.never & np.repeat(shadows.counts, 2, axis=0)
    inside, outside = (np.where(mask, part.scores, np.nan) for mask in (forgot, part.never))
    usable = np.count_nonzero(forgot, axis=0) >= FEWEST_OUTSIDE
    if np.count_nonzero(usable) < FEWEST_IDS:
        return f"fewer than {FEWEST_IDS} ids were forgotten by {FEWEST_OUTSIDE} shadow models"
    phi = family.phi[:, : family.forgotten][:, usable]
    scores = (u_lira if name == "ulira" else ruli)(phi, inside[:, usable], outside[:, usable])
    values = ((rankdata(scores, axis=0) - 1) / k).mean(axis=1)
    distances, null = apart(values), float(values[1:].mean())
    spread = float(values[1:].std(ddof=1)) * math.sqrt(1 + 1 / k)
    ends = [spread * float(stdtrit(k - 1, 1 - tail)) for tail in (level / 2, level)]
    wide, narrow = (clip(values[0] - end, values[0] + end, (0.0, 1.0)) for end in ends)
    estimate = Estimate(float(values[0]), wide, narrow, phi.shape[1])
    enough = k >= references_needed(level)
    return Reading(estimate, None, null, rank_p(distances) if enough else None, distances if enough else None)


def read(name: str, family: Family, outside: Scores | None, *, level: float, drawn: bool) -> Reading | str:
    """Attack the model, and each reference in its place.

    Args:
        name: ``loss``, ``phi``, ``label``, ``rmia``, ``lira`` or ``bavaria``, or ``rea`` on a family that was reminded.
        family: the models.
        outside: φ of other models that never saw the samples, float64 of shape ``(models, samples)``, NaN where they
            did; used where there are too few references.
        level: error rate.
        drawn: whether the ids may be taken for a random draw, so that ½ is right for a model that never saw them.

    Returns:
        The reading, or why the attack cannot be made.
    """
    k, fewest = len(family.phi) - 1, OUTSIDE.get(name, 0)
    own = k >= fewest
    if not own and (outside is None or np.count_nonzero(~np.isnan(outside), axis=0).min() < fewest):
        return f"needs --reference with {fewest} models that never saw the ids, or --shadows"
    others = [np.delete(family.phi, row, 0) if own else outside for row in range(k + 1)]
    scores = [_score(name, family, row, known) for row, known in enumerate(others)]
    parts = _split(scores[0], family), _labels(name, family)
    (forget, unseen), (forget_labels, unseen_labels) = parts
    found = stratified_auc(forget, forget_labels, unseen, unseen_labels, level=level)
    few = few_alarms(forget, unseen, level=level)
    if k < FEWEST_OUTSIDE:
        p = normal_p(found.estimate.value, found.error, 0.5) if drawn and found.n >= FEWEST_IDS else None
        return Reading(found.estimate, few, 0.5, p)
    values = [auc(one[0], forget_labels, one[1], unseen_labels) for one in (_split(row, family) for row in scores)]
    return _among(found.estimate, found.error, few, np.array(values), level=level, drawn=drawn)


def _among(
    estimate: Estimate, error: float, few: FewAlarms | None, values: Scores, *, level: float, drawn: bool
) -> Reading:
    """Return the reading among references; with too few of them for a rank, p is that of AUC ½, if that is right."""
    distances, k = apart(values), len(values) - 1
    null = float(values[1:].mean())
    if k >= references_needed(level):
        return Reading(estimate, few, null, rank_p(distances), distances)
    p = normal_p(estimate.value, error, 0.5) if drawn and estimate.n >= FEWEST_IDS else None
    return Reading(estimate, few, null, p)


def _score(name: str, family: Family, row: int, others: Scores | None) -> Scores:
    """Return the attack's scores of all samples by one model."""
    phi: Scores = family.phi[row]
    if name == "label":
        return np.asarray(family.correct[row], dtype=np.float64)
    if name == "loss":
        return np.asarray(log_expit(phi), dtype=np.float64)
    if name not in OUTSIDE or others is None:
        return phi
    if name == "rmia":
        return rmia(np.asarray(expit(phi)), np.asarray(expit(others)))
    return (lira if name == "lira" else bavaria)(phi, others)


def _split(scores: Scores, family: Family) -> tuple[Scores, Scores]:
    return scores[: family.forgotten], scores[family.forgotten :]


def _labels(name: str, family: Family) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the classes within which samples are compared; the attack on the loss has one threshold for all."""
    labels = np.zeros_like(family.labels) if name == "loss" else family.labels
    return labels[: family.forgotten], labels[family.forgotten :]
