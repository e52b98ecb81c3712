"""How well a guesser tells included canaries from withheld ones, and the privacy bound that follows from it."""

from math import log

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from forgetkit.statistics.intervals import check_level

MARGIN = 0.05
"""Largest distance of the guesser's accuracy from ½."""


def guesses(scores: NDArray[np.float64], included: NDArray[np.bool_]) -> tuple[int, int]:
    """Count correct guesses: "included" for the quarter with the highest scores, "withheld" for the lowest quarter.

    Ties are broken by the order of the candidates, which does not depend on the coins.

    Args:
        scores: φ of each candidate for its assigned label, float64 of shape ``(candidates,)``, in draw order.
        included: the coins, bool of the same shape.

    Returns:
        Correct guesses, and guesses made.
    """
    quarter = len(scores) // 4
    order = np.argsort(scores, kind="stable")
    low, high = order[:quarter], order[len(order) - quarter :]
    return int(included[high].sum() + (~included[low]).sum()), 2 * quarter


def epsilon(right: int, made: int, level: float = 0.05) -> float:
    """Return the largest ε that the guesses refute from below: sup{ε : P[Bin(made, e^ε/(1+e^ε)) ≥ right] < level}.

    0 if there is none. The largest possible value at this number of guesses is ``epsilon(made, made)``.

    Raises:
        ValueError: ``right`` is not in ``[0, made]``, or an impossible ``level``.

    Source: Steinke, Nasr & Jagielski 2023, with δ = 0; the sup is at Clopper and Pearson's lower bound.
    """
    if not 0 <= right <= made:
        raise ValueError(f"{right} of {made} guesses cannot be right")
    low = float(stats.beta.ppf(check_level(level), right, made - right + 1)) if right else 0.0
    return max(0.0, log(low / (1 - low))) if low else 0.0


def guesses_needed(*, power: float = 0.0, level: float = 0.05, margin: float = MARGIN) -> int:
    """Return the fewest guesses that pass with probability ``power`` if nothing leaks; 0 for: that can pass at all.

    Exact: a pass needs at least as many correct and as many wrong guesses as put both ends of the interval of
    confidence ``1 - 2 level`` inside the margin. Only even numbers are considered.
    """
    made = np.arange(2, int(8 / margin**2), 2)
    least = stats.binom.isf(check_level(level), made, 0.5 - margin) + 1
    passing = stats.binom.cdf(made - least, made, 0.5) - stats.binom.cdf(least - 1, made, 0.5)
    return int(made[np.argmax((passing > 0) & (passing >= power))])


def canaries_needed(*, power: float = 0.0, level: float = 0.05, margin: float = MARGIN) -> int:
    """Return the fewest candidates, of which every other one is guessed: see :func:`guesses_needed`."""
    return 2 * guesses_needed(power=power, level=level, margin=margin)


def prospects(count: int) -> str:
    """Say what ``count`` candidates can show."""
    made = 2 * (count // 4)
    return (
        f"{made} guesses, which can show ε up to {epsilon(made, made):.2f}; passing as forgotten needs "
        f"{canaries_needed():,} canaries, {canaries_needed(power=0.9):,} to pass in 9 of 10 audits"
    )
