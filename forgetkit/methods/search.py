"""Finding the place where a retrained model would be: over rates, or along the steps of one run."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf, sqrt
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.methods.unseen import Gauge, Look, closes, keeps

State = tuple[dict[str, Tensor], dict[str, Any]]

Tried = TypeVar("Tried", "Trial", "Visit")

MOST_TRIALS = 10
SMALLEST_BRACKET = 1.05
"""Ratio of two rates between which there is nothing left to try."""
JUMP = 0.05
"""A look that goes from more than this above 0 to more than this below has come too fast."""
MOST_HALVINGS = 10


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


def brake(
    model: nn.Module,
    optimizer: Optimizer,
    steps: Iterable[object],
    gauge: Gauge,
    *,
    before: Look,
    margin: float,
    every: int,
) -> Iterator[Visit]:
    """Take ``steps``, look often, and end in the best state seen: where the model is, when this generator ends.

    It ends once the gap has come to 0 or to its other side, or goes further below 0, or with ``steps``. A look that
    jumps across is undone: back to the look before, and on at half the rate. The best has the smallest gap of those
    that keep accuracy, or else of all; the start is none of them.

    Args:
        model: changed in place.
        optimizer: what ``steps`` moves it with.
        steps: a generator that takes one step each time it is asked.
        gauge: what looks are taken of.
        before: what the original shows: accuracy is compared with its.
        margin: accuracy on unseen samples that may be lost.
        every: steps between looks, at least 1.

    Yields:
        each look, but for those undone.
    """
    source, taken, halved, last = iter(steps), 0, 0, gauge.look(model)
    first, side = last.gap, 1 if last.gap > 0 else -1
    saved, best = _state(model, optimizer), None
    rank = (True, inf)
    while count := len(list(islice(source, every))):
        look = gauge.look(model)
        if side * last.gap > JUMP and side * look.gap < -JUMP and halved < MOST_HALVINGS:
            halved += 1
            _restore(model, optimizer, saved)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5**halved
            continue
        taken, halved, last, saved = taken + count, 0, look, _state(model, optimizer)
        if (found := (not keeps(look, before, margin), abs(look.gap))) < rank:
            rank, best = found, saved
        yield Visit(taken, look)
        if side * look.gap <= 0 or look.gap < min(first, 0.0) - JUMP:
            break
    if best is not None:
        _restore(model, optimizer, best)


def _state(model: nn.Module, optimizer: Optimizer) -> State:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, copy.deepcopy(optimizer.state_dict())


def _restore(model: nn.Module, optimizer: Optimizer, state: State) -> None:
    model.load_state_dict(state[0])
    optimizer.load_state_dict(copy.deepcopy(state[1]))
