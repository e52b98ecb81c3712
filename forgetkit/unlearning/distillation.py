"""Stage 2 on one model: towards one teacher, or towards two."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell, Warned
from forgetkit.methods.distill import distill as distillation_losses
from forgetkit.methods.distill import distillation_loss
from forgetkit.methods.joint import joint
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.loop import complete, drawn_batches, fit_epochs
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, walk
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import Stopped, stop_when_forgotten
from forgetkit.unlearning.membership_gauge import describe, recorded
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.sets import Pool, Sets
from forgetkit.unlearning.tuning_groups import (
    TuningGroups,
    check_judges,
    gauge_on,
    steps_between,
    warn_if_not_memorised,
)


@dataclass(frozen=True)
class Distillation:
    """Stage 2 on one model.

    Attributes:
        settings: how to distil.
        recipe: how to train.
        model: the student, changed in place.
        sets: forget set, retain set and tune half; everything forgotten so far belongs to the forget set.
        seed: seed of the order and of dropout.
        bookmark: keeps and recalls the state of the run; its log gets every epoch or evaluation.
        tell: receives them too.
        asked: the options that ask for a number of steps, for a warning if there are fewer.
    """

    settings: Distill
    recipe: Recipe
    model: nn.Module
    sets: Sets
    seed: int
    bookmark: Bookmark
    tell: Tell
    asked: tuple[str, ...] = ()

    def towards_original(self, teacher: nn.Module, *, logged: bool = False) -> Outcome:
        """Retrain on the retain set with the original as teacher, as published."""
        how, recipe, retain = self.settings, self.recipe, self.sets.retain.samples
        losses = distillation_losses(
            self.model,
            teacher,
            retain,
            distill_epochs=how.distill_epochs,
            alpha=how.alpha,
            beta=how.beta,
            temperature=how.temperature,
            augments=recipe.augment != "none",
        )
        history = complete(
            fit_epochs(
                self.model,
                recipe,
                optimizer=optimizer_of(self.model, recipe),
                batches=lambda epoch: drawn_batches(
                    retain[0], recipe, seed=self.seed, epoch=epoch, part=how.retain_fraction
                ),
                loss=losses,
                tune=self.sets.tune,
                seed=self.seed,
                watch=self.bookmark.log.append if logged else None,
                label="distill",
                tell=self.tell,
                bookmark=self.bookmark,
            )
        )
        last = history.epochs[-1]["loss"]
        return Outcome({"epochs": recipe.epochs, "best_epoch": history.best_epoch, "loss": last})

    def towards_both(self, first: nn.Module, second: nn.Module) -> Outcome:
        """Distil the retain set from the first teacher, and the ids from the second, which never saw them.

        Raises:
            NotReached: if no state that was evaluated both forgets and keeps accuracy.
        """
        how, forget, stops = self.settings, self.sets.forget.samples, self.settings.stop == "unseen"
        gauge = gauge_on(self.sets, seed=self.seed)
        if stops:
            check_judges(gauge)
        goal = gauge.read(second)
        gauge = replace(gauge, goal=0.5 if goal.auc is None else goal.auc)
        before = gauge.read(first)
        self.tell(Note(f"  the forget teacher: {describe(goal)}"))
        self.tell(Note(f"  the teacher: {describe(before)}"))
        blind = warn_if_not_memorised(before, self.tell)
        known = predict(first, self.sets.retain.samples[0])
        every = steps_between(gauge, min(how.ids_per_step, len(forget[1])) + how.replay)
        most = ceil(self.recipe.epochs * how.retain_fraction * len(self.sets.retain) / how.replay)

        def begin(group: Pool) -> tuple[Optimizer, Iterator[Update]]:
            """Begin joint steps."""
            return optimizer_of(self.model, self.recipe), self._updates(group.samples, known, second)

        if not stops:
            taken = self._take(most, forget, known, second)
            return Outcome({"steps": taken, "right": gauge.goal})
        if blind:  # no evaluation can say where to stop: teach each id once
            few = min(most, ceil(len(forget[1]) / how.ids_per_step))
            if few < most and self.asked:
                text = f"{' and '.join(self.asked)}: {few} of {most} steps are taken, to teach each id once"
                self.tell(Warned("unused", text))
            every = most = few
        found = stop_when_forgotten(
            self.model,
            self.sets.forget,
            TuningGroups([self.sets.forget], [gauge], self.sets.retain),
            begin,
            Braking(before, how.utility_margin, every),
            most=most,
            bookmark=self.bookmark,
            tell=self.tell,
        )
        return self._judged(found, most, gauge.goal)

    def _take(self, most: int, forget: Samples, known: Tensor, second: nn.Module) -> int:
        """Take all steps; return how many there were."""

        def begin() -> tuple[Optimizer, Iterator[Update]]:
            """Begin joint steps."""
            steps = enumerate(islice(self._updates(forget, known, second), most))
            epochs = self.recipe.epochs  # of a part of the retain set; the updates count passes over all of it
            updates = (replace(update, epoch=1 + step * epochs // most) for step, update in steps)
            return optimizer_of(self.model, self.recipe), updates

        bookmark, tell = self.bookmark, self.tell
        return walk(bookmark, "steps", self.model, begin, logged=True, label="distill", total=most, tell=tell)[1]

    def _updates(self, forget: Samples, known: Tensor, second: nn.Module) -> Iterator[Update]:
        """Return joint steps: the retain set towards the first teacher's outputs, ``forget`` towards the second's."""
        how, labels = self.settings, self.sets.retain.samples[1]
        soft = predict(second, forget[0]).softmax(1)

        def retain_loss(logits: Tensor, rows: Tensor) -> Tensor:
            """Return the distillation loss on retained rows."""
            return distillation_loss(
                logits, known[rows], labels[rows], alpha=how.alpha, beta=how.beta, temperature=how.temperature
            )

        return joint(
            self.model,
            forget,
            lambda _: soft,
            self.sets.retain.samples,
            forget_weight=how.forget_weight,
            ids_per_step=how.ids_per_step,
            batch_size=how.replay,
            retain_loss=retain_loss,
            seed=self.seed,
        )

    def _judged(self, found: Stopped, most: int, goal: float) -> Outcome:
        """Tell and log every evaluation, and return them.

        Raises:
            NotReached: if no state that was evaluated both forgets and keeps accuracy.
        """
        seen = [{"step": one.step, **recorded(one.reading)} for one in found.seen]
        self.bookmark.log.extend(seen)
        shown = found.best or found.seen[-1]
        self.tell(Note(f"  after {shown.step} steps: {describe(shown.reading)}"))
        if found.best is None:
            message = f"after {shown.step} of at most {most} steps no state both forgets the ids and keeps accuracy"
            hint = "raise --epochs, lower --rate, or allow a larger --utility-margin"
            raise NotReached(f"{message} ({describe(shown.reading)})", hint)
        return Outcome({"steps": shown.step, "right": goal, "looks": seen})
