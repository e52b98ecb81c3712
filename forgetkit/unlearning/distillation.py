"""Stage 2 on one model: towards one teacher, or towards two."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell
from forgetkit.methods.distill import distill as distillation_losses
from forgetkit.methods.distill import distillation_loss
from forgetkit.methods.joint import joint
from forgetkit.methods.sharpen import sharpness
from forgetkit.training.classifier import Samples, accuracy, predict
from forgetkit.training.device import generator_for
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
from forgetkit.unlearning.teachers import Teachers
from forgetkit.unlearning.tuning_groups import check_judges, gauge_on, warn_if_not_memorised

SHARE_OF_TRAINING = 0.17
"""Cost of the joint steps with both teachers, as a share of a training."""
SHADOW_SHARE = 0.064
"""The same, where shadow models teach the ids."""
BETA = 0.5
"""Weight of the divergence from the original on retained samples, for ``forget``; that of the cross-entropy is 1."""
WARM_UP = 0.3
"""Share of these steps in which the rate rises."""
BLIND = 0.25
"""Factor of the weight of ids of which nothing measurable was memorised."""
UNSEEN = 400
"""Unseen samples on which the result is checked; more would cost as much as the steps."""
RETAINED, LARGEST_FALL = 250, 0.03
"""Retained samples on which accuracy is checked, and by how much it may fall: of unseen ones it then falls by less."""
LOWER = "lower --rate or --forget-weight, allow a larger --utility-margin, or pass --allow-unforgotten"
RetainLoss = Callable[[Tensor, Tensor], Tensor]
"""Loss of the logits of some retained rows, and those rows."""
STUDENT = Training(optimizer="adam", rate=0.02, momentum=0.0, weight_decay=0.0)
"""How the student is trained with both teachers, whatever its recipe is; the rate is relative to each tensor's size."""


class RetainAccuracyLost(NotReached):
    """The steps cost accuracy on retained samples: a lower rate may not."""


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

    def towards_both(self, first: nn.Module, second: Teachers) -> Outcome:
        """Distil the retain set from the first teacher, and the ids from others, which never saw them.

        The number of steps is set beforehand; their rate rises at first, and then falls to 0 along a cosine: a run at a
        constant rate that stops when the ids look right loses accuracy. What the ids look like then is only checked. If
        nothing measurable was memorised, the ids weigh a quarter.

        Raises:
            NotReached: if the ids are not forgotten then, or accuracy is lost.
        """
        how, judged = self.settings, not self.settings.allow_unforgotten
        gauge = gauge_on(self.sets, seed=self.seed, most=UNSEEN if judged else UNSEEN // 2)
        if judged:
            check_judges(gauge)
        outputs = second.on_forget(self.sets.forget.samples[0])
        on_unseen = second.on_unseen(gauge.unseen[0])
        on_guard = on_unseen if gauge.alike else second.on_unseen(gauge.guard[0])
        goal = gauge.reading(outputs[torch.from_numpy(self.sets.measured).to(outputs.device)], on_unseen, on_guard)
        gauge = replace(gauge, goal=0.5 if goal.auc is None else goal.auc)
        of_first = gauge.logits(first)
        before = gauge.reading(*of_first)
        # Of unseen samples of a class that vanishes, the others know nothing: the guard has none.
        factor = sharpness(on_guard, of_first[2])
        self.tell(Note(f"  {'models' if len(second.models) > 1 else 'a model'} without the ids: {describe(goal)}"))
        self.tell(Note(f"  before: {describe(before)}"))
        soft = (factor * outputs).softmax(1)
        blind = warn_if_not_memorised(before, self.tell)
        gentle = BLIND if blind else 1.0  # a loss of accuracy would bring no gain
        steps = self._take(self._retain_loss(first), soft, gentle * how.forget_weight)
        of_model, some = gauge.logits(self.model), self._some_retained()
        retained = accuracy(predict(self.model, some[0]), some[1])
        after = gauge.reading(*of_model)
        self.tell(Note(f"  after {steps} steps: {describe(after)}, on retained samples {retained:.2%}"))
        if judged:
            self._check_retained(retained - accuracy(predict(first, some[0]), some[1]))
            noise = error_of_difference(of_model[2], of_first[2], gauge.guard[1])
            self._check(after, before, self.settings.utility_margin + noise)
        metrics = {"steps": steps, "right": gauge.goal, "sharpness": factor, "retain_accuracy": retained}
        return Outcome({**metrics, "look": recorded(after), "look_before": recorded(before), "blind": blind})

    def _some_retained(self) -> Samples:
        """Return some retained samples, always the same."""
        retain = self.sets.retain
        rows = torch.randperm(len(retain), generator=generator_for(self.seed, "kept"))[:RETAINED].numpy()
        return retain.gather(rows)

    def _check_retained(self, change: float) -> None:
        """Refuse a change of accuracy on retained samples; raises RetainAccuracyLost."""
        if change < -LARGEST_FALL:
            raise RetainAccuracyLost(f"accuracy on retained samples falls by {-change:.2%}", LOWER)

    def _check(self, after: Reading, before: Reading, margin: float) -> None:
        """Refuse a model that still knows the ids, or knows less than before; raises NotReached."""
        if not keeps_accuracy(after, before, margin):
            raise NotReached(f"accuracy is lost ({describe(after)}; before: {before.accuracy:.2%})", LOWER)
        # One comparison of two models: within a single standard error, a third of all would be refused by chance.
        if not is_forgotten(after, before, errors=2):
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
            return optimizer, annealed(optimizer, seeded(updates, self.seed, forget[1].device), count, warm=WARM_UP)

        bookmark, tell = self.bookmark, self.tell
        return walk(bookmark, "steps", self.model, begin, logged=True, label="distill", total=count, tell=tell)[1]

    def _retain_loss(self, first: nn.Module) -> RetainLoss | None:
        """Return the distillation loss on rows of the retain set; None for the plain cross-entropy."""
        how, (images, labels) = self.settings, self.sets.retain.samples
        if how.alpha == 1 and not how.beta:
            return None
        weights = {"alpha": how.alpha, "beta": how.beta, "temperature": how.temperature}
        first.eval()

        def loss(logits: Tensor, rows: Tensor) -> Tensor:
            """Return the distillation loss of some rows."""
            with torch.no_grad():
                known = first(images[rows])
            return distillation_loss(logits, known, labels[rows], **weights)

        return loss


def joint_steps(epochs: int, retained: int, how: Distill, share: float = SHARE_OF_TRAINING) -> int:
    """Return the number of joint steps: as asked for, or as many as cost a share of a training.

    Args:
        epochs: of the training.
        retained: samples of the retain set.
        how: samples in a step.
        share: the share.
    """
    return how.steps or ceil(share * epochs * retained / (how.ids_per_step + how.replay))


def error_of_difference(after: Tensor, before: Tensor, labels: Tensor) -> float:
    """Return the standard error of a change of accuracy, both models judged on the same samples.

    Args:
        after: logits of one model, ``(samples, classes)``.
        before: those of the other.
        labels: true classes, int64 of shape ``(samples,)``.
    """
    changes = (after.argmax(1) == labels).double() - (before.argmax(1) == labels).double()
    return float(changes.std(correction=0)) / len(labels) ** 0.5 if len(labels) else 0.0
