"""Do forgotten samples still rank like members? The class-stratified AUC of the score, and the ids it needs.

Comparing within a class removes the difficulty of the classes: a forget set of one easy class would otherwise look
remembered compared with an unseen set of all classes.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from scipy.special import ndtri

from forgetkit.statistics.intervals import Estimate, normal_estimate
from forgetkit.statistics.strata import Labels, Scores, Strata, forget_placements, placements, shared_strata

# Below this many samples on either side DeLong's variance of a stratum is undefined or too rough.
DELONG_FROM = 5


@dataclass(frozen=True)
class StratifiedAuc:
    """The class-stratified AUC of forget against unseen samples.

    Attributes:
        estimate: ½ where nothing leaks, above it where members are remembered, below it where over-forgotten.
        error: the standard error of its value.
        n: forget samples in classes that the unseen set has.
        left_out: forget samples in classes that the unseen set does not have.
    """

    estimate: Estimate
    error: float
    n: int
    left_out: int


def stratified_auc(
    forget: Scores, forget_labels: Labels, unseen: Scores, unseen_labels: Labels, *, level: float = 0.05
) -> StratifiedAuc:
    """Compute the class-stratified AUC with its intervals; classes weigh as they do in the forget set.

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``.
        forget_labels: their classes, int64 of shape ``(n,)``.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        unseen_labels: their classes, int64 of shape ``(m,)``.
        level: the share of wide intervals that may miss, in (0, 0.5).

    Raises:
        ValueError: an empty set, a NaN, labels that do not fit, no class in both sets, or an impossible ``level``.

    Source: DeLong, DeLong & Clarke-Pearson, "Comparing the areas under two or more correlated ROC curves", 1988,
    computed from ranks as in Sun & Xu, "Fast implementation of DeLong's algorithm", 2014.
    """
    strata, _ = shared_strata(forget, forget_labels, unseen, unseen_labels)
    below, n = forget_placements(strata), strata.forget.size
    error = sqrt(float(np.sum((strata.forget_counts / n) ** 2 * _variances(strata, below))))
    estimate = normal_estimate(float(below.mean()), error, n, level=level, bounds=(0.0, 1.0))
    return StratifiedAuc(estimate, error, n, forget.size - n)


def ids_to_pass(unseen_count: int, *, margin: float = 0.05, level: float = 0.05) -> int | None:
    """Return the fewest ids with which an AUC of exactly ½ can pass.

    The variance is that of one class at AUC ½ without ties; many small classes need a few ids more.

    Args:
        unseen_count: unseen samples to compare with, at least 1.
        margin: what the narrow interval's half-width must not exceed, in (0, 0.5).
        level: the error of each of the two one-sided tests, in (0, 0.5).

    Returns:
        The number of ids; None if no number is enough.
    """
    return _smallest_ids(unseen_count, (margin / float(ndtri(1 - level))) ** 2)


def ids_to_decide(unseen_count: int, *, margin: float = 0.05, level: float = 0.05, power: float = 0.9) -> int | None:
    """Return the fewest ids with which a model at AUC ½ passes with the given power.

    Args:
        unseen_count: unseen samples to compare with, at least 1.
        margin: largest distance from ½ that still counts as nothing, in (0, 0.5).
        level: the error of each of the two one-sided tests, in (0, 0.5).
        power: the chance of passing where the AUC is exactly ½, in (0, 1).

    Returns:
        The number of ids; None if no number is enough.

    Source: the power of two one-sided tests at the null is ``2 Phi(margin / se - z) - 1``.
    """
    needed = float(ndtri(1 - level) + ndtri((1 + power) / 2))
    return _smallest_ids(unseen_count, (margin / needed) ** 2)


def _smallest_ids(unseen_count: int, variance: float) -> int | None:
    """Solve ``(n + m + 1) / (12 n m) <= variance`` for the smallest n."""
    slope = 12 * unseen_count * variance - 1
    return ceil((unseen_count + 1) / slope) if slope > 0 else None


def _variances(strata: Strata, forget_below: Scores) -> Scores:
    """Return the variance of every class's AUC, float64 ``(classes,)``: DeLong's, or the null's where too few."""
    n, m = strata.forget_counts, strata.unseen_counts
    unseen_below = placements(strata.unseen, strata.forget, strata.unseen_class, n)
    delong = _mean_variance(forget_below, strata.forget_class, n)
    delong = delong + _mean_variance(unseen_below, strata.unseen_class, m)
    tied = (delong == 0) & (np.bincount(strata.forget_class, weights=forget_below) == n / 2)  # all scores are equal
    return np.where((np.minimum(n, m) < DELONG_FROM) | tied, (n + m + 1) / (12 * n * m), delong)


def _mean_variance(values: Scores, position: Labels, counts: Labels) -> Scores:
    """Return the estimated variance of every class's mean, float64 ``(classes,)``; 0 for a class of one."""
    means = np.bincount(position, weights=values) / counts
    squares = np.bincount(position, weights=(values - means[position]) ** 2)
    variance: Scores = squares / np.maximum(counts - 1, 1) / counts
    return variance
