"""Is what an attack reads from a model more than it reads from models that never saw the samples?"""

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from forgetkit.statistics.intervals import Estimate, accuracy

Scores = NDArray[np.float64]
FPR = 0.01
ROUNDING = 1e-9


@dataclass(frozen=True)
class FewAlarms:
    """The attack that takes at most one unseen sample in a hundred for a member.

    Attributes:
        tpr: share of the forget set beyond the threshold, given the threshold.
        by_chance: what it is at most in 95 % of cases if forget and unseen samples are exchangeable.
        ceiling: what it would be, had every forget sample been beyond the threshold: the lower end of its interval.
    """

    tpr: Estimate
    by_chance: float
    ceiling: float


def few_alarms(forget: Scores, unseen: Scores, *, level: float = 0.05) -> FewAlarms | None:
    """Measure the true-positive rate at a false-positive rate of 1 %.

    The threshold is the j-th largest of m unseen scores, j = ⌊(m + 1) / 100⌋: one more unseen sample lies beyond it
    with probability j / (m + 1) at most. The share beyond it of exchangeable samples is Beta(j, m + 1 − j).

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``, n >= 1.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        level: the share of intervals that may miss, in (0, 0.5).

    Returns:
        None below 99 unseen samples, where no threshold has that rate.

    Source: conformal prediction, as in Bates et al., "Testing for outliers with conformal p-values", 2023.
    """
    from scipy.stats import betabinom

    n, m = len(forget), len(unseen)
    allowed = floor((m + 1) * FPR + ROUNDING)
    if not allowed:
        return None
    threshold = np.partition(unseen, m - allowed)[m - allowed]
    tpr = accuracy(int(np.count_nonzero(forget > threshold)), n, level=level)
    by_chance = float(betabinom.ppf(1 - level, n, allowed, m + 1 - allowed)) / n
    return FewAlarms(tpr, by_chance, accuracy(n, n, level=level).wide[0])


def apart(values: Scores) -> Scores:
    """Return how far each value lies from the others, in their standard deviations.

    Args:
        values: float64 of shape ``(k + 1,)``, k >= 2.

    Returns:
        float64 of shape ``(k + 1,)``, at least 0; infinite where the others agree and it does not.
    """
    size = len(values)
    others = np.tile(values, (size, 1))[~np.eye(size, dtype=bool)].reshape(size, size - 1)
    distance, spread = np.abs(values - others.mean(axis=1)), others.std(axis=1, ddof=1)
    found = np.divide(distance, spread, out=np.full(size, np.inf), where=spread > ROUNDING)
    return np.where(distance > ROUNDING, found, 0.0)


def rank_p(distances: Scores) -> float:
    """Return the share of models that lie at least as far apart as the first, itself included; exact.

    Args:
        distances: float64 of shape ``(attacks, k + 1)``, or of one attack ``(k + 1,)``; of several, the largest of each
            model counts: a test corrected for their number, however they depend on each other.

    Source: Barnard's Monte Carlo test, 1963, as in Phipson & Smyth, "Permutation P-values should never be zero", 2010;
    the largest as in Westfall & Young, "Resampling-Based Multiple Testing", 1993.
    """
    largest = np.atleast_2d(distances).max(axis=0)
    return float(np.count_nonzero(largest >= largest[0] * (1 - ROUNDING)) / len(largest))


def normal_p(value: float, error: float, null: float) -> float:
    """Return the two-sided p of an estimate with a standard error, by the normal approximation; 1 without an error."""
    from scipy.special import ndtr

    return float(2 * ndtr(-abs(value - null) / error)) if error > 0 else 1.0


def holm(p_values: list[float]) -> float:
    """Return the smallest p after the correction of Holm, at most 1; 1 if there is none.

    Source: Holm, "A simple sequentially rejective multiple test procedure", 1979, first step.
    """
    return min(1.0, len(p_values) * min(p_values)) if p_values else 1.0
