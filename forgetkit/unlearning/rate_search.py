"""Search for the learning rate at which a step ends where a retrained model would be."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TypeVar

from forgetkit.unlearning.membership_gauge import Reading, is_forgotten, keeps_accuracy

Tried = TypeVar("Tried", "Trial", "Evaluation")

MOST_TRIALS = 10
SMALLEST_BRACKET = 1.05
"""Ratio of two rates between which no further rate is tried."""


@dataclass(frozen=True)
class Trial:
    """A rate that was tried, and the reading of the model after it."""

    rate: float
    reading: Reading


@dataclass(frozen=True)
class Evaluation:
    """The reading of a model after a number of steps."""

    step: int
    reading: Reading


def find_rate(
    trial: Callable[[float], Reading], rates: Sequence[float], *, before: Reading, margin: float
) -> Iterator[Trial]:
    """Try ``rates`` from the lowest up, then bisect between the first two that have a gap of 0 between them.

    The search ends when the gap is within its tolerance, when the bracket is closed, after 10 trials, and when a rate
    costs more accuracy than ``margin`` without forgetting: higher rates only lose more.

    Args:
        trial: takes the step at a rate, always from the same start, and measures the model.
        rates: ascending.
        before: reading before any step.
        margin: accuracy on unseen samples that may be lost.

    Yields:
        each trial as it ends.
    """
    low, high, left = 0.0, 0.0, MOST_TRIALS
    for rate in rates[:left]:
        found = Trial(rate, trial(rate))
        left -= 1
        yield found
        if abs(found.reading.gap) <= found.reading.tolerance and keeps_accuracy(found.reading, before, margin):
            return
        if found.reading.gap <= 0:
            high = rate
            break
        if not keeps_accuracy(found.reading, before, margin):
            return
        low = rate
    while low and high and left and high / low > SMALLEST_BRACKET:
        found = Trial(sqrt(low * high), trial(sqrt(low * high)))
        left -= 1
        yield found
        if abs(found.reading.gap) <= found.reading.tolerance and keeps_accuracy(found.reading, before, margin):
            return
        low, high = (found.rate, high) if found.reading.gap > 0 else (low, found.rate)


def best_of(tried: Iterable[Tried], before: Reading, margin: float) -> Tried | None:
    """Return the one with the smallest gap among those that forget and keep accuracy; None if none does.

    Args:
        tried: those to choose from.
        before: reading before any step.
        margin: accuracy on unseen samples that may be lost.
    """
    good = [one for one in tried if keeps_accuracy(one.reading, before, margin) and is_forgotten(one.reading, before)]
    return min(good, key=lambda one: abs(one.reading.gap), default=None)
