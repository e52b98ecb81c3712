"""Stage 1 on one model: until an accuracy on the ids, or until they look like unseen samples."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Measured, Note, Tell, progress
from forgetkit.methods.neutralize import mislabel
from forgetkit.methods.neutralize import neutralize as neutral_updates
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples, accuracy, at_once, predict
from forgetkit.training.device import generator_for
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.packing import pack, unpack
from forgetkit.training.resume import Bookmark, Place
from forgetkit.training.updates import Update, fit, started
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import stop_when_forgotten
from forgetkit.unlearning.membership_gauge import describe, is_forgotten, keeps_accuracy, recorded
from forgetkit.unlearning.method_options import Neutralize
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.sets import Pool, Sets
from forgetkit.unlearning.tuning_groups import MANY, steps_between, tuning_groups

GROUPS = 20
"""Groups to rehearse on at most."""


REHEARSED_STEPS = 200
"""Steps of a rehearsal at most."""


LOOP = "neutralize"


SMALLEST = 8
"""Samples that an evaluation predicts at a time, at least."""


@dataclass(frozen=True)
class Neutralization:
    """Stage 1 on one model.

    Attributes:
        settings: how to neutralize.
        model: changed in place.
        sets: forget set, retain set and tune half.
        seed: seed of the order.
        logged: whether each evaluation needs the accuracy on all ids, not only whether the goal is reached.
        bookmark: keeps and recalls the state of the run; its log gets every evaluation.
        tell: receives every evaluation.
    """

    settings: Neutralize
    model: nn.Module
    sets: Sets
    seed: int
    logged: bool
    bookmark: Bookmark
    tell: Tell

    def carry_out(self) -> Outcome:
        """Neutralize the forget set.

        Raises:
            NotReached: if the goal is not reached in time, or not without losing accuracy.
        """
        contrast = self._contrast(self.sets.forget.samples)
        if self.settings.stop == "unseen":
            return self._until_forgotten(contrast)
        return self._until_accuracy(contrast, 1 / self.sets.classes if self.settings.stop == "chance" else 0.0)

    @property
    def batch_size(self) -> int:
        """Samples in a step."""
        return self.settings.samples_per_step(len(self.sets.forget))

    def _contrast(self, forget: Samples) -> dict[int, int]:
        """Return the contrastive label of each class of the forget set."""
        outputs = predict(self.model, forget[0])
        outputs = outputs if self.settings.average == "logits" else outputs.softmax(1)
        return mislabel(outputs, forget[1], kind=self.settings.labels, match=self.settings.matching)

    def _begin(self, forget: Pool, contrast: dict[int, int]) -> tuple[Optimizer, Iterator[Update]]:
        how = self.settings
        optimizer = make_optimizer(self.model, how.optimizer, rate=how.rate, momentum=how.momentum)
        updates = neutral_updates(
            self.model,
            forget.samples,
            contrast=contrast,
            batch_size=self.batch_size,
            epochs=how.max_epochs,
            seed=self.seed,
        )
        return optimizer, updates

    def _until_accuracy(self, contrast: dict[int, int], goal: float) -> Outcome:
        """Take steps until at most a share ``goal`` of the forget set, canaries aside, is right, as published."""
        how, left = self.settings, self.bookmark.open(LOOP)
        judged = self.sets.measured_samples if len(self.sets.measured) else self.sets.forget.samples
        taken, right = (left.at["steps"], left.at["right"]) if left else (0, 1.0)
        optimizer, updates = self._begin(self.sets.forget, contrast)
        updates = started(updates, taken)
        if left:
            unpack(left.tensors, self.model, optimizer)
        order = torch.randperm(len(judged[1]), generator=generator_for(self.seed, "look")).to(judged[1].device)
        count = len(shuffled(len(self.sets.forget), self.batch_size, seed=self.seed, epoch=1))
        every = math.ceil(count / how.evaluations_per_epoch)

        def place() -> Place:
            """Return the position to keep."""
            return Place({"steps": taken, "right": right}, pack(self.model, optimizer))

        def evaluate() -> float:
            """Return the accuracy on the forget set."""
            if self.logged:
                return accuracy(predict(self.model, judged[0]), judged[1])
            return _accuracy_to(goal, self.model, judged, order, right)

        steps, start, total = fit(optimizer, updates), taken, how.max_epochs * count
        for _ in progress(range(taken, total + 1), "neutralize", total, self.tell):
            epochs, step = divmod(taken, count)
            if (left is None or taken > start) and (step == 0 or step % every == 0):
                right = evaluate()
                self.bookmark.log.append({"step": taken, "epoch": epochs + step / count, "accuracy": right})
                self.tell(Measured(f"accuracy on the ids {right:.1%} (goal {goal:.0%})"))
                if right <= goal:
                    return Outcome({"steps": taken, "epochs": epochs + step / count, "contrast": contrast})
                if taken:
                    self.bookmark.reached(LOOP, place)
            if next(steps, None) is None:
                break
            taken += 1
        right = accuracy(predict(self.model, judged[0]), judged[1])  # the last evaluation may have ended early
        message = f"after {how.max_epochs} epochs accuracy on the forget set is {right:.2%}, above {goal:.2%}"
        raise NotReached(message, "raise --max-epochs or --rate")

    def _until_forgotten(self, contrast: dict[int, int]) -> Outcome:
        """Take steps until the ids look like unseen samples."""
        how, forget = self.settings, self.sets.forget
        groups = tuning_groups(self.sets, seed=self.seed).first(GROUPS)
        before = groups.before(self.model)
        self.tell(Note(f"  {groups.describe()}"))
        self.tell(Note(f"  before: {describe(before)}"))
        batches = len(shuffled(len(forget), self.batch_size, seed=self.seed, epoch=1))
        every = math.ceil(batches / how.evaluations_per_epoch)
        most = how.max_epochs * batches
        if not groups.direct and most > REHEARSED_STEPS:
            self.tell(Note(f"  a rehearsal takes {REHEARSED_STEPS} steps at most, fewer than {how.max_epochs} epochs"))
        if len(forget) >= MANY:
            every = max(every, steps_between(groups.gauges[0], self.batch_size))
        found = stop_when_forgotten(
            self.model,
            forget,
            groups,
            lambda group: self._begin(group, self._contrast(group.samples)),
            Braking(before, how.utility_margin, every),
            most=most if groups.direct else min(REHEARSED_STEPS, most),
            bookmark=self.bookmark,
            tell=self.tell,
        )
        for one in found.seen:
            self.bookmark.log.append({"step": one.step, "epoch": one.step / batches, **recorded(one.reading)})
        shown = found.best or min(found.seen, key=lambda one: abs(one.reading.gap))
        self.tell(Note(f"  after {shown.step} steps: {describe(shown.reading)}"))
        if found.best is None:
            forgotten = is_forgotten(shown.reading, before)
            fault = "accuracy is lost" if forgotten else "the ids are still recognisable"
            if not forgotten and not keeps_accuracy(shown.reading, before, how.utility_margin):
                fault = "accuracy is lost, and the ids are not forgotten"
            closest = f"closest after {shown.step} steps, {shown.reading.gap:+.3f} from the goal"
            message = found.fault or f"{closest}: {fault} ({describe(shown.reading)})"
            raise NotReached(message, "as published: --stop chance, then distill; or a larger --utility-margin")
        seen = [{"step": one.step, **recorded(one.reading)} for one in found.seen]
        metrics = {"steps": shown.step, "epochs": shown.step / batches, "contrast": contrast}
        return Outcome({**metrics, "judged": groups.describe(), "looks": seen})


def _accuracy_to(goal: float, model: nn.Module, forget: Samples, order: Tensor, last: float) -> float:
    """Return the accuracy on the forget set, or, if it is above ``goal``, on as many samples as show so.

    Samples are taken by ``order``; a batch has a tenth more than would be needed at the ``last`` accuracy.
    """
    images, labels = forget
    count, found, seen = len(labels), 0, 0
    size = min(at_once(images), max(SMALLEST, math.ceil(1.1 * (goal * count + 1) / max(last, goal, 0.1))))
    for rows in torch.split(order, size):
        seen += len(rows)
        found += int((predict(model, images[rows]).argmax(1) == labels[rows]).sum())
        if found / count > goal:
            break
    return found / max(seen, 1)
