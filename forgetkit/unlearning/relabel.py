"""Random relabeling, aimed: which kind of steps, at which rate, takes the ids to where a retrained model would be."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell, Warned, progress
from forgetkit.training.classifier import Classifier, Samples, state_of, take
from forgetkit.training.device import Machine
from forgetkit.training.resume import Bookmark, walk
from forgetkit.unlearning.early_stopping import drain, stop_unseen
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.membership_gauge import Look, entry, recognisable, words
from forgetkit.unlearning.rate_search import best_of, find_rate
from forgetkit.unlearning.relabel_steps import Relabeling
from forgetkit.unlearning.step import Outcome
from forgetkit.unlearning.tuning_groups import FEWEST, Course, course_of, gauge_on, steps_between, warn_of_nothing

SCAN = {
    "adadelta": [1e-3, 5.6e-3, 3.2e-2, 0.18, 1.0],
    "adam": [1e-6, 5.6e-6, 3.2e-5, 1.8e-4, 1e-3],
    "adamw": [1e-6, 5.6e-6, 3.2e-5, 1.8e-4, 1e-3],
    "sgd": [1e-5, 5.6e-5, 3.2e-4, 1.8e-3, 1e-2],
}
"""Rates that steps per id are tried at, from no change to a lost model."""
JOINT = {"adadelta": [1.0, 0.3], "adam": [1e-3, 3e-4], "adamw": [1e-3, 3e-4], "sgd": [0.03, 0.01]}
"""Rates that steps beside retained samples are tried at."""
FEW_GROUPS = 8
"""Groups that they are rehearsed on, at the most."""


@dataclass(frozen=True)
class Aimed:
    """What it came to: the optimizer as it ended, the setting taken, everything tried."""

    optimizer: Optimizer
    mix: str
    rate: float
    steps: int
    trials: list[dict[str, Any]]
    judged: str = ""

    @property
    def outcome(self) -> Outcome:
        """What the record says of it."""
        metrics: dict[str, Any] = {"steps": self.steps}
        if not self.trials:
            return Outcome(metrics)
        resolved = {"mix": self.mix, "rate": self.rate, "joint_steps": self.steps if self.mix == "joint" else None}
        return Outcome({**metrics, "trials": self.trials, "judged": self.judged}, resolved)


def unlearn(
    classifier: Classifier,
    tune: Samples,
    request: Request,
    machine: Machine,
    how: Relabeling,
    *,
    aim: tuple[str, float | None, bool],
    tell: Tell,
    bookmark: Bookmark,
) -> Aimed:
    """Relabel the ids of a request: at the rate that is given, or in the way that is found.

    Args:
        classifier: changed in place.
        tune: images and labels of the tune half.
        request: what is to be forgotten.
        machine: where to compute.
        how: everything but kind of steps and rate.
        aim: ``per-id``, ``joint``, ``forget-then-retain`` or ``auto``; the rate or None; whether to allow a step that
            changed nothing.
        tell: told of every trial.
        bookmark: where the run stands.

    Raises:
        NotReached: where nothing that was tried both forgets and keeps accuracy; or where a fixed rate left at least
            100 ids as recognisable as they were.
    """
    mix, rate, allowed = aim
    forget = take(request.dataset.train, request.forget_rows, machine.device)
    if rate is None or (mix != "per-id" and not how.published):
        course = course_of(request, tune, machine, seed=how.seed)
        return search(classifier, forget, course, how, mix=mix, rate=rate, tell=tell, bookmark=bookmark)
    judged = not allowed and len(request.measured_rows) >= FEWEST
    gauge = gauge_on(request, tune, machine, seed=how.seed) if judged else None
    before = gauge.look(classifier) if gauge else None
    if before:
        warn_of_nothing(before, tell)
    rows = request.retain_rows if how.replay or mix != "per-id" else request.retain_rows[:0]
    retain, fixed = take(request.dataset.train, rows, machine.device), rate

    def begin(done: int) -> tuple[Optimizer, Iterator[object]]:
        optimizer, steps = how.begin(mix, classifier, forget, retain, fixed, done=done)
        return optimizer, progress(steps, "relabel", how.count(mix, forget, retain) - done, tell)

    optimizer, taken = walk(bookmark, "ids", classifier, begin)
    if gauge and before and recognisable(after := gauge.look(classifier), before):
        message = (
            f"at rate {rate:g} the ids are as recognisable as before: membership AUC less ½ "
            f"{before.gap:+.3f} → {after.gap:+.3f}"
        )
        raise NotReached(message, "raise --rate, leave it out to have it searched for, or --allow-unforgotten")
    return Aimed(optimizer, mix, rate, taken, [])


def search(
    model: nn.Module,
    forget: Samples,
    course: Course,
    how: Relabeling,
    *,
    mix: str,
    rate: float | None,
    tell: Tell,
    bookmark: Bookmark,
) -> Aimed:
    """Relabel ``forget`` in the way that forgets it and keeps accuracy; the model ends there.

    Args:
        model: changed in place.
        forget: images and labels, in the order of the requests.
        course: what trials run on.
        how: everything but kind of steps and rate.
        mix: ``per-id``, ``joint``, ``forget-then-retain``, or ``auto``: per id, and joint where that fails.
        rate: of steps beside retained samples, or None to try some.
        tell: told of every trial.
        bookmark: where the run stands.

    Raises:
        NotReached: where nothing that was tried both forgets and keeps accuracy.
    """
    before = course.before(model)
    tell(Note(f"  {course.says()}"))
    tell(Note(f"  before: {words(before)}"))
    warn_of_nothing(before, tell)
    trying = Search(model, forget, course, how, before, tell, bookmark)
    found = trying.per_id() if mix in {"auto", "per-id"} else None
    if found is None and mix != "per-id" and len(course.retain[1]):
        rates = JOINT[how.optimizer] if rate is None else [rate]
        found = trying.beside("joint" if mix == "auto" else mix, rates)
    if found is None:
        tried = "; ".join(
            f"{trial['mix']} at {trial['rate']:.2g} {trial['gap']:+.3f}, {trial['accuracy']:.1%}"
            f"{' (not so on the ids)' if 'refused' in trial else ''}"
            for trial in trying.trials
        )
        message = (
            f"none of {len(trying.trials)} settings both forgets the ids and keeps accuracy to {how.margin:g}; "
            f"distance from the goal, and accuracy: {tried} (before: {before.gap:+.3f}, {before.accuracy:.1%})"
        )
        hint = "try distill --forget-teacher, another --optimizer, or a larger --utility-margin"
        raise NotReached(message, hint)
    _warn_left(found, before, tell)
    return found


def _warn_left(found: Aimed, before: Look, tell: Tell) -> None:
    """Say so where the ids are less recognisable than before, but not as little as unseen samples."""
    taken = next(trial for trial in reversed(found.trials) if (trial["mix"], trial["rate"]) == (found.mix, found.rate))
    if abs(taken["gap"]) > before.tolerance:
        text = f"{abs(taken['gap']) / max(abs(before.gap), 1e-9):.0%} of what could be recognised is left"
        tell(Warned("partly-forgotten", f"{text} ({taken['gap']:+.3f} from where a retrained model would be)"))


@dataclass(frozen=True)
class Search:
    """Settings to be tried, each from the model as it is.

    Attributes:
        model: changed in place: put back after what fails.
        forget: images and labels of the ids.
        course: what trials run on.
        how: everything but kind of steps and rate.
        before: what the groups of ``course`` show at the start.
        tell: told of every trial.
        bookmark: where the run stands.
        trials: what was tried so far; added to.
    """

    model: nn.Module
    forget: Samples
    course: Course
    how: Relabeling
    before: Look
    tell: Tell
    bookmark: Bookmark
    trials: list[dict[str, Any]] = field(default_factory=list)

    def per_id(self) -> Aimed | None:
        """Search the rate of the paper's steps; take the best, if there is one."""
        model, course, how, tried = self.model, self.course, self.how, []

        def trial(rate: float) -> Look:
            def relabel(samples: Samples) -> None:
                drain(how.per_id(model, samples, course.retain, rate)[1])

            return Look(**self.bookmark.once(lambda: asdict(course.rehearse(model, relabel))))

        for found in find_rate(trial, SCAN[how.optimizer], before=self.before, margin=how.margin):
            tried.append(found)
            self._note("per-id", found.rate, len(self.forget[1]), found.look)
        best = best_of(tried, self.before, how.margin)
        if best is None:
            return None
        start, kept = state_of(model), course.kept(model)

        def begin(done: int) -> tuple[Optimizer, Iterator[object]]:
            return how.per_id(model, self.forget, course.retain, best.rate, done=done)

        optimizer, taken = walk(self.bookmark, "ids", model, begin)
        if fault := course.fault(model, kept, how.margin):
            self._note("per-id", best.rate, taken, best.look, fault)
            model.load_state_dict(start)
            return None
        return Aimed(optimizer, "per-id", best.rate, taken, self.trials, course.says())

    def beside(self, mix: str, rates: list[float]) -> Aimed | None:
        """Take steps beside retained samples until the place is reached, at the first rate that keeps accuracy."""
        model, how, start, course = self.model, self.how, state_of(self.model), self.course.first(FEW_GROUPS)
        if len(course.groups) < len(self.course.groups):
            self.tell(Note(f"  {course.says()}"))
        batch = how.batch(mix, course.groups[0], course.retain)
        every = steps_between(course.gauges[0], batch) if course.direct else 1
        for rate in rates:
            found = stop_unseen(
                model,
                self.forget,
                course,
                lambda samples, done, r=rate: how.begin(mix, model, samples, course.retain, r, done=done),  # type: ignore[misc]
                every=every,
                most=how.count(mix, self.forget, course.retain),
                before=self.before,
                margin=how.margin,
                onward=mix == "forget-then-retain",
                tell=self.tell,
                bookmark=self.bookmark,
            )
            shown = found.best or found.visits[-1]
            self._note(mix, rate, shown.step, shown.look, found.fault)
            if found.best:
                return Aimed(found.optimizer, mix, rate, found.best.step, self.trials, course.says())
            model.load_state_dict(start)
        return None

    def _note(self, mix: str, rate: float, steps: int, look: Look, fault: str = "") -> None:
        """Keep what was tried, and say it."""
        refused = {"refused": fault} if fault else {}
        self.trials.append({"mix": mix, "rate": rate, "steps": steps, **entry(look), **refused})
        self.tell(Note(f"  tried {mix} at {rate:.2g}, {steps} steps: {fault or words(look)}"))
