"""Neutralization of a request: until an accuracy on the ids, as published, or until they look like unseen samples."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Measured, Note, Tell, progress, silent
from forgetkit.methods.neutralize import mislabel
from forgetkit.methods.neutralize import neutralize as neutral_updates
from forgetkit.options import MethodOptions
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples, accuracy, at_once, predict
from forgetkit.training.device import generator_for, set_up
from forgetkit.training.loop import Update, fit, started
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.outputs import Written
from forgetkit.training.resume import Bookmark, Place, pack, unpack
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import stop_when_forgotten
from forgetkit.unlearning.inputs import Ids, begin
from forgetkit.unlearning.membership_gauge import describe, is_forgotten, keeps_accuracy, recorded
from forgetkit.unlearning.method_options import Neutralize
from forgetkit.unlearning.sets import Sets, no_samples, tensor_sets
from forgetkit.unlearning.step import Beside, Inputs, Outcome, carry_out, new_step, on_module
from forgetkit.unlearning.tuning_groups import MANY, steps_between, tuning_groups

GROUPS = 20
"""Groups to rehearse on at most."""
REHEARSED_STEPS = 200
"""Steps of a rehearsal at most."""
LOOP = "neutralize"
SMALLEST = 8
"""Samples that an evaluation predicts at a time, at least."""


@overload
def neutralize(
    model: str | Path,
    ids: Ids | None = None,
    settings: Neutralize | None = None,
    options: MethodOptions | None = None,
    *,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Act on a checkpoint."""


@overload
def neutralize(
    model: nn.Module,
    ids: None = None,
    settings: Neutralize | None = None,
    options: MethodOptions | None = None,
    *,
    forget: Samples,
    retain: Samples,
    unseen: Samples,
    tell: Tell = silent,
) -> Outcome:
    """Act on a module."""


def neutralize(
    model: str | Path | nn.Module,
    ids: Ids | None = None,
    settings: Neutralize | None = None,
    options: MethodOptions | None = None,
    *,
    forget: Samples | None = None,
    retain: Samples | None = None,
    unseen: Samples | None = None,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | Outcome | None:
    """Train ids towards contrastive labels (Kim & Woo 2022, stage 1).

    Args:
        model: path of a checkpoint, beside which the result is written; or a module, which is changed in place.
        ids: for a checkpoint, path of an ID list or the ids themselves, if not in ``options``.
        settings: how to neutralize.
        options: what is read, where to compute, what is written; for a module only the seed counts.
        forget: for a module, images and labels to forget.
        retain: for a module, images and labels to keep.
        unseen: for a module, images and labels that it was not trained on: they choose a setting.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        for a checkpoint, what was written, or was there already, None in a dry run; for a module, the metrics.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if the goal was not reached, then nothing is written.
    """
    settings, options = settings or Neutralize(), (options or MethodOptions()).writing(out)
    settings.check()
    seed, logged = options.seed, options.log is not None

    def work(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Neutralize the forget set."""
        return Neutralization(settings, classifier, sets, seed, logged, bookmark, tell).carry_out()

    if isinstance(model, nn.Module):
        return on_module(model, tensor_sets(forget, retain, unseen, ids), work)
    no_samples(forget, retain, unseen)
    request = begin("neutralize", str(model), options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    machine = set_up(options.compute.device, options.compute.precision, options.compute.threads)
    names = request.record.classes

    def named(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Neutralize, and name the classes in the metrics."""
        outcome = work(classifier, sets, bookmark)
        contrast = {names[true]: names[wrong] for true, wrong in outcome.metrics["contrast"].items()}
        return Outcome({**outcome.metrics, "contrast": contrast})

    step = new_step("neutralize", {**settings.options(len(request.ids)), **machine.options()}, options.seed, request)
    inputs, beside = Inputs(mask=options.mask), Beside(log=options.log)
    return carry_out(request, step, machine, options, named, inputs=inputs, beside=beside, tell=tell)


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
        return mislabel(outputs, forget[1], kind=self.settings.labels)

    def _begin(self, forget: Samples, contrast: dict[int, int]) -> tuple[Optimizer, Iterator[Update]]:
        how = self.settings
        optimizer = make_optimizer(self.model, how.optimizer, rate=how.rate, momentum=how.momentum)
        updates = neutral_updates(
            self.model,
            forget,
            contrast=contrast,
            batch_size=self.batch_size,
            epochs=how.max_epochs,
            seed=self.seed,
        )
        return optimizer, updates

    def _until_accuracy(self, contrast: dict[int, int], goal: float) -> Outcome:
        """Take steps until at most a share ``goal`` of the forget set is classified correctly, as published."""
        how, forget, left = self.settings, self.sets.forget.samples, self.bookmark.open(LOOP)
        taken, right = (left.at["steps"], left.at["right"]) if left else (0, 1.0)
        optimizer, updates = self._begin(forget, contrast)
        updates = started(updates, taken)
        if left:
            unpack(left.tensors, self.model, optimizer)
        order = torch.randperm(len(forget[1]), generator=generator_for(self.seed, "look")).to(forget[1].device)
        count = len(shuffled(len(forget[1]), self.batch_size, seed=self.seed, epoch=1))
        every = math.ceil(count / how.evaluations_per_epoch)

        def place() -> Place:
            """Return the position to keep."""
            return Place({"steps": taken, "right": right}, pack(self.model, optimizer))

        def evaluate() -> float:
            """Return the accuracy on the forget set."""
            if self.logged:
                return accuracy(predict(self.model, forget[0]), forget[1])
            return _accuracy_to(goal, self.model, forget, order, right)

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
        right = accuracy(predict(self.model, forget[0]), forget[1])  # the last evaluation may have ended early
        message = f"after {how.max_epochs} epochs accuracy on the forget set is {right:.2%}, above {goal:.2%}"
        raise NotReached(message, "raise --max-epochs or --rate")

    def _until_forgotten(self, contrast: dict[int, int]) -> Outcome:
        """Take steps until the ids look like unseen samples."""
        how, forget = self.settings, self.sets.forget.samples
        groups = tuning_groups(self.sets, seed=self.seed).first(GROUPS)
        before = groups.before(self.model)
        self.tell(Note(f"  {groups.describe()}"))
        self.tell(Note(f"  before: {describe(before)}"))
        batches = len(shuffled(len(forget[1]), self.batch_size, seed=self.seed, epoch=1))
        every = math.ceil(batches / how.evaluations_per_epoch)
        if len(forget[1]) >= MANY:
            every = max(every, steps_between(groups.gauges[0], self.batch_size))
        found = stop_when_forgotten(
            self.model,
            forget,
            groups,
            lambda samples: self._begin(samples, self._contrast(samples)),
            Braking(before, how.utility_margin, every),
            most=how.max_epochs * batches if groups.direct else min(REHEARSED_STEPS, how.max_epochs * batches),
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
