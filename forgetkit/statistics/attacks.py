"""What an attacker could gain from the scores: the advantage, the rates at few false positives, and single ids."""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from forgetkit.statistics.intervals import Estimate, Interval, accuracy, check_level, clip
from forgetkit.statistics.strata import Labels, Scores, check_scores, stratify

# Half of these set the threshold; fewer than 5 expected false positives at 1 % are not informative.
LOW_FPR_FROM = 1000


@dataclass(frozen=True)
class Advantage:
    """The gain of the best attack with a single threshold.

    Attributes:
        distance: the Kolmogorov-Smirnov distance, the largest TPR - FPR of any threshold, from either side.
        bayes_error: ½ (1 - distance), the least error of such an attack; ½ is guessing.
    """

    distance: Estimate
    bayes_error: Estimate


@dataclass(frozen=True)
class Tail:
    """An attack that calls the samples beyond one threshold members.

    Attributes:
        threshold: the score beyond which a sample is called a member.
        tpr: share of the forget set beyond it.
        fpr: share beyond it of those unseen samples that did not set it.
        epsilon: lower bound of the privacy loss, at least 0, finite, with confidence ``1 - level`` for this tail alone.
        ceiling: what ``epsilon`` would be, had every forget sample been beyond the threshold.
    """

    threshold: float
    tpr: Estimate
    fpr: Estimate
    epsilon: float
    ceiling: float


@dataclass(frozen=True)
class LowFpr:
    """The attack at a low false-positive rate: high scores betray members, low ones what was pushed below."""

    upper: Tail
    lower: Tail


@dataclass(frozen=True)
class PerId:
    """Which single ids stand out.

    Attributes:
        remembered: ids that score too high, bool of shape ``(n,)``.
        over_forgotten: ids that score too low, bool of shape ``(n,)``.
        needed: the fewest ids that must together lie beyond all unseen samples of their classes before one can be
            discovered; None if not even all of them are enough.
    """

    remembered: NDArray[np.bool_]
    over_forgotten: NDArray[np.bool_]
    needed: int | None

    @property
    def possible(self) -> bool:
        """Whether any discovery is possible at this number of ids and unseen samples."""
        return self.needed is not None


def advantage(forget: Scores, unseen: Scores, *, level: float = 0.05) -> Advantage:
    """Bound what any attack with one threshold on the score could gain.

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        level: the share of wide intervals that may miss, in (0, 0.5).

    Raises:
        ValueError: an empty set, a NaN, or an impossible ``level``.

    Source: Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality", 1990, half of ``level`` a set.
    """
    n, m = check_scores(forget, "forget").size, check_scores(unseen, "unseen").size
    # Only the distance is used: the asymptotic p-value is the cheap one, but it divides by 0 for one id against one.
    with np.errstate(divide="ignore"):
        distance = float(stats.ks_2samp(forget, unseen, method="asymp").statistic)
    wide, narrow = (_around(distance, n, m, miss) for miss in (check_level(level), 2 * level))
    error_wide, error_narrow = (((1 - high) / 2, (1 - low) / 2) for low, high in (wide, narrow))
    bayes_error = Estimate((1 - distance) / 2, error_wide, error_narrow, n)
    return Advantage(Estimate(distance, wide, narrow, n), bayes_error)


def low_fpr(forget: Scores, unseen: Scores, *, fpr: float = 0.01, level: float = 0.05) -> LowFpr | None:
    """Measure the attack that may take only few unseen samples for members.

    The unseen samples at even positions set the threshold, those at odd positions measure it. Each tail's bound holds
    with confidence ``1 - level``; to quote the larger of the two, halve ``level`` first.

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        fpr: the false-positive rate that the threshold aims at, in (0, 1).
        level: the error of each tail's bound, in (0, 0.5).

    Returns:
        Both tails, or None below 1,000 unseen samples.

    Raises:
        ValueError: an empty set, a NaN, or an impossible ``level``.

    Source: Carlini et al., "Membership Inference Attacks From First Principles", 2022, section III; the bound on
    epsilon as in Jagielski, Ullman & Oprea, "Auditing Differentially Private Machine Learning", 2020.
    """
    if check_scores(unseen, "unseen").size < LOW_FPR_FROM:
        return None
    check_scores(forget, "forget")
    chosen, held_out = unseen[::2], unseen[1::2]
    high = float(np.quantile(chosen, 1 - fpr, method="higher"))
    low = float(np.quantile(chosen, fpr, method="lower"))
    return LowFpr(
        upper=_tail(high, forget > high, held_out > high, level), lower=_tail(low, forget < low, held_out < low, level)
    )


def per_id(
    forget: Scores, forget_labels: Labels, unseen: Scores, unseen_labels: Labels, *, rate: float = 0.05
) -> PerId:
    """Find the ids whose score is unlike that of unseen samples of their class.

    An id of a class without unseen samples has p = 1. The two directions are tested separately.

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``.
        forget_labels: their classes, int64 of shape ``(n,)``.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        unseen_labels: their classes, int64 of shape ``(m,)``.
        rate: the false-discovery rate of each direction, in (0, 1).

    Raises:
        ValueError: an empty set, a NaN, or labels that do not fit.

    Source: Bates et al., "Testing for outliers with conformal p-values", 2023; Benjamini & Hochberg, "Controlling the
    false discovery rate", 1995.
    """
    strata = stratify(forget, forget_labels, unseen, unseen_labels)
    ordered = np.sort(strata.unseen)
    ends = np.cumsum(strata.unseen_counts)
    total = strata.unseen_counts[strata.forget_class]
    # Keys order by class first: what stands before an id in its class is what stands before it less earlier classes.
    end = ends[strata.forget_class]
    above = end - np.searchsorted(ordered, strata.forget, side="left")
    below = np.searchsorted(ordered, strata.forget, side="right") - (end - total)
    upper, lower = ((1 + count) / (1 + total) for count in (above, below))
    return PerId(_discoveries(upper, rate), _discoveries(lower, rate), _needed(1 / (1 + total), rate))


def _around(distance: float, n: int, m: int, miss: float) -> Interval:
    """Return the distance less and plus the error of both empirical distributions, cut to [0, 1]."""
    spread = sqrt(log(4 / miss) / (2 * n)) + sqrt(log(4 / miss) / (2 * m))
    return clip(distance - spread, distance + spread, (0.0, 1.0))


def _tail(threshold: float, hits: NDArray[np.bool_], alarms: NDArray[np.bool_], level: float) -> Tail:
    """Measure one threshold; the ends of both wide intervals err by ``level / 2`` each, so their ratio by ``level``."""
    tpr = accuracy(int(hits.sum()), hits.size, level=level)
    false = accuracy(int(alarms.sum()), alarms.size, level=level)
    best = accuracy(hits.size, hits.size, level=level)
    return Tail(threshold, tpr, false, _epsilon(tpr, false), _epsilon(best, false))


def _epsilon(tpr: Estimate, fpr: Estimate) -> float:
    """Return the lower bound of ln(TPR / FPR), at least 0; the upper end of a Clopper-Pearson interval is never 0."""
    return max(0.0, log(tpr.wide[0] / fpr.wide[1])) if tpr.wide[0] > 0 else 0.0


def _discoveries(p_values: Scores, rate: float) -> NDArray[np.bool_]:
    """Return which p-values Benjamini and Hochberg discover, bool of shape ``(n,)``."""
    return np.asarray(stats.false_discovery_control(p_values) <= rate)


def _needed(smallest: Scores, rate: float) -> int | None:
    """Return the fewest ids that can be discovered together, given the smallest p that each can have.

    Benjamini and Hochberg discover k of n ids once the k-th smallest p is at most ``rate k / n``. No set of k ids has
    smaller p-values than the k ids of the best-measured classes, so the first k that works for those is the fewest.
    """
    k = np.arange(1, smallest.size + 1)
    # Written as SciPy's own comparison is, so that rounding falls the same way.
    enough = np.flatnonzero(np.sort(smallest) * (smallest.size / k) <= rate)
    return int(enough[0]) + 1 if enough.size else None
