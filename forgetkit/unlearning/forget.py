"""Forgetting for an operator who does not choose a method: with a second teacher, within a budget, or by retraining.

The second teacher is trained without the ids for a fifth of the recipe's epochs. Joint steps then take the ids to its
outputs, and hold the retain set at its labels.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell, silent
from forgetkit.training.cuda_graphs import one_by_one
from forgetkit.training.device import Machine, machine_for, seed_for
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import Recipe, recipe_of, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.run_job import train_only
from forgetkit.training.train_options import Training
from forgetkit.unlearning.distillation import STUDENT, Distillation, joint_steps
from forgetkit.unlearning.fallback import or_retrain, training_without
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.method_options import Distill, Forget
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import carry_out, new_step, norm_statistics
from forgetkit.unlearning.step_options import StepOptions

TRAINING = 3
"""Cost of an image in a training step, in predictions of an image."""
TEACHER_SHARE = 0.2
"""Epochs of the second teacher, as a share of the recipe's."""
STEPS = 200
"""Steps of the second teacher, at least: on few samples, its batches are smaller than the recipe's."""
SMALLEST_BATCH = 16
"""Samples in such a batch, at least."""
WAY = "second teacher"
"""Name of the way in a record: other ways may come."""


def forget(
    model: str | Path,
    ids: Ids | None = None,
    settings: Forget | None = None,
    options: StepOptions | None = None,
    *,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Forget ids in a checkpoint with a second teacher, or by retraining; write the result beside it.

    Args:
        model: path of the checkpoint.
        ids: path of an ID list, or the ids themselves, if not in ``options``.
        settings: how much it may cost.
        options: what is read, where to compute, what is written.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        what was written, or was there already; None in a dry run.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if it fails and ``settings.otherwise`` is ``stop``.
    """
    settings, options = settings or Forget(), (options or StepOptions()).writing(out)
    settings.check()
    request = begin("forget", str(model), options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    request.check_retained()
    machine, seed = machine_for(options.compute), options.seed
    run = Attempt(settings, request, machine, seed, tell)
    said = {"budget": settings.share, **run.options(), **machine.options()}

    def work(classifier: nn.Module, _: Sets, __: Bookmark) -> Outcome:
        """Forget the ids."""
        return run.carry_out(classifier)

    def attempt() -> Written | None:
        """Carry out the step."""
        return carry_out(request, new_step("forget", said, seed, request), machine, options, work, tell=tell)

    retrain = settings.otherwise == "retrain"
    return or_retrain("forget", request, machine, options.output, attempt, retrain=retrain, tell=tell)


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
class Attempt:
    """Forgetting with a second teacher.

    Attributes:
        settings: budget and margin.
        request: what is to be forgotten.
        machine: where to compute.
        seed: seed of everything random.
        tell: receives the events of the run.
    """

    settings: Forget
    request: Request
    machine: Machine
    seed: int
    tell: Tell

    @cached_property
    def how(self) -> Distill:
        """How the model is distilled; of its own outputs the retain set would learn nothing that its labels lack."""
        return Distill(alpha=1.0, beta=0.0, utility_margin=self.settings.utility_margin)

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
    def steps(self) -> int:
        """The number of joint steps."""
        return joint_steps(self.recipe.epochs, len(self.request.retain_rows), self.how)

    def options(self) -> dict[str, Any]:
        """Return what a record holds of it."""
        of_teacher = {"teacher_epochs": self.teacher.epochs, "teacher_batch_size": self.teacher.batch_size}
        of_student = {"optimizer": STUDENT.optimizer, "rate": STUDENT.rate, **norm_statistics(frozen=False)}
        return {"way": WAY, **self.how.options(second_teacher=True), "steps": self.steps, **of_teacher, **of_student}

    def carry_out(self, classifier: nn.Module) -> Outcome:
        """Train a second teacher, then take joint steps; the classifier is changed in place.

        Raises:
            NotReached: if the ids are not forgotten, accuracy is lost, or the budget does not suffice; it says what was
                tried.
        """
        retraining = self._cost_of(self.recipe.epochs)
        meter = Meter(self.settings.share * retraining)
        try:
            outcome = self._distil(classifier, self._second_teacher(meter), meter)
        except ForgetkitError as reached:
            if not isinstance(reached, NotReached) and reached.code != "diverged":
                raise
            cost = round(meter.spent / retraining, 4)
            tried = [{"way": WAY, "cost": cost, "refused": reached.message}]
            spent = f"with a second teacher, at {cost:.0%} of the cost of retraining: " if meter.spent else ""
            hint = "raise --budget or --utility-margin, or let it retrain"
            raise NotReached(f"{spent}{reached.message}", hint, attempts=tried) from reached
        share = meter.spent / retraining
        self.tell(Note(f"forget: done at {share:.0%} of the cost of retraining"))
        return Outcome({**outcome.metrics, "cost": round(share, 4)})

    def _second_teacher(self, meter: Meter) -> nn.Module:
        """Train a model that never sees the ids.

        Raises:
            NotReached: if all of it would exceed the budget.
        """
        epochs = self.teacher.epochs or 0
        steps = TRAINING * self.steps * (self.how.ids_per_step + self.how.replay)
        if self._cost_of(epochs) + steps > meter.most:
            raise NotReached("a second teacher would exceed the budget")
        self.tell(Note(f"forget: training a second teacher without the ids, epochs: {epochs}"))
        seed = seed_for(self.seed, WAY)  # no reference of an audit begins with the same weights
        plan = training_without(self.request, self.machine, self.teacher, seed=seed)
        return train_only(plan, self.request.dataset, self.tell, watch=meter.on)

    def _distil(self, classifier: nn.Module, second: nn.Module, meter: Meter) -> Outcome:
        """Take the joint steps; raises NotReached as :meth:`Distillation.towards_both`."""
        original, recipe = copy.deepcopy(classifier), resolve_recipe(self.recipe, STUDENT)
        sets = Sets.of_request(self.request.with_all_forgotten, self.machine.device)
        run = Distillation(self.how, recipe, classifier, sets, self.seed, Bookmark(), self.tell, self.steps)
        with meter.on(classifier, original, second):
            return run.towards_both(original, second)

    def _cost_of(self, epochs: int) -> float:
        """Return the cost of a training on the retain set, as :class:`Meter` counts it."""
        return float(TRAINING * epochs * len(self.request.retain_rows))
