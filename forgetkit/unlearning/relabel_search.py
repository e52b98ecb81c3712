"""Search for how to relabel: per id at some rate, or jointly with retained samples."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell, Tried, Warned
from forgetkit.training.classifier import state_of
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, fit, started, walk
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import stop_when_forgotten
from forgetkit.unlearning.membership_gauge import Reading, describe, recorded
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.rate_search import MOST_TRIALS, best_of, find_rate
from forgetkit.unlearning.relabel_steps import RelabelSteps
from forgetkit.unlearning.sets import Pool
from forgetkit.unlearning.tuning_groups import TuningGroups, steps_between, warn_if_not_memorised

SCAN = {
    "adadelta": [1e-3, 5.6e-3, 3.2e-2, 0.18, 1.0],
    "adam": [1e-6, 5.6e-6, 3.2e-5, 1.8e-4, 1e-3],
    "adamw": [1e-6, 5.6e-6, 3.2e-5, 1.8e-4, 1e-3],
    "sgd": [1e-5, 5.6e-5, 3.2e-4, 1.8e-3, 1e-2],
}
"""Rates tried for steps per id, from no change to a lost model."""
JOINT = {"adadelta": [1.0, 0.3], "adam": [1e-3, 3e-4], "adamw": [1e-3, 3e-4], "sgd": [0.03, 0.01]}
"""Rates tried for joint steps."""
FEW_GROUPS = 8
"""Groups that joint steps are rehearsed on at most."""


@dataclass(frozen=True)
class RelabelSearch:
    """Settings that are tried one after another, each from the model as it is.

    Attributes:
        model: changed in place; restored after a setting that fails.
        forget: the forget set, in the order of the request.
        groups: what settings are tried on.
        steps: begins the steps.
        budget: joint steps at most.
        bookmark: keeps and recalls the state of the run.
        tell: receives every trial.
        trials: what was tried so far; added to.
    """

    model: nn.Module
    forget: Pool
    groups: TuningGroups
    steps: RelabelSteps
    budget: int
    bookmark: Bookmark
    tell: Tell
    trials: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> Outcome:
        """Relabel per id, and jointly if that fails; the model ends in the state that forgets and keeps accuracy.

        Raises:
            NotReached: if no setting does.
        """
        how, before = self.steps.settings, self.groups.before(self.model)
        self.tell(Note(f"  {self.groups.describe()}"))
        if not self.groups.direct:
            each = sum(len(group) for group in self.groups.groups)
            self.tell(Note(f"  each rate takes {each} steps to rehearse, {MOST_TRIALS} rates at most"))
        self.tell(Note(f"  before: {describe(before)}"))
        warn_if_not_memorised(before, self.tell)
        found = self._per_id(before) if how.kind in {"auto", "per-id"} else None
        if found is None and how.kind != "per-id" and len(self.groups.retain):
            if how.kind == "auto":
                failed = "no rate of steps per id forgets and keeps accuracy"
                self.tell(Note(f"  {failed}; trying joint steps (or use forgetkit forget)"))
            found = self._joint(before, JOINT[how.optimizer] if how.fixed is None else [how.fixed])
        if found is None:
            raise self._not_reached(before)
        self._warn_of_rest(found, before)
        return found

    def _per_id(self, before: Reading) -> Outcome | None:
        """Search the rate of the paper's steps; take them at the best one, if there is one."""
        model, groups, steps, margin = self.model, self.groups, self.steps, self.steps.settings.utility_margin
        tried = []

        def trial(rate: float) -> Reading:
            """Measure the groups after steps at a rate."""

            def relabel(group: Pool) -> None:
                """Relabel one group."""
                optimizer, updates = steps.begin("per-id", model, group, groups.retain, rate)
                for _ in fit(optimizer, started(updates)):
                    pass

            return Reading(**self.bookmark.once(lambda: asdict(groups.rehearse(model, relabel))))

        for found in find_rate(trial, SCAN[steps.settings.optimizer], before=before, margin=margin):
            tried.append(found)
            self._note("per-id", found.rate, len(self.forget), found.reading)
        best = best_of(tried, before, margin)
        if best is None:
            return None
        start, kept = state_of(model), groups.accuracy_to_keep(model)

        def begin() -> tuple[Optimizer, Iterator[Update]]:
            """Begin the steps."""
            return steps.begin("per-id", model, self.forget, groups.retain, best.rate)

        optimizer, taken = walk(self.bookmark, "ids", model, begin)
        if fault := groups.fault(model, kept, margin):
            self._note("per-id", best.rate, taken, best.reading, fault)
            model.load_state_dict(start)
            return None
        return self._outcome(optimizer, "per-id", best.rate, taken)

    def _joint(self, before: Reading, rates: list[float]) -> Outcome | None:
        """Take joint steps until the ids are forgotten, at the first rate that keeps accuracy."""
        model, start, groups = self.model, state_of(self.model), self.groups.first(FEW_GROUPS)
        if len(groups.groups) < len(self.groups.groups):
            self.tell(Note(f"  {groups.describe()}"))
        batch = self.steps.batch(len(groups.groups[0]))
        every = steps_between(groups.gauges[0], batch) if groups.direct else 1
        for rate in rates:

            def begin(group: Pool, rate: float = rate) -> tuple[Optimizer, Iterator[Update]]:
                """Begin the steps."""
                return self.steps.begin("joint", model, group, groups.retain, rate)

            found = stop_when_forgotten(
                model,
                self.forget,
                groups,
                begin,
                Braking(before, self.steps.settings.utility_margin, every),
                most=self.budget,
                bookmark=self.bookmark,
                tell=self.tell,
            )
            shown = found.best or found.seen[-1]
            self._note("joint", rate, shown.step, shown.reading, found.fault)
            if found.best:
                outcome = self._outcome(found.optimizer, "joint", rate, found.best.step)
                return replace(outcome, metrics={**outcome.metrics, "judged": groups.describe()})
            model.load_state_dict(start)
        return None

    def _outcome(self, optimizer: Optimizer, kind: str, rate: float, steps: int) -> Outcome:
        resolved = {"mix": kind, "rate": rate, "joint_steps": steps if kind == "joint" else None}
        metrics = {"steps": steps, "trials": self.trials, "judged": self.groups.describe()}
        return Outcome(metrics, resolved, optimizer=optimizer)

    def _note(self, kind: str, rate: float, steps: int, reading: Reading, fault: str = "") -> None:
        """Keep what was tried, and tell it."""
        refused = {"refused": fault} if fault else {}
        self.trials.append({"mix": kind, "rate": rate, "steps": steps, **recorded(reading), **refused})
        self.tell(Tried(f"{kind} at {rate:.2g}", steps, fault or describe(reading)))

    def _not_reached(self, before: Reading) -> NotReached:
        """Return the error after the last setting failed; it names the one that came closest."""
        margin = self.steps.settings.utility_margin
        closest = min(self.trials, key=lambda trial: abs(trial["gap"]), default=None)
        shown = f"{len(self.trials)} tried"
        if closest:
            moved = f"accuracy {before.accuracy:.1%} → {closest['accuracy']:.1%}, gap {closest['gap']:+.3f}"
            shown += f"; closest: {closest['mix']}, rate {closest['rate']:.2g}, {moved}"
        lost = f"losing more than {100 * margin:g} percentage points of accuracy"
        message = f"no learning rate forgot the ids without {lost} ({shown}). Add --json for the full list"
        hint = "use forgetkit forget, which needs no rate; or another --optimizer, or a larger --utility-margin"
        return NotReached(message, hint, trials=self.trials)

    def _warn_of_rest(self, found: Outcome, before: Reading) -> None:
        """Warn if the ids are less recognisable than before, but not as little as unseen samples."""
        chosen = found.resolved["mix"], found.resolved["rate"]
        taken = next(trial for trial in reversed(self.trials) if (trial["mix"], trial["rate"]) == chosen)
        if abs(taken["gap"]) > before.tolerance:
            share = abs(taken["gap"]) / max(abs(before.gap), 1e-9)
            left = f"{share:.0%} of what was recognisable remains ({taken['gap']:+.3f} from a retrained model)"
            text = f"{left}; forgetkit forget usually leaves less"
            self.tell(Warned("partly-forgotten", text))
