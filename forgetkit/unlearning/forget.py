"""Forgetting for an operator who does not choose a method: one strategy after another, within a budget, or retrain."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell, silent
from forgetkit.training.cuda_graphs import one_by_one
from forgetkit.training.device import Machine, machine_for, seed_for
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import halved, recipe_of, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.run_job import train_only
from forgetkit.training.train_options import Training
from forgetkit.unlearning.distillation import Distillation
from forgetkit.unlearning.fallback import or_retrain, training_without
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.method_options import Distill, Forget
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import carry_out, new_step
from forgetkit.unlearning.step_options import StepOptions

TRAINING = 3
"""Cost of an image in a training step, in predictions of an image."""


@dataclass(frozen=True)
class Strategy:
    """Distillation from the model itself on the retain set, and from a second teacher on the ids.

    Attributes:
        name: as the record and the messages have it.
        teacher: how the second teacher is trained.
    """

    name: str
    teacher: Training


STRATEGIES = (
    Strategy("second teacher, 3 epochs by the recipe", Training(epochs=3, keep="last")),
    Strategy(
        "second teacher, 3 epochs of small batches",
        Training(epochs=3, optimizer="adam", batch_size=32, rate=0.002, schedule="cosine", keep="last"),
    ),
)
"""What is tried, the cheapest first."""
STUDENT = Training(optimizer="adam", rate=0.001, momentum=0.0, weight_decay=0.0, keep="last")
"""How the model itself is then trained, whatever its own recipe is."""


def forget(
    model: str | Path,
    ids: Ids | None = None,
    settings: Forget | None = None,
    options: StepOptions | None = None,
    *,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Forget ids in a checkpoint by the cheapest strategy that works, or by retraining; write the result beside it.

    Args:
        model: path of the checkpoint.
        ids: path of an ID list, or the ids themselves, if not in ``options``.
        settings: how much to try.
        options: what is read, where to compute, what is written.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives every attempt.

    Returns:
        what was written, or was there already; None in a dry run.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if no strategy works and ``settings.otherwise`` is ``stop``.
    """
    settings, options = settings or Forget(), (options or StepOptions()).writing(out)
    settings.check()
    request = begin("forget", str(model), options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    request.check_retained()
    machine, seed = machine_for(options.compute), options.seed
    said: dict[str, Any] = {
        "budget": settings.share,
        "utility_margin": settings.utility_margin,
        "way": None,
        "searched": ["way"],
    }
    said |= {"ways": [strategy.name for strategy in STRATEGIES], **machine.options()}

    def work(classifier: nn.Module, sets: Sets, _: Bookmark) -> Outcome:
        """Try the strategies."""
        return Attempts(settings, request, machine, seed, tell).carry_out(classifier, sets)

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
class Attempts:
    """Strategies that are tried in turn, each from the same start.

    Attributes:
        settings: budget and margin.
        request: what is to be forgotten.
        machine: where to compute.
        seed: seed of everything random.
        tell: receives every attempt.
    """

    settings: Forget
    request: Request
    machine: Machine
    seed: int
    tell: Tell

    def carry_out(self, classifier: nn.Module, sets: Sets, strategies: tuple[Strategy, ...] = STRATEGIES) -> Outcome:
        """Try ``strategies`` until one forgets the ids and keeps accuracy.

        Args:
            classifier: changed in place; restored if no strategy works.
            sets: their tune half alone judges each attempt.
            strategies: what to try.

        Raises:
            NotReached: if none works within the budget; it has the attempts.
        """
        retraining = cost_of(self.request, recipe_of(self.request.record.recipe).epochs)
        original, attempts = copy.deepcopy(classifier), list[dict[str, Any]]()
        meter = Meter(self.settings.share * retraining)
        for strategy in strategies:
            begun, refused, outcome = meter.spent, None, Outcome({})
            try:
                outcome = self._try(strategy, classifier, original, sets, meter)
            except ForgetkitError as reached:
                if not isinstance(reached, NotReached) and reached.code != "diverged":
                    raise
                classifier.load_state_dict(original.state_dict())
                self.tell(Note(f'forget: strategy "{strategy.name}" failed: {reached.message}'))
                refused = reached.message
            cost = round((meter.spent - begun) / retraining, 4)
            attempts.append({"way": strategy.name, "cost": cost, "refused": refused})
            if refused is None:
                share = meter.spent / retraining
                self.tell(
                    Note(f'forget: strategy "{strategy.name}" succeeded at {share:.0%} of the cost of retraining')
                )
                metrics = {**outcome.metrics, "attempts": attempts, "cost": round(share, 4)}
                return Outcome(metrics, {"way": strategy.name})
        message = f"none of {len(strategies)} strategies forgets the ids and keeps accuracy"
        hint = "raise --budget or --utility-margin, or let it retrain"
        budget = f"at {self.settings.share:.0%} of the cost of retraining"
        raise NotReached(f"{message} {budget}", hint, attempts=attempts)

    def _try(self, strategy: Strategy, classifier: nn.Module, original: nn.Module, sets: Sets, meter: Meter) -> Outcome:
        """Try one strategy on the classifier, with the original as its teacher.

        Raises:
            NotReached: if it does not forget, or exceeds the budget.
        """
        request = self.request
        seed = seed_for(self.seed, "second teacher")  # no reference of an audit begins with the same weights
        plan = training_without(request, self.machine, strategy.teacher, seed=seed)
        if meter.spent + cost_of(request, plan.recipe.epochs) > meter.most:
            raise NotReached("beyond the rest of the budget")
        self.tell(Note(f'forget: strategy "{strategy.name}"'))
        second = train_only(plan, request.dataset, self.tell, watch=meter.on)
        recipe = resolve_recipe(halved(recipe_of(request.record.recipe)), STUDENT)
        everything = Sets.of_request(request.with_all_forgotten, self.machine.device)
        how = Distill(utility_margin=self.settings.utility_margin)
        run = Distillation(how, recipe, classifier, everything, self.seed, Bookmark(), self.tell)
        with meter.on(classifier, original, second):
            return run.towards_both(original, second)


def cost_of(request: Request, epochs: int) -> float:
    """Return the cost of a training on the retain set, as :class:`Meter` counts it."""
    return float(TRAINING * epochs * len(request.retain_rows))
