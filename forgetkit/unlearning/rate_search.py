"""Finding the place where a retrained model would be: over rates, or along the steps of one run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeVar

from forgetkit.unlearning.membership_gauge import Look, closes, keeps

Tried = TypeVar("Tried", "Trial", "Visit")

MOST_TRIALS = 10
SMALLEST_BRACKET = 1.05
"""Ratio of two rates between which there is nothing left to try."""


@dataclass(frozen=True)
class Trial:
    """One setting that was tried, and what came of it."""

    rate: float
    look: Look


@dataclass(frozen=True)
class Visit:
    """One look on the way, after so many steps."""

    step: int
    look: Look


def find_rate(
    trial: Callable[[float], Look], rates: Sequence[float], *, before: Look, margin: float
) -> Iterator[Trial]:
    """Try ``rates`` from the lowest up, then bisect between the first two that have the gap's zero between them.

    It ends where the gap is within its tolerance, where the bracket is closed, or after 10 trials; and where a rate has
    cost more accuracy than ``margin`` and yet not forgotten: higher ones only lose more.

    Args:
        trial: a rate, always from the same start → what the model shows.
        rates: ascending.
        before: what the model shows at the start.
        margin: accuracy on unseen samples that may be lost.

    Yields:
        each trial, as it ends.
    """
    low, high, left = 0.0, 0.0, MOST_TRIALS
    for rate in rates[:left]:
        found = Trial(rate, trial(rate))
        left -= 1
        yield found
        if abs(found.look.gap) <= found.look.tolerance and keeps(found.look, before, margin):
            return
        if found.look.gap <= 0:
            high = rate
            break
        if not keeps(found.look, before, margin):
            return
        low = rate
    while low and high and left and high / low > SMALLEST_BRACKET:
        found = Trial(sqrt(low * high), trial(sqrt(low * high)))
        left -= 1
        yield found
        if abs(found.look.gap) <= found.look.tolerance and keeps(found.look, before, margin):
            return
        low, high = (found.rate, high) if found.look.gap > 0 else (low, found.rate)


def best_of(tried: Iterable[Tried], before: Look, margin: float) -> Tried | None:
    """Return what came nearest to where a retrained model would be, of all that keep accuracy and forget; else None.

    Args:
        tried: those to choose from.
        before: what the model showed at the start.
        margin: accuracy on unseen samples that may be lost.
    """
    good = [one for one in tried if keeps(one.look, before, margin) and closes(one.look, before)]
    return min(good, key=lambda one: abs(one.look.gap), default=None)
