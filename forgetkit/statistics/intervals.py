"""Estimates with their intervals, and the rule that turns one into a verdict.

Every estimate carries two intervals: the wide one (95 %) must lie outside the margin to fail a model, the narrow one
(90 %, two one-sided tests) must lie inside it to pass. What does neither is inconclusive.
"""

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["pass", "fail", "inconclusive"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A measured quantity with the two intervals that a verdict needs.

    Attributes:
        value: the point estimate, inside both intervals.
        wide: the two-sided interval of confidence ``1 - level`` (95 %).
        narrow: the two-sided interval of confidence ``1 - 2 level`` (90 %); each end is a one-sided 95 % bound.
        n: how many samples it rests on.
    """

    value: float
    wide: Interval
    narrow: Interval
    n: int


def judge(estimate: Estimate, *, null: float, margin: float) -> Verdict:
    """Compare an estimate with the value that never-trained samples would show, from both sides.

    Args:
        estimate: the measured quantity.
        null: its value where nothing leaks.
        margin: largest distance from ``null`` that still counts as nothing, set beforehand, at least 0.

    Returns:
        "fail" if the wide interval lies wholly outside ``[null - margin, null + margin]``, "pass" if the narrow one
        lies wholly inside, else "inconclusive".

    Source: Schuirmann, "A comparison of the two one-sided tests procedure", 1987.
    """
    low, high = null - margin, null + margin
    if estimate.wide[1] < low or estimate.wide[0] > high:
        return "fail"
    if low <= estimate.narrow[0] and estimate.narrow[1] <= high:
        return "pass"
    return "inconclusive"


def check_level(level: float) -> float:
    """Return ``level`` if both intervals exist at it.

    Raises:
        ValueError: not inside (0, 0.5).
    """
    if not 0 < level < 0.5:
        raise ValueError(f"a level of {level} is not inside (0, 0.5)")
    return level


def references_needed(level: float) -> int:
    """Return the fewest models that never saw the samples among which a rank can reach ``level``, in (0, 0.5)."""
    return ceil(1 / level - 1e-9) - 1  # 1 / level may come out a rounding above a whole number


def clip(low: float, high: float, bounds: Interval) -> Interval:
    """Cut an interval to the range of its parameter."""
    return min(max(low, bounds[0]), bounds[1]), min(max(high, bounds[0]), bounds[1])


def normal_estimate(value: float, error: float, n: int, *, level: float, bounds: Interval) -> Estimate:
    """Put normal intervals around a value.

    Args:
        value: the point estimate, inside ``bounds``.
        error: its standard error, at least 0.
        n: how many samples it rests on.
        level: the share of wide intervals that may miss, in (0, 0.5).
        bounds: the range of the parameter; the intervals are cut to it.

    Raises:
        ValueError: an impossible ``level``.
    """
    from scipy.special import ndtri  # other commands import this module, and scipy costs a tenth of a second

    outer, inner = (float(ndtri(1 - tail)) * error for tail in (check_level(level) / 2, level))
    wide = clip(value - outer, value + outer, bounds)
    narrow = clip(value - inner, value + inner, bounds)
    return Estimate(value, wide, narrow, n)


def accuracy(right: int, n: int, *, level: float = 0.05) -> Estimate:
    """Estimate a proportion with exact intervals.

    Args:
        right: how many samples count, in ``[0, n]``.
        n: how many samples there are, at least 1.
        level: the share of wide intervals that may miss, in (0, 0.5).

    Raises:
        ValueError: ``right`` is not in ``[0, n]``, no sample at all, or an impossible ``level``.

    Source: Clopper & Pearson, "The use of confidence or fiducial limits", 1934.
    """
    if not 0 <= right <= n or n < 1:
        raise ValueError(f"{right} of {n} samples is not a proportion")
    wide, narrow = (_clopper_pearson(right, n, tail) for tail in (check_level(level) / 2, level))
    return Estimate(right / n, wide, narrow, n)


def utility(before_right: NDArray[np.bool_], after_right: NDArray[np.bool_], *, level: float = 0.05) -> Estimate:
    """Estimate how much accuracy a model gained, both models judged on the same samples.

    Args:
        before_right: where the original is correct, bool of shape ``(n,)``.
        after_right: where the model under audit is correct, bool of shape ``(n,)``, in the same order.
        level: the share of wide intervals that may miss, in (0, 0.5).

    Returns:
        The difference after - before, in [-1, 1]; a loss of accuracy is negative. Its intervals count one more gain and
        one more loss than there were: otherwise a model that lost a few of 248 answers passes twice as often as it may.

    Raises:
        ValueError: shapes that differ, no sample at all, or an impossible ``level``.

    Source: Bonett & Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
    data", 2012.
    """
    if before_right.ndim != 1 or before_right.shape != after_right.shape or not before_right.size:
        raise ValueError(f"cannot pair answers of shapes {before_right.shape} and {after_right.shape}")
    n = before_right.size
    gained = int(np.count_nonzero(after_right & ~before_right))
    lost = int(np.count_nonzero(before_right & ~after_right))
    middle, error = (gained - lost) / (n + 2), sqrt(gained + lost + 2 - (gained - lost) ** 2 / (n + 2)) / (n + 2)
    around, value = normal_estimate(middle, error, n, level=level, bounds=(-1.0, 1.0)), (gained - lost) / n
    wide, narrow = ((min(low, value), max(high, value)) for low, high in (around.wide, around.narrow))
    return Estimate(value, wide, narrow, n)


def judge_utility(estimate: Estimate, *, margin: float = 0.02) -> Verdict:
    """Judge a gain of accuracy from one side: only a loss beyond the margin is wrong.

    The ends of the narrow interval are the one-sided bounds of confidence ``1 - level`` that the rule wants.

    Args:
        estimate: what ``utility`` returned.
        margin: the loss of accuracy that is still allowed, at least 0.

    Returns:
        "pass" if the loss is surely smaller than the margin, "fail" if it is surely larger, else "inconclusive".
    """
    if estimate.narrow[0] > -margin:
        return "pass"
    return "fail" if estimate.narrow[1] < -margin else "inconclusive"


def _clopper_pearson(right: int, n: int, tail: float) -> Interval:
    """Return the exact interval that misses by ``tail`` on either side."""
    from scipy.special import betainccinv, betaincinv

    # The beta quantiles of binomtest(...).proportion_ci, without its root search, which is twenty times slower.
    low = float(betaincinv(right, n - right + 1, tail)) if right else 0.0
    high = float(betainccinv(right + 1, n - right, tail)) if right < n else 1.0
    return low, high
