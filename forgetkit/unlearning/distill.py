"""Distillation, with one teacher as published or with a second one for what is to be forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Measured, Note, Tell, progress
from forgetkit.files.record import Record
from forgetkit.methods.distill import distill, distillation_loss
from forgetkit.methods.joint import joint
from forgetkit.models.checkpoint import load_model
from forgetkit.training.classifier import Classifier, Samples, on_machine, predict, take
from forgetkit.training.device import Machine
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark, walk
from forgetkit.unlearning.early_stopping import Start, Stopped, stop_unseen
from forgetkit.unlearning.inputs import Request, open_teacher
from forgetkit.unlearning.membership_gauge import entry, words
from forgetkit.unlearning.step import Outcome
from forgetkit.unlearning.tuning_groups import Course, check_judges, gauge_on, steps_between, warn_of_nothing


@dataclass(frozen=True)
class Teachers:
    """Path and record of the teacher for the retain set, and of the one for the forget set, if there is one."""

    retain: tuple[Path, Record]
    forget: tuple[Path, Record] | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read for them."""
        return (self.retain[0], *((self.forget[0],) if self.forget else ()))

    def options(self) -> dict[str, str]:
        """Return what a step records of them."""
        second = {"forget_teacher": self.forget[1].digest} if self.forget else {}
        return {"teacher": self.retain[1].digest, **second}


@dataclass(frozen=True, kw_only=True)
class Distilling:
    """How to distil; the fields are options of the command.

    Attributes:
        replay: retained samples in a step with both teachers.
        brake: whether to stop where the second teacher is.
        utility_margin: accuracy on unseen samples that may then be lost.
    """

    recipe: Recipe
    retain_fraction: float = 0.5
    alpha: float = 1.1
    beta: float = 0.9
    temperature: float = 4.0
    distill_epochs: int = 10
    forget_weight: float = 1.0
    ids_per_step: int = 16
    replay: int = 32
    brake: bool = True
    utility_margin: float = 0.02
    seed: int


def open_teachers(request: Request, teacher: str, forget_teacher: str | None) -> Teachers:
    """Read the records of the teachers.

    Raises:
        ForgetkitError: as :func:`open_teacher`; ``checkpoint-mismatch`` for a second teacher that was
            trained on some of the ids; ``ids-empty`` where there is nothing for it to teach.
    """
    first = open_teacher(teacher, request)
    if forget_teacher is None:
        return Teachers(first, None)
    path, record = open_teacher(forget_teacher, request)
    everything = request.with_all_forgotten
    if not len(everything.measured_rows):
        message = "--forget-teacher is given, but nothing to forget that is no canary"
        raise ForgetkitError("ids-empty", message, "name the ids: --ids")
    if known := int(record.retains(everything.ids).sum()):
        message = f"{path}: the forget teacher was trained on {known} of the {len(everything.ids)} ids"
        hint = "make one with: forgetkit train --like ORIGINAL.st --exclude IDS.txt --epochs 3 -o proxy.st"
        raise ForgetkitError("checkpoint-mismatch", message, hint)
    return Teachers(first, (path, record))


def distilled(
    classifier: Classifier,
    tune: Samples,
    request: Request,
    machine: Machine,
    teachers: Teachers,
    how: Distilling,
    *,
    tell: Tell,
    bookmark: Bookmark,
    watched: bool = True,
) -> Outcome:
    """Distil from the teachers into the classifier, which is changed in place.

    The log of ``bookmark`` is told of looks, and where it is ``watched``, of epochs.

    Raises:
        NotReached: with a second teacher, where no state that was seen both forgets and keeps accuracy.
    """
    first = on_machine(load_model(*teachers.retain), teachers.retain[1], machine)
    retain = take(request.dataset.train, request.retain_rows, machine.device)
    if teachers.forget is not None:
        second = on_machine(load_model(*teachers.forget), teachers.forget[1], machine)
        both = (first, second)
        everything = request.with_all_forgotten
        return towards_both(classifier, tune, everything, machine, both, retain, how, tell=tell, bookmark=bookmark)
    history = distill(
        classifier,
        first,
        *retain,
        recipe=how.recipe,
        optimizer=optimizer_of(classifier, how.recipe),
        tune=tune,
        retain_fraction=how.retain_fraction,
        distill_epochs=how.distill_epochs,
        alpha=how.alpha,
        beta=how.beta,
        temperature=how.temperature,
        seed=how.seed,
        epochs=progress(range(1, how.recipe.epochs + 1), "distill", how.recipe.epochs, tell),
        watch=bookmark.log.append if watched else None,
        tell=lambda text: tell(Measured(text)),
        bookmark=bookmark,
    )
    last = history.epochs[-1]["loss"]
    return Outcome({"epochs": how.recipe.epochs, "best_epoch": history.best_epoch, "loss": last})


def towards_both(
    classifier: Classifier,
    tune: Samples,
    request: Request,
    machine: Machine,
    teachers: tuple[nn.Module, nn.Module],
    retain: Samples,
    how: Distilling,
    *,
    tell: Tell,
    bookmark: Bookmark,
) -> Outcome:
    """Distil the retain set from the first teacher, the ids from the second, which never saw them.

    Args:
        classifier: changed in place.
        tune: images and labels of the tune half.
        request: what is to be forgotten, what was before included.
        machine: where to compute.
        teachers: neither is the classifier.
        retain: images and labels of the retain set.
        how: everything else.
        tell: told of every look.
        bookmark: where the run stands.

    Raises:
        NotReached: where no state that was seen both forgets and keeps accuracy.
    """
    gauge = gauge_on(request, tune, machine, seed=how.seed)
    if how.brake:
        check_judges(gauge)
    shown_by = gauge.look(teachers[1])
    gauge = replace(gauge, right=0.5 if shown_by.auc is None else shown_by.auc)
    before = gauge.look(teachers[0])
    tell(Note(f"  the forget teacher: {words(shown_by)}"))
    tell(Note(f"  the teacher: {words(before)}"))
    blind = warn_of_nothing(before, tell)
    forget = take(request.dataset.train, request.forget_rows, machine.device)
    start = _joint_steps(classifier, teachers, retain, how)
    every = steps_between(gauge, min(how.ids_per_step, len(forget[1])) + how.replay)
    most = ceil(how.recipe.epochs * how.retain_fraction * len(retain[1]) / how.replay)
    if not how.brake:

        def begin(done: int) -> tuple[Optimizer, Iterator[object]]:
            optimizer, steps = start(forget, done)
            return optimizer, progress(islice(steps, most - done), "distill", most - done, tell)

        taken = walk(bookmark, "steps", classifier, begin)[1]
        return Outcome({"steps": taken, "right": gauge.right})
    if blind:  # no look can say where to stop: teach each id once, and go no further
        every = most = min(most, ceil(len(forget[1]) / how.ids_per_step))
    course = Course([forget], [gauge], retain)
    found = stop_unseen(
        classifier,
        forget,
        course,
        start,
        every=every,
        most=most,
        before=before,
        margin=how.utility_margin,
        tell=tell,
        bookmark=bookmark,
    )
    return _judged(found, most, gauge.right, tell, bookmark)


def _joint_steps(
    classifier: Classifier, teachers: tuple[nn.Module, nn.Module], retain: Samples, how: Distilling
) -> Start:
    """Return what begins joint steps: the retain set after the first teacher, the samples given after the second."""
    known = predict(teachers[0], retain[0])

    def retain_loss(logits: Tensor, rows: Tensor) -> Tensor:
        weights = {"alpha": how.alpha, "beta": how.beta, "temperature": how.temperature}
        return distillation_loss(logits, known[rows], retain[1][rows], **weights)

    def start(samples: Samples, done: int) -> tuple[Optimizer, Iterator[Tensor]]:
        optimizer, soft = optimizer_of(classifier, how.recipe), predict(teachers[1], samples[0]).softmax(1)
        steps = joint(
            classifier,
            samples[0],
            lambda _: soft,
            retain,
            optimizer=optimizer,
            forget_weight=how.forget_weight,
            forget_batch=how.ids_per_step,
            retain_batch=how.replay,
            retain_loss=retain_loss,
            seed=how.seed,
            done=done,
        )
        return optimizer, steps

    return start


def _judged(found: Stopped, most: int, right: float, tell: Tell, bookmark: Bookmark) -> Outcome:
    """Say and log what was seen; return it.

    Raises:
        NotReached: where no state that was seen both forgets and keeps accuracy.
    """
    looks = [{"step": visit.step, **entry(visit.look)} for visit in found.visits]
    bookmark.log.extend(looks)
    shown = found.best or found.visits[-1]
    tell(Note(f"  after {shown.step} steps: {words(shown.look)}"))
    if found.best is None:
        message = f"after {shown.step} of at most {most} steps no state both forgets the ids and keeps accuracy"
        raise NotReached(
            f"{message} ({words(shown.look)})", "raise --epochs, lower --rate, or a larger --utility-margin"
        )
    return Outcome({"steps": shown.step, "right": right, "looks": looks})
