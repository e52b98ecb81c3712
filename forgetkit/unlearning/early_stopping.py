"""How a step finds where to stop: by looks on the way, or after as many steps as a rehearsal took."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from math import ceil
from typing import Any

from torch import nn
from torch.optim import Optimizer

from forgetkit.events import Measured, Tell, progress
from forgetkit.training.classifier import Samples
from forgetkit.training.resume import Bookmark, walk
from forgetkit.unlearning.backtracking import BRAKE, brake
from forgetkit.unlearning.membership_gauge import Gauge, Look, pooled, words
from forgetkit.unlearning.rate_search import Visit, best_of
from forgetkit.unlearning.tuning_groups import Course

GROWTH = 1.2
"""Ratio of two places at which a rehearsal looks."""
FAR = 0.45
"""Distance past the place at which a group of any size has gone far enough."""


Start = Callable[[Samples, int], tuple[Optimizer, Iterator[object]]]
"""Begins a run on some samples, some steps passed over: an optimizer, and a generator of steps."""


@dataclass(frozen=True)
class Stopped:
    """Where a run came to: its optimizer, every look, and the best of those that keep accuracy and forget, if any.

    The ``fault`` is what is wrong with the model on the ids themselves, where all was well with those that stood in.
    """

    optimizer: Optimizer
    visits: list[Visit]
    best: Visit | None
    fault: str = ""


def stop_unseen(
    model: nn.Module,
    forget: Samples,
    course: Course,
    start: Start,
    *,
    every: int,
    most: int,
    before: Look,
    margin: float,
    onward: bool = False,
    tell: Tell,
    bookmark: Bookmark,
) -> Stopped:
    """Take steps on the forget set until it looks like data never seen; the model ends in the best state.

    Args:
        model: changed in place.
        forget: images and labels.
        course: what is looked at; where others stand in for the forget set, the number of steps is rehearsed on them.
        start: begins a run; its generator takes a step each time it is asked.
        every: steps between looks.
        most: steps at the most.
        before: what the groups of ``course`` show at the start.
        margin: accuracy on unseen samples that may be lost.
        onward: see :func:`forgetkit.unlearning.backtracking.brake`.
        tell: shown every look.
        bookmark: where the run stands.
    """
    if not course.direct:
        visits = rehearsed_steps(course, model, start, every=every, most=most, onward=onward, bookmark=bookmark)
        best = best_of(visits, before, margin)
        if best is None:
            return Stopped(start(forget, 0)[0], visits, None)
        last = best.step

        def begin(done: int) -> tuple[Optimizer, Iterator[object]]:
            optimizer, steps = start(forget, done)
            return optimizer, islice(steps, last - done)

        kept = course.kept(model)
        optimizer = walk(bookmark, "steps", model, begin)[0]
        fault = course.fault(model, kept, margin)
        return Stopped(optimizer, visits, None if fault else best, fault)
    if (failed := bookmark.replay()) is not None:
        return Stopped(start(forget, 0)[0], [Visit(step, Look(**look)) for step, look in failed], None)
    left = bookmark.open(BRAKE)
    done = left.at["consumed"] if left else 0
    optimizer, steps = start(forget, done)
    source, gauge = islice(steps, most - done), course.gauges[0]
    run = brake(
        model,
        optimizer,
        source,
        gauge,
        before=before,
        margin=margin,
        every=every,
        onward=onward,
        bookmark=bookmark,
        left=left,
    )
    visits = []
    for visit in progress(run, "looks", ceil(most / every), tell):
        visits.append(visit)
        tell(Measured(words(visit.look)))
    visits = visits or [Visit(0, before)]
    best = best_of(visits, before, margin)
    if best is None:
        bookmark.record([(visit.step, asdict(visit.look)) for visit in visits])
    return Stopped(optimizer, visits, best)


def rehearsed_steps(
    course: Course,
    model: nn.Module,
    start: Start,
    *,
    every: int,
    most: int,
    onward: bool = False,
    bookmark: Bookmark,
) -> list[Visit]:
    """Return what all groups together show after every so many steps; the model's weights are put back.

    A group ends where it is far past the place; it counts on as it was then.

    Args:
        course: groups to run on.
        model: changed, and put back.
        start: see :func:`stop_unseen`.
        every: steps between looks.
        most: steps of a group at the most.
        onward: take them all.
        bookmark: where the run stands.
    """
    tracks: list[list[Visit]] = []

    def run(gauge: Gauge, samples: Samples) -> list[tuple[int, dict[str, Any]]]:
        source, looks, taken = start(samples, 0)[1], list[tuple[int, dict[str, Any]]](), 0
        for place in _places(every, most):
            if not (steps := len(list(islice(source, place - taken)))):
                break
            taken += steps
            look = gauge.look(model)
            looks.append((taken, asdict(look)))
            if not onward and look.gap < -min(2 * look.error, FAR):
                break
        return looks

    def track(samples: Samples) -> None:
        gauge = next(waiting)
        tracks.append([Visit(step, Look(**look)) for step, look in bookmark.once(lambda: run(gauge, samples))])

    waiting = iter(course.gauges)
    course.rehearse(model, track)
    sizes, pooled_visits = [len(labels) for _, labels in course.groups], []
    for place in range(max(len(track) for track in tracks)):
        visits = [track[min(place, len(track) - 1)] for track in tracks]
        look = pooled([(visit.look, size) for visit, size in zip(visits, sizes, strict=True)])
        pooled_visits.append(Visit(max(visit.step for visit in visits), look))
    return pooled_visits


def _places(every: int, most: int) -> list[int]:
    """Return the steps after which a rehearsal looks: the further on, the wider apart."""
    places = [min(every, most)]
    while places[-1] < most:
        places.append(min(most, max(places[-1] + every, ceil(places[-1] * GROWTH))))
    return places


def drain(steps: Iterable[object]) -> int:
    """Take every step; return how many there were."""
    return sum(1 for _ in steps)
