"""When a step stops: as soon as an evaluation shows the ids forgotten, or after as many steps as a rehearsal needed."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import ceil
from typing import Any

from torch import nn
from torch.optim import Optimizer

from forgetkit.events import Measured, Tell, progress
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, fit, started, walk
from forgetkit.unlearning.backtracking import BRAKE, Braking, brake
from forgetkit.unlearning.membership_gauge import Gauge, Reading, describe, pooled
from forgetkit.unlearning.rate_search import Evaluation, best_of
from forgetkit.unlearning.sets import Pool
from forgetkit.unlearning.tuning_groups import TuningGroups

GROWTH = 1.2
"""Ratio of the numbers of steps of two readings in a rehearsal."""
FAR = 0.45
"""Gap below 0 at which a group of any size has gone far enough."""

Begin = Callable[[Pool], tuple[Optimizer, Iterator[Update]]]
"""Begins a method on some samples in place of the forget set: an optimizer, and its updates."""


@dataclass(frozen=True)
class Stopped:
    """How a run ended.

    Attributes:
        optimizer: as it ended.
        seen: every evaluation.
        best: the best of those that forget and keep accuracy, if any.
        fault: what is wrong with the model on the ids themselves, although all was well with their stand-ins.
    """

    optimizer: Optimizer
    seen: list[Evaluation]
    best: Evaluation | None
    fault: str = ""


def stop_when_forgotten(
    model: nn.Module,
    forget: Pool,
    groups: TuningGroups,
    begin: Begin,
    how: Braking,
    *,
    most: int,
    bookmark: Bookmark,
    tell: Tell,
) -> Stopped:
    """Take steps on the forget set until it looks like unseen samples; the model ends in the best state.

    Args:
        model: changed in place.
        forget: the forget set.
        groups: what is measured; if others stand in for the forget set, the number of steps is rehearsed on them.
        begin: begins the method.
        how: how often to measure, and when to stop.
        most: steps at most.
        bookmark: keeps and recalls the state of the run.
        tell: receives every evaluation.
    """
    if groups.direct:
        return _measured_on_the_way(
            model, forget, groups.gauges[0], begin, how, most=most, bookmark=bookmark, tell=tell
        )
    seen = rehearsed_steps(groups, model, begin, how, most=most, bookmark=bookmark)
    best = best_of(seen, how.before, how.margin)
    if best is None:
        return Stopped(begin(forget)[0], seen, None)
    last = best.step

    def begin_rehearsed() -> tuple[Optimizer, Iterator[Update]]:
        """Begin the number of steps that was rehearsed."""
        optimizer, updates = begin(forget)
        return optimizer, islice(updates, last)

    kept = groups.accuracy_to_keep(model)
    optimizer, _ = walk(bookmark, "steps", model, begin_rehearsed)
    fault = groups.fault(model, kept, how.margin)
    return Stopped(optimizer, seen, None if fault else best, fault)


def _measured_on_the_way(
    model: nn.Module,
    forget: Pool,
    gauge: Gauge,
    begin: Begin,
    how: Braking,
    *,
    most: int,
    bookmark: Bookmark,
    tell: Tell,
) -> Stopped:
    """Take steps on the forget set and measure it on the way."""
    if (failed := bookmark.replay()) is not None:
        return Stopped(begin(forget)[0], [Evaluation(step, Reading(**reading)) for step, reading in failed], None)
    left = bookmark.open(BRAKE)
    done = left.at["consumed"] if left else 0
    optimizer, updates = begin(forget)
    steps = fit(optimizer, islice(started(updates, done), most - done))
    run = brake(model, optimizer, steps, gauge, how, bookmark=bookmark, left=left)
    seen = []
    for evaluation in progress(run, "evaluations", ceil(most / how.every), tell):
        seen.append(evaluation)
        tell(Measured(describe(evaluation.reading)))
    seen = seen or [Evaluation(0, how.before)]
    best = best_of(seen, how.before, how.margin)
    if best is None:
        bookmark.record([(one.step, asdict(one.reading)) for one in seen])
    return Stopped(optimizer, seen, best)


def rehearsed_steps(
    groups: TuningGroups, model: nn.Module, begin: Begin, how: Braking, *, most: int, bookmark: Bookmark
) -> list[Evaluation]:
    """Return pooled readings of all groups after increasing numbers of steps; the model's weights are restored.

    A group ends when its gap is far below 0; from then on its last reading counts.

    Args:
        groups: groups to rehearse on.
        model: changed, then restored.
        begin: begins the method.
        how: how often to measure; ``onward`` takes all steps.
        most: steps of a group at most.
        bookmark: keeps and recalls the results of the groups.
    """
    tracks: list[list[Evaluation]] = []

    def run(gauge: Gauge, group: Pool) -> list[tuple[int, dict[str, Any]]]:
        """Take the steps on one group and measure it."""
        optimizer, updates = begin(group)
        source, readings, taken = fit(optimizer, started(updates)), list[tuple[int, dict[str, Any]]](), 0
        for place in _places(how.every, most):
            if not (steps := len(list(islice(source, place - taken)))):
                break
            taken += steps
            reading = gauge.read(model)
            readings.append((taken, asdict(reading)))
            if not how.onward and reading.gap < -min(2 * reading.error, FAR):
                break
        return readings

    def track(group: Pool) -> None:
        """Rehearse on one group."""
        gauge = next(waiting)
        found = bookmark.once(lambda: run(gauge, group))
        tracks.append([Evaluation(step, Reading(**reading)) for step, reading in found])

    waiting = iter(groups.gauges)
    groups.rehearse(model, track)
    sizes, joined = [len(group) for group in groups.groups], []
    for place in range(max(len(track) for track in tracks)):
        found = [track[min(place, len(track) - 1)] for track in tracks]
        reading = pooled([(one.reading, size) for one, size in zip(found, sizes, strict=True)])
        joined.append(Evaluation(max(one.step for one in found), reading))
    return joined


def _places(every: int, most: int) -> list[int]:
    """Return the numbers of steps after which a rehearsal measures: ever wider apart."""
    places = [min(every, most)]
    while places[-1] < most:
        places.append(min(most, max(places[-1] + every, ceil(places[-1] * GROWTH))))
    return places
