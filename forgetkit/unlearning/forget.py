"""Forgetting for an operator who does not choose a method: with a second teacher, within a budget, or by retraining.

The second teacher is trained without the ids for a fifth of the recipe's epochs. Joint steps then take the ids to its
outputs, and hold the retain set at its labels.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell, silent
from forgetkit.training.cuda_graphs import one_by_one
from forgetkit.training.device import Machine, machine_for, seed_for
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import recipe_of, recorded_epochs, resolve_recipe
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
    how = distillation_of(settings)
    said = {"way": WAY, "budget": settings.share, **how.options(second_teacher=True), **norm_statistics(frozen=False)}
    said |= {"teacher_epochs": teacher_epochs(request), "steps": steps_of(request, how), **machine.options()}

    def work(classifier: nn.Module, _: Sets, __: Bookmark) -> Outcome:
        """Forget the ids."""
        return Attempt(settings, request, machine, seed, tell).carry_out(classifier)

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

    def carry_out(self, classifier: nn.Module) -> Outcome:
        """Train a second teacher, then take joint steps; the classifier is changed in place.

        Raises:
            NotReached: if the ids are not forgotten, accuracy is lost, or the budget does not suffice; it says what was
                tried.
        """
        retraining = cost_of(self.request, recorded_epochs(self.request.record.recipe))
        meter = Meter(self.settings.share * retraining)
        try:
            outcome = self._distil(classifier, self._second_teacher(meter), meter)
        except ForgetkitError as reached:
            if not isinstance(reached, NotReached) and reached.code != "diverged":
                raise
            cost = round(meter.spent / retraining, 4)
            tried = [{"way": WAY, "cost": cost, "refused": reached.message}]
            message = f"with a second teacher, at {cost:.0%} of the cost of retraining: {reached.message}"
            hint = "raise --budget or --utility-margin, or let it retrain"
            raise NotReached(message, hint, attempts=tried) from reached
        share = meter.spent / retraining
        self.tell(Note(f"forget: done at {share:.0%} of the cost of retraining"))
        return Outcome({**outcome.metrics, "cost": round(share, 4)})

    def _second_teacher(self, meter: Meter) -> nn.Module:
        """Train a model that never sees the ids.

        Raises:
            NotReached: if all of it would exceed the budget.
        """
        epochs, how = teacher_epochs(self.request), distillation_of(self.settings)
        steps = TRAINING * steps_of(self.request, how) * (how.ids_per_step + how.replay)
        if cost_of(self.request, epochs) + steps > meter.most:
            raise NotReached("that would be beyond the budget")
        self.tell(Note(f"forget: training a second teacher without the ids, epochs: {epochs}"))
        batch = min(recipe_of(self.request.record.recipe).batch_size, epochs * len(self.request.retain_rows) // STEPS)
        training = Training(epochs=epochs, batch_size=max(SMALLEST_BATCH, batch), schedule="cosine", keep="last")
        seed = seed_for(self.seed, WAY)  # no reference of an audit begins with the same weights
        plan = training_without(self.request, self.machine, training, seed=seed)
        return train_only(plan, self.request.dataset, self.tell, watch=meter.on)

    def _distil(self, classifier: nn.Module, second: nn.Module, meter: Meter) -> Outcome:
        """Take the joint steps; raises NotReached as :meth:`Distillation.towards_both`."""
        original, how = copy.deepcopy(classifier), distillation_of(self.settings)
        sets = Sets.of_request(self.request.with_all_forgotten, self.machine.device)
        recipe, steps = resolve_recipe(recipe_of(self.request.record.recipe), STUDENT), steps_of(self.request, how)
        run = Distillation(how, recipe, classifier, sets, self.seed, Bookmark(), self.tell, steps)
        with meter.on(classifier, original, second):
            return run.towards_both(original, second)


def distillation_of(settings: Forget) -> Distill:
    """Return how the model is distilled: its own outputs teach the retain set nothing that the labels do not."""
    return Distill(alpha=1.0, beta=0.0, utility_margin=settings.utility_margin)


def teacher_epochs(request: Request) -> int:
    """Return the number of epochs of the second teacher."""
    return max(1, round(TEACHER_SHARE * recorded_epochs(request.record.recipe)))


def steps_of(request: Request, how: Distill) -> int:
    """Return the number of joint steps."""
    return joint_steps(recorded_epochs(request.record.recipe), len(request.retain_rows), how)


def cost_of(request: Request, epochs: int) -> float:
    """Return the cost of a training on the retain set, as :class:`Meter` counts it."""
    return float(TRAINING * epochs * len(request.retain_rows))
