"""Attempts to forget at a share of the cost of a retraining: with shadow models, then with a second teacher."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell
from forgetkit.training.classifier import state_of
from forgetkit.training.cuda_graphs import one_by_one
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.recipe import Recipe, recipe_of, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.run_job import train_only
from forgetkit.training.shadows import Shadow, Shadows
from forgetkit.training.train_options import Training
from forgetkit.unlearning.distillation import (
    BETA,
    SHADOW_SHARE,
    SHARE_OF_TRAINING,
    STUDENT,
    Distillation,
    RetainAccuracyLost,
    joint_steps,
)
from forgetkit.unlearning.fallback import training_without
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import norm_statistics
from forgetkit.unlearning.teachers import Teachers, shadow_teachers

TRAINING = 3
"""Cost of an image in a training step, in predictions of an image."""
TEACHER_SHARE = 0.2
"""Epochs of the second teacher, as a share of the recipe's."""
STEPS = 200
"""Steps of the second teacher, at least: on few samples, its batches are smaller than the recipe's."""
SMALLEST_BATCH = 16
"""Samples in such a batch, at least."""
RATES = 4
"""Rates that are tried at most, each half of the one before, until accuracy is kept."""


@dataclass
class Meter:
    """Counts the images that pass through models: 1 for a prediction, 3 for a training step.

    Attributes:
        most: the budget.
        spent: what was counted so far.
    """

    most: float
    spent: int = 0

    @contextmanager
    def on(self, *models: nn.Module) -> Iterator[None]:
        """Count what passes through ``models`` within this context.

        Raises:
            NotReached: if it exceeds the budget.
        """
        handles = [model.register_forward_pre_hook(self._count) for model in models]
        try:
            with one_by_one():
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _count(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.spent += len(inputs[0]) * (TRAINING if torch.is_grad_enabled() else 1)
        if self.spent > self.most:
            raise NotReached("the budget is spent")


@dataclass(frozen=True)
class Way:
    """A way to learn what the ids should look like.

    Attributes:
        name: in a record.
        share: cost of its joint steps, as a share of a training.
        options: what a record holds of it.
        find: returns the models that never saw the ids; raises NotReached if they would exceed the budget.
    """

    name: str
    share: float
    options: dict[str, Any]
    find: Callable[["Meter"], Teachers]


@dataclass(frozen=True)
class Attempt:
    """Forgetting with shadow models, then with a second teacher.

    Attributes:
        settings: budget and margin.
        request: what is to be forgotten.
        machine: where to compute.
        seed: seed of everything random.
        tell: receives the events of the run.
        shadows: shadow models, if there are any.
    """

    settings: Forget
    request: Request
    machine: Machine
    seed: int
    tell: Tell
    shadows: Shadows | None = None

    @cached_property
    def how(self) -> Distill:
        """How the model is distilled."""
        return Distill(alpha=1.0, beta=BETA, utility_margin=self.settings.utility_margin)

    @cached_property
    def recipe(self) -> Recipe:
        """How the original was trained."""
        return recipe_of(self.request.record.recipe)

    @cached_property
    def teacher(self) -> Training:
        """How the second teacher is trained, apart from the recipe."""
        epochs = max(1, round(TEACHER_SHARE * self.recipe.epochs))
        batch = max(SMALLEST_BATCH, min(self.recipe.batch_size, epochs * len(self.request.retain_rows) // STEPS))
        return Training(epochs=epochs, batch_size=batch, schedule="cosine", keep="last")

    @cached_property
    def aim(self) -> Request:
        """The request, with everything that was forgotten before."""
        return self.request.with_all_forgotten

    @cached_property
    def rate(self) -> float:
        """The first rate: that of the last such step of the model or its shadow models, if there was one."""
        steps = [*self.request.record.steps, *(step for one in self._members for step in one.record.unlearning)]
        found = [step.options.get("rate") for step in steps if step.command == "forget"]
        return next((rate for rate in reversed(found) if isinstance(rate, float) and rate > 0), STUDENT.rate or 0.0)

    @property
    def _members(self) -> list[Shadow]:
        return self.shadows.members if self.shadows else []

    @property
    def ways(self) -> list[Way]:
        """The ways to try, in this order."""
        of_teacher = {"teacher_epochs": self.teacher.epochs, "teacher_batch_size": self.teacher.batch_size}
        ways = [Way("second teacher", SHARE_OF_TRAINING, of_teacher, self._second_teacher)]
        if self.shadows is None:
            return ways
        return [Way("shadows", SHADOW_SHARE, {"shadows": self.shadows.digest}, self._shadow_models), *ways]

    @property
    def searched(self) -> list[str]:
        """The options of a record that depend on which way works."""
        return sorted({name for way in self.ways for name in self.options(way)})

    def options(self, way: Way) -> dict[str, Any]:
        """Return what a record holds of a way."""
        of_student = {"optimizer": STUDENT.optimizer, "rate": self.rate, **norm_statistics(frozen=False)}
        settings = {**self.how.options(second_teacher=True), "steps": self.steps(way)}
        return {"way": way.name, **settings, **way.options, **of_student}

    def steps(self, way: Way) -> int:
        """Return the number of joint steps."""
        return joint_steps(self.recipe.epochs, len(self.request.retain_rows), self.how, way.share)

    def carry_out(self, classifier: nn.Module) -> Outcome:
        """Try the ways in turn; the classifier is changed in place.

        Raises:
            NotReached: if the ids are not forgotten, accuracy is lost, or the budget does not suffice; it says what was
                tried.
        """
        retraining, start, tried = self._cost_of(self.recipe.epochs), state_of(classifier), list[dict[str, Any]]()
        meter = Meter(self.settings.share * retraining)
        for way in self.ways:
            begun = meter.spent
            try:
                outcome = self._distil(classifier, way, meter)
            except ForgetkitError as reached:
                if not isinstance(reached, NotReached) and reached.code != "diverged":
                    raise
                cost = round((meter.spent - begun) / retraining, 4)
                tried.append({"way": way.name, "cost": cost, "refused": reached.message})
                classifier.load_state_dict(start)
                continue
            share = meter.spent / retraining
            for refused in tried:  # where no way works, the error or the retraining says why
                self.tell(Note(f"forget: {_failed(refused)}"))
            found = "it looks right, but so did the original" if outcome.metrics["blind"] else "it looks right"
            self.tell(Note(f"forget: {found}, at {share:.0%} of the cost of retraining; an audit decides"))
            metrics = {**outcome.metrics, "cost": round(share, 4), **({"attempts": tried} if tried else {})}
            return replace(outcome, metrics=metrics, resolved={**self.options(way), **outcome.resolved})
        hint = "raise --budget or --utility-margin, or let it retrain"
        raise NotReached("; ".join(map(_failed, tried)), hint, attempts=tried)

    def _second_teacher(self, meter: Meter) -> Teachers:
        """Train a model that never sees the ids."""
        self.tell(Note(f"forget: training a second teacher without the ids, epochs: {self.teacher.epochs}"))
        seed = seed_for(self.seed, "second teacher")  # no reference of an audit begins with the same weights
        plan = training_without(self.request, self.machine, self.teacher, seed=seed)
        found = train_only(plan, self.request.dataset, self.tell, watch=meter.on)
        return Teachers.one(found, len(self.aim.ids))

    def _shadow_models(self, _: Meter) -> Teachers:
        """Load the shadow models that never saw all of the ids, or some of them."""
        return shadow_teachers(self._members, self.aim.ids, self.machine, seed=self.seed)

    def _distil(self, classifier: nn.Module, way: Way, meter: Meter) -> Outcome:
        """Find the teachers and take the joint steps; raises NotReached as :meth:`Distillation.towards_both`."""
        steps = self.steps(way)
        least = TRAINING * steps * (self.how.ids_per_step + self.how.replay)
        if meter.spent + self._cost_of(way.options.get("teacher_epochs") or 0) + least > meter.most:
            raise NotReached("it would exceed the budget")
        others, original = way.find(meter), copy.deepcopy(classifier)
        sets, rate = Sets.of_request(self.aim, self.machine.device), self.rate
        while True:
            recipe = resolve_recipe(self.recipe, replace(STUDENT, rate=rate))
            run = Distillation(self.how, recipe, classifier, sets, self.seed, Bookmark(), self.tell, steps)
            try:
                with meter.on(classifier, original, *others.models):
                    return replace(run.towards_both(original, others), resolved={"rate": rate})
            except RetainAccuracyLost as lost:
                if rate <= self.rate / 2 ** (RATES - 1) or meter.spent + least > meter.most:
                    raise
                self.tell(Note(f"forget: at rate {rate:g}, {lost.message}: again at half of it"))
                classifier.load_state_dict(original.state_dict())
                rate /= 2

    def _cost_of(self, epochs: int) -> float:
        """Return the cost of a training on the retain set, as :class:`Meter` counts it."""
        return float(TRAINING * epochs * len(self.request.retain_rows))


def _failed(attempt: dict[str, Any]) -> str:
    """Say what an attempt did, and why it was refused."""
    spent = f", at {attempt['cost']:.0%} of the cost of retraining" if attempt["cost"] else ""
    return f"with {'a ' if attempt['way'] == 'second teacher' else ''}{attempt['way']}{spent}: {attempt['refused']}"
