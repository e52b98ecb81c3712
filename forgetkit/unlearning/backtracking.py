"""Steps that are measured often and taken back where they went too far.

A step on the forget set overshoots easily: one evaluation still shows memory, the next a model that gives the forget
set away by knowing it too little. Then the run returns to the state before and continues at half the rate.
"""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import inf
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.training.classifier import state_of
from forgetkit.training.packing import pack, pack_optimizer, part, unpack
from forgetkit.training.resume import Bookmark, Place
from forgetkit.unlearning.membership_gauge import Gauge, Reading, keeps_accuracy
from forgetkit.unlearning.rate_search import Evaluation

State = tuple[dict[str, Tensor], dict[str, Any]]
"""Weights, and the state of an optimizer."""
JUMP = 0.05
"""A gap that goes from more than this above 0 to more than this below it between two readings came too fast."""
MOST_HALVINGS = 10
BRAKE = "brake"
"""Name of the loop in the state of an interrupted run."""


@dataclass(frozen=True)
class Braking:
    """How a run is measured and stopped.

    Attributes:
        before: reading of the original: accuracy is compared with its.
        margin: accuracy on unseen samples that may be lost.
        every: steps between readings, at least 1.
        onward: take all steps and undo none: for methods that go too far at first and come back.
    """

    before: Reading
    margin: float
    every: int
    onward: bool = False


@dataclass
class Progress:
    """How far a braked run has come.

    Attributes:
        last: last reading that counts.
        taken: steps that count.
        consumed: all steps, including those undone.
        halved: how often the rate was halved since the last reading that counts.
        rank: of the best reading: whether it loses accuracy, and its gap.
    """

    last: Reading
    taken: int = 0
    consumed: int = 0
    halved: int = 0
    rank: tuple[bool, float] = (True, inf)


def brake(
    model: nn.Module,
    optimizer: Optimizer,
    steps: Iterable[object],
    gauge: Gauge,
    how: Braking,
    *,
    bookmark: Bookmark | None = None,
    left: Place | None = None,
) -> Iterator[Evaluation]:
    """Take ``steps``, measure often, and end in the best state seen; the model has it when this generator ends.

    It ends once the gap reaches 0 or changes sign, falls further below 0, or the steps end. A reading that jumps across
    0 is undone. The best state after the start has the smallest gap of those that keep accuracy, or else of all.

    Args:
        model: changed in place.
        optimizer: the one that ``steps`` use.
        steps: takes one step each time it is asked.
        gauge: measures the model.
        how: how often to measure, and when to stop.
        bookmark: keeps the state of the run.
        left: state of an interrupted run; ``steps`` are those after it.

    Yields:
        each evaluation, except those undone.
    """
    bookmark, last = bookmark or Bookmark(), gauge.read(model)
    first, side = last.gap, 1 if last.gap > 0 else -1
    now, best, seen, source = Progress(last), None, list[Evaluation](), iter(steps)
    saved = _state(model, optimizer)
    if left:
        now, saved, best = _recall(left, model, optimizer)
        seen = [Evaluation(step, Reading(**reading)) for step, reading in left.at["visits"]]
        yield from seen
    while True:
        states = (saved, best)
        bookmark.reached(BRAKE, lambda of=states: _place(now, seen, of, pack(model, optimizer)))  # type: ignore[misc]
        count = len(list(islice(source, how.every)))
        if not count:
            break
        now.consumed += count
        reading = gauge.read(model)
        jumped = side * now.last.gap > JUMP and side * reading.gap < -JUMP
        if jumped and not how.onward and now.halved < MOST_HALVINGS:
            now.halved += 1
            _restore(model, optimizer, saved)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5**now.halved
            continue
        now.taken, now.halved, now.last, saved = now.taken + count, 0, reading, _state(model, optimizer)
        rank = (not keeps_accuracy(reading, how.before, how.margin), abs(reading.gap))
        if rank < now.rank:
            now.rank, best = rank, saved
        seen.append(Evaluation(now.taken, reading))
        yield seen[-1]
        if not how.onward and (side * reading.gap <= 0 or reading.gap < min(first, 0.0) - JUMP):
            break
    if best is not None:
        _restore(model, optimizer, best)


def _place(
    now: Progress, seen: list[Evaluation], states: tuple[State, State | None], tensors: dict[str, Tensor]
) -> Place:
    """Return all that an interrupted run needs to continue."""
    saved, best = states
    at = asdict(now) | {"rank": None if best is None else now.rank}
    at |= {"visits": [(one.step, asdict(one.reading)) for one in seen]}
    at["rates"] = [group["lr"] for group in saved[1]["param_groups"]]
    if best is not None:
        tensors |= {f"best.model.{name}": tensor.cpu().contiguous() for name, tensor in best[0].items()}
        tensors |= pack_optimizer(best[1], name="best.")
    return Place(at, tensors)


def _recall(left: Place, model: nn.Module, optimizer: Optimizer) -> tuple[Progress, State, State | None]:
    """Restore model and optimizer; return how far the run came, and the states it can return to."""
    best, at = None, left.at
    if kept := part(left.tensors, "best."):
        unpack(kept, model, optimizer)
        best = _state(model, optimizer)
    unpack(left.tensors, model, optimizer)
    saved = _state(model, optimizer)
    # The model was kept after a reading that counted or was undone: only the rates can differ from the saved state.
    for group, rate in zip(saved[1]["param_groups"], at["rates"], strict=True):
        group["lr"] = rate
    rank = (True, inf) if at["rank"] is None else (at["rank"][0], at["rank"][1])
    return Progress(Reading(**at["last"]), at["taken"], at["consumed"], at["halved"], rank), saved, best


def _state(model: nn.Module, optimizer: Optimizer) -> State:
    return state_of(model), copy.deepcopy(optimizer.state_dict())


def _restore(model: nn.Module, optimizer: Optimizer, state: State) -> None:
    model.load_state_dict(state[0])
    optimizer.load_state_dict(copy.deepcopy(state[1]))
