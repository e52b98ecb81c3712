"""One way after the other, until one ends where a retrained model would be, within a budget."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell
from forgetkit.options import Training
from forgetkit.training.classifier import Classifier, Samples, take
from forgetkit.training.cuda_graphs import one_by_one
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.job import train_only
from forgetkit.training.recipe import halved, recipe_of, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.distill import Distilling, towards_both
from forgetkit.unlearning.fallback import training_without
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.step import Outcome

TRAINING = 3
"""What an image in a training step costs, in predictions of an image."""


@dataclass(frozen=True)
class Way:
    """One way to forget: distillation from the model itself on the retain set, and from a second teacher on the ids.

    Attributes:
        name: as the record and the messages have it.
        teacher: the training of the second teacher.
    """

    name: str
    teacher: Training


WAYS = (
    Way("second teacher, 3 epochs by the recipe", Training(epochs=3, keep="last")),
    Way(
        "second teacher, 3 epochs of small batches",
        Training(epochs=3, optimizer="adam", batch_size=32, rate=0.002, schedule="cosine", keep="last"),
    ),
)


STUDENT = Training(optimizer="adam", rate=0.001, momentum=0.0, weight_decay=0.0, keep="last")
"""How the model itself is then trained, whatever its own recipe is."""


@dataclass
class Meter:
    """Counts the images that go through models: 1 for a prediction, 3 for a training step.

    Attributes:
        most: how many there may be.
        spent: how many there were.
    """

    most: float
    spent: int = 0

    @contextmanager
    def on(self, *models: nn.Module) -> Iterator[None]:
        """Count what goes through ``models`` for as long as this lasts.

        Raises:
            NotReached: where it is too much.
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
class Forgetting:
    """How to forget.

    Attributes:
        budget: of the work of a retraining, the share that may be spent before one.
        margin: accuracy on unseen samples that may be lost.
        seed: of everything random.
        attempts: every attempt so far, as the record has it; added to.
    """

    budget: float
    margin: float
    seed: int
    attempts: list[dict[str, Any]] = field(default_factory=list)

    def forget(
        self,
        classifier: Classifier,
        tune: Samples,
        request: Request,
        machine: Machine,
        ways: tuple[Way, ...],
        tell: Tell,
    ) -> Outcome:
        """Try ``ways`` in turn, each from the same start, until one forgets the ids and keeps accuracy.

        Args:
            classifier: changed in place; as it was, where no way does.
            tune: images and labels of the tune half, by which alone each way is judged.
            request: what is to be forgotten.
            machine: where to compute.
            ways: what to try.
            tell: told of every attempt.

        Raises:
            NotReached: where no way does within the budget.
        """
        retraining = work_of(request, recipe_of(request.record.recipe).epochs)
        original = copy.deepcopy(classifier)
        meter = Meter(self.budget * retraining)
        for way in ways:
            begun = meter.spent
            try:
                outcome = self._try(way, (classifier, original), tune, request, machine, meter, tell)
            except ForgetkitError as reached:
                if not isinstance(reached, NotReached) and reached.code != "diverged":
                    raise
                classifier.load_state_dict(original.state_dict())
                tell(Note(f"forget: {way.name}: {reached.message}"))
                self._add(way, (meter.spent - begun) / retraining, reached.message)
                continue
            self._add(way, (meter.spent - begun) / retraining, None)
            tell(Note(f"forget: {way.name} forgets, at {meter.spent / retraining:.0%} of the work of a retraining"))
            spent = {"attempts": self.attempts, "cost": round(meter.spent / retraining, 4)}
            return Outcome({**outcome.metrics, **spent}, {"way": way.name})
        message = f"none of {len(ways)} ways both forgets the ids and keeps accuracy within {self.budget:.0%}"
        raise NotReached(f"{message} of a retraining", "raise --budget or --utility-margin, or let it retrain")

    def _add(self, way: Way, cost: float, refused: str | None) -> None:
        self.attempts.append({"way": way.name, "cost": round(cost, 4), "refused": refused})

    def _try(
        self,
        way: Way,
        models: tuple[Classifier, Classifier],
        tune: Samples,
        request: Request,
        machine: Machine,
        meter: Meter,
        tell: Tell,
    ) -> Outcome:
        """Try one way on the first of ``models``, with the other as its teacher.

        Raises:
            NotReached: where it does not forget, or passes the budget.
        """
        seed = seed_for(self.seed, "second teacher")  # no reference of an audit begins with the same weights
        plan = training_without(request, machine, way.teacher, seed=seed)
        if meter.spent + work_of(request, plan.recipe.epochs) > meter.most:
            raise NotReached("beyond what is left of the budget")
        tell(Note(f"forget: {way.name}"))
        classifier, first = models
        second = train_only(plan, request.dataset, tell, watch=meter.on)
        how = Distilling(
            recipe=resolve_recipe(halved(recipe_of(request.record.recipe)), STUDENT),
            utility_margin=self.margin,
            seed=self.seed,
        )
        retain = take(request.dataset.train, request.retain_rows, machine.device)
        with meter.on(classifier, first, second):
            given = (request.with_all_forgotten, machine, (first, second), retain, how)
            return towards_both(classifier, tune, *given, tell=tell, bookmark=Bookmark())


def work_of(request: Request, epochs: int) -> float:
    """Return the images of a training on the retain set, as :class:`Meter` counts them."""
    return float(TRAINING * epochs * len(request.retain_rows))
