"""Steps that are taken back where they went too far."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import inf
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.training.classifier import state_of
from forgetkit.training.resume import Bookmark, Place, pack, pack_optimizer, part, unpack
from forgetkit.unlearning.membership_gauge import Gauge, Look, keeps
from forgetkit.unlearning.rate_search import Visit

State = tuple[dict[str, Tensor], dict[str, Any]]


JUMP = 0.05
"""A look that goes from more than this above 0 to more than this below has come too fast."""


MOST_HALVINGS = 10


BRAKE = "brake"


def brake(
    model: nn.Module,
    optimizer: Optimizer,
    steps: Iterable[object],
    gauge: Gauge,
    *,
    before: Look,
    margin: float,
    every: int,
    onward: bool = False,
    bookmark: Bookmark | None = None,
    left: Place | None = None,
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
        onward: take all of ``steps``, undo none: for those that go too far at first, and come back.
        bookmark: where the run stands.
        left: where an earlier run stood; ``steps`` are those after it.

    Yields:
        each look, but for those undone.
    """
    bookmark = bookmark or Bookmark()
    last = gauge.look(model)
    first, side = last.gap, 1 if last.gap > 0 else -1
    now, best, visits, source = Braked(last), None, list[Visit](), iter(steps)
    saved = _state(model, optimizer)
    if left:
        now, saved, best = _go_on(left, model, optimizer)
        visits = [Visit(step, Look(**look)) for step, look in left.at["visits"]]
        yield from visits
    while True:
        states = (saved, best)
        bookmark.reached(BRAKE, lambda of=states: _place(now, visits, of, pack(model, optimizer)))  # type: ignore[misc]
        count = len(list(islice(source, every)))
        if not count:
            break
        now.consumed += count
        look = gauge.look(model)
        if not onward and side * now.last.gap > JUMP and side * look.gap < -JUMP and now.halved < MOST_HALVINGS:
            now.halved += 1
            _restore(model, optimizer, saved)
            for group in optimizer.param_groups:
                group["lr"] *= 0.5**now.halved
            continue
        now.taken, now.halved, now.last, saved = now.taken + count, 0, look, _state(model, optimizer)
        if (found := (not keeps(look, before, margin), abs(look.gap))) < now.rank:
            now.rank, best = found, saved
        visits.append(Visit(now.taken, look))
        yield visits[-1]
        if not onward and (side * look.gap <= 0 or look.gap < min(first, 0.0) - JUMP):
            break
    if best is not None:
        _restore(model, optimizer, best)


@dataclass
class Braked:
    """Where a run with :func:`brake` stands.

    Attributes:
        last: the last look that counts.
        taken: steps that count.
        consumed: steps in all, those undone included.
        halved: how often the rate was halved since the last look that counts.
        rank: of the best look.
    """

    last: Look
    taken: int = 0
    consumed: int = 0
    halved: int = 0
    rank: tuple[bool, float] = (True, inf)


def _place(now: Braked, visits: list[Visit], states: tuple[State, State | None], tensors: dict[str, Tensor]) -> Place:
    saved, best = states
    at = asdict(now) | {"rank": None if best is None else now.rank}
    at |= {"visits": [(visit.step, asdict(visit.look)) for visit in visits]}
    at["rates"] = [group["lr"] for group in saved[1]["param_groups"]]
    if best is not None:
        tensors |= {f"best.model.{name}": tensor.cpu().contiguous() for name, tensor in best[0].items()}
        tensors |= pack_optimizer(best[1], name="best.")
    return Place(at, tensors)


def _go_on(left: Place, model: nn.Module, optimizer: Optimizer) -> tuple[Braked, State, State | None]:
    """Put model and optimizer back; return where the run stands, and the states to go back to."""
    best, at = None, left.at
    if kept := part(left.tensors, "best."):
        unpack(kept, model, optimizer)
        best = _state(model, optimizer)
    unpack(left.tensors, model, optimizer)
    saved = _state(model, optimizer)
    for group, rate in zip(saved[1]["param_groups"], at["rates"], strict=True):
        group["lr"] = rate
    rank = (True, inf) if at["rank"] is None else (at["rank"][0], at["rank"][1])
    return Braked(Look(**at["last"]), at["taken"], at["consumed"], at["halved"], rank), saved, best


def _state(model: nn.Module, optimizer: Optimizer) -> State:
    return state_of(model), copy.deepcopy(optimizer.state_dict())


def _restore(model: nn.Module, optimizer: Optimizer, state: State) -> None:
    model.load_state_dict(state[0])
    optimizer.load_state_dict(copy.deepcopy(state[1]))
