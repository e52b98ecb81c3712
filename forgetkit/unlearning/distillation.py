"""Stage 2 on one model: towards one teacher, or towards two."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell
from forgetkit.methods.distill import distill as distillation_losses
from forgetkit.methods.distill import distillation_loss
from forgetkit.methods.joint import joint
from forgetkit.methods.sharpen import sharpness
from forgetkit.training.classifier import predict
from forgetkit.training.loop import complete, drawn_batches, fit_epochs
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.train_options import Training
from forgetkit.training.updates import Update, annealed, seeded, walk
from forgetkit.unlearning.membership_gauge import Reading, describe, is_forgotten, keeps_accuracy, recorded
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.tuning_groups import check_judges, gauge_on, warn_if_not_memorised

SHARE_OF_TRAINING = 0.17
"""Cost of the joint steps with both teachers, as a share of a training."""
BLIND = 0.25
"""Factor of the weight of ids of which nothing measurable was memorised."""
RetainLoss = Callable[[Tensor, Tensor], Tensor]
"""Loss of the logits of some retained rows, and those rows."""
STUDENT = Training(optimizer="adam", rate=0.015, momentum=0.0, weight_decay=0.0)
"""How the student is trained with both teachers, whatever its recipe is; the rate is relative to each tensor's size."""


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
        steps: joint steps with both teachers.
    """

    settings: Distill
    recipe: Recipe
    model: nn.Module
    sets: Sets
    seed: int
    bookmark: Bookmark
    tell: Tell
    steps: int = 0

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

        The number of steps is set beforehand, and their rate falls to 0 along a cosine: a run at a constant rate that
        stops when the ids look right loses accuracy. What the ids look like then is only checked. If nothing measurable
        was memorised, the ids weigh a quarter.

        Raises:
            NotReached: if the ids are not forgotten then, or accuracy is lost.
        """
        how, judged = self.settings, not self.settings.allow_unforgotten
        gauge = gauge_on(self.sets, seed=self.seed)
        if judged:
            check_judges(gauge)
        goal = gauge.read(second)
        gauge = replace(gauge, goal=0.5 if goal.auc is None else goal.auc)
        before = gauge.read(first)
        self.tell(Note(f"  the forget teacher: {describe(goal)}"))
        self.tell(Note(f"  the teacher: {describe(before)}"))
        # Of unseen samples of a class that vanishes, the second teacher knows nothing: the guard has none.
        factor = sharpness(*(predict(teacher, gauge.guard[0]) for teacher in (second, first)))
        soft = (factor * predict(second, self.sets.forget.samples[0])).softmax(1)
        gentle = BLIND if warn_if_not_memorised(before, self.tell) else 1.0  # a loss of accuracy would bring no gain
        steps = self._take(self._retain_loss(first), soft, gentle * how.forget_weight)
        after = gauge.read(self.model)
        self.tell(Note(f"  after {steps} steps: {describe(after)}"))
        if judged:
            self._check(after, before)
        return Outcome({"steps": steps, "right": gauge.goal, "sharpness": factor, "look": recorded(after)})

    def _check(self, after: Reading, before: Reading) -> None:
        """Refuse a model that still knows the ids, or knows less than before; raises NotReached."""
        if not keeps_accuracy(after, before, self.settings.utility_margin):
            hint = "lower --rate or --forget-weight, allow a larger --utility-margin, or pass --allow-unforgotten"
            raise NotReached(f"accuracy is lost ({describe(after)}; before: {before.accuracy:.2%})", hint)
        if not is_forgotten(after, before):
            hint = "raise --steps, --forget-weight or --rate, or pass --allow-unforgotten"
            raise NotReached(f"the ids are not forgotten ({describe(after)})", hint)

    def _take(self, retain_loss: RetainLoss | None, soft: Tensor, weight: float) -> int:
        """Take all steps, the ids towards ``soft`` targets with a weight; return how many there were."""
        how, forget = self.settings, self.sets.forget.samples
        count = max(self.steps, ceil(len(forget[1]) / how.ids_per_step))

        def begin() -> tuple[Optimizer, Iterator[Update]]:
            """Begin joint steps."""
            updates = joint(
                self.model,
                forget,
                lambda _: soft,
                self.sets.retain.samples,
                forget_weight=weight,
                ids_per_step=how.ids_per_step,
                batch_size=how.replay,
                retain_loss=retain_loss,
                seed=self.seed,
            )
            optimizer = optimizer_of(self.model, self.recipe, relative=True)
            return optimizer, annealed(optimizer, seeded(updates, self.seed, forget[1].device), count)

        bookmark, tell = self.bookmark, self.tell
        return walk(bookmark, "steps", self.model, begin, logged=True, label="distill", total=count, tell=tell)[1]

    def _retain_loss(self, first: nn.Module) -> RetainLoss | None:
        """Return the distillation loss on rows of the retain set; None for the plain cross-entropy."""
        how, (images, labels) = self.settings, self.sets.retain.samples
        if how.alpha == 1 and not how.beta:
            return None
        known, weights = predict(first, images), {"alpha": how.alpha, "beta": how.beta}

        def loss(logits: Tensor, rows: Tensor) -> Tensor:
            """Return the distillation loss of some rows."""
            return distillation_loss(logits, known[rows], labels[rows], **weights, temperature=how.temperature)

        return loss


def joint_steps(epochs: int, retained: int, how: Distill) -> int:
    """Return the number of joint steps: as asked for, or as many as cost 17 % of a training.

    Args:
        epochs: of the training.
        retained: samples of the retain set.
        how: samples in a step.
    """
    return how.steps or ceil(SHARE_OF_TRAINING * epochs * retained / (how.ids_per_step + how.replay))
