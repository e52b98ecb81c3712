"""Distillation of a request: with one teacher, as published, or with a second one that never saw the ids."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from math import ceil
from pathlib import Path
from typing import overload

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell, Warned, silent
from forgetkit.files.record import Record
from forgetkit.methods.distill import distill as distillation_losses
from forgetkit.methods.distill import distillation_loss
from forgetkit.methods.joint import joint
from forgetkit.models.checkpoint import load_model
from forgetkit.options import MethodOptions, Training
from forgetkit.training.classifier import Classifier, Samples, on_machine, predict
from forgetkit.training.device import Machine, set_up
from forgetkit.training.loop import Update, drawn_batches, fit_epochs, walk, whole
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import Recipe, halved, recipe_of, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import Stopped, stop_when_forgotten
from forgetkit.unlearning.inputs import Ids, Request, begin, open_teacher
from forgetkit.unlearning.membership_gauge import describe, recorded
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.sets import Sets, no_samples, tensor_sets
from forgetkit.unlearning.step import Beside, Inputs, Outcome, Work, carry_out, new_step, on_module
from forgetkit.unlearning.tuning_groups import (
    TuningGroups,
    check_judges,
    gauge_on,
    steps_between,
    warn_if_not_memorised,
)


@dataclass(frozen=True)
class TeacherFiles:
    """Path and record of the teacher for the retain set, and of the one for the forget set, if there is one."""

    retain: tuple[Path, Record]
    forget: tuple[Path, Record] | None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.retain[0], *((self.forget[0],) if self.forget else ()))

    def options(self) -> dict[str, str]:
        """Return what a step records of them."""
        second = {"forget_teacher": self.forget[1].digest} if self.forget else {}
        return {"teacher": self.retain[1].digest, **second}

    def load(self, machine: Machine) -> tuple[Classifier, Classifier | None]:
        """Load both."""
        first = on_machine(load_model(*self.retain), self.retain[1], machine)
        second = on_machine(load_model(*self.forget), self.forget[1], machine) if self.forget else None
        return first, second


@overload
def distill(
    model: str | Path,
    teacher: str | Path,
    ids: Ids | None = None,
    settings: Distill | None = None,
    options: MethodOptions | None = None,
    *,
    forget_teacher: str | Path | None = None,
    training: Training | None = None,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Act on a checkpoint."""


@overload
def distill(
    model: nn.Module,
    teacher: nn.Module,
    ids: None = None,
    settings: Distill | None = None,
    options: MethodOptions | None = None,
    *,
    forget_teacher: nn.Module | None = None,
    training: Training | None = None,
    forget: Samples,
    retain: Samples,
    unseen: Samples,
    tell: Tell = silent,
) -> Outcome:
    """Act on a module."""


def distill(
    model: str | Path | nn.Module,
    teacher: str | Path | nn.Module,
    ids: Ids | None = None,
    settings: Distill | None = None,
    options: MethodOptions | None = None,
    *,
    forget_teacher: str | Path | nn.Module | None = None,
    training: Training | None = None,
    forget: Samples | None = None,
    retain: Samples | None = None,
    unseen: Samples | None = None,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | Outcome | None:
    """Retrain on the retain set with a teacher (Kim & Woo 2022, stage 2).

    Args:
        model: path of a checkpoint, beside which the result is written; or a module, which is changed in place.
        teacher: the original, a path or a module likewise.
        ids: for a checkpoint, path of an ID list or the ids themselves, to leave out besides those forgotten before.
        settings: how to distil.
        options: what is read, where to compute, what is written; for a module only the seed counts.
        forget_teacher: a model that never saw the ids; the ids are then distilled towards it.
        training: what differs from the recorded recipe with half its epochs; for a module, from half the defaults.
        forget: for a module, images and labels to forget.
        retain: for a module, images and labels to keep.
        unseen: for a module, images and labels that it was not trained on: they choose a setting.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        for a checkpoint, what was written, or was there already, None in a dry run; for a module, the metrics.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` with a second teacher, if no state that was evaluated both
            forgets and keeps accuracy; then nothing is written.
    """
    settings, options = settings or Distill(), (options or MethodOptions()).writing(out)
    settings.check()
    if isinstance(model, nn.Module):
        recipe = resolve_recipe(halved(Recipe()), training or Training())
        teachers = (_module(teacher), None if forget_teacher is None else _module(forget_teacher))
        return on_module(
            model, tensor_sets(forget, retain, unseen, ids), _work(settings, recipe, options, lambda: teachers, tell)
        )
    no_samples(forget, retain, unseen)
    request = begin("distill", str(model), options, ids=ids, needs_ids=False, tell=tell)
    if isinstance(request, Written):
        return request
    files = open_teachers(request, str(teacher), None if forget_teacher is None else str(forget_teacher))
    if not len(request.forgotten):
        tell(Warned("nothing-forgotten", "nothing was forgotten yet and no --ids are given: this is plain training"))
    recipe = resolve_recipe(halved(recipe_of(request.record.recipe)), training or Training())
    machine = set_up(options.compute.device, options.compute.precision, options.compute.threads)
    said = {**asdict(recipe), **settings.options(second_teacher=forget_teacher is not None)}
    step = new_step("distill", {**said, **files.options(), **machine.options()}, options.seed, request)
    work = _work(settings, recipe, options, lambda: files.load(machine), tell)
    inputs, beside = Inputs(models=files.paths, mask=options.mask), Beside(log=options.log)
    aim = request.with_all_forgotten
    return carry_out(request, step, machine, options, work, inputs=inputs, beside=beside, aim=aim, tell=tell)


def _work(
    settings: Distill,
    recipe: Recipe,
    options: MethodOptions,
    teachers: Callable[[], tuple[nn.Module, nn.Module | None]],
    tell: Tell,
) -> Work:
    """Return what distils one model from the teachers."""

    def work(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Distil into the classifier."""
        run = Distillation(settings, recipe, classifier, sets, options.seed, bookmark, tell)
        first, second = teachers()
        return (
            run.towards_both(first, second) if second else run.towards_original(first, logged=options.log is not None)
        )

    return work


def _module(model: str | Path | nn.Module) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError("the teacher of a module must be a torch.nn.Module too")
    return model


def open_teachers(request: Request, teacher: str, forget_teacher: str | None) -> TeacherFiles:
    """Read the records of the teachers.

    Raises:
        ForgetkitError: as :func:`open_teacher`; ``checkpoint-mismatch`` for a second teacher that was trained on some
            of the ids; ``ids-empty`` if there is nothing for it to teach.
    """
    first = open_teacher(teacher, request)
    if forget_teacher is None:
        return TeacherFiles(first, None)
    path, record = open_teacher(forget_teacher, request)
    everything = request.with_all_forgotten
    if not len(everything.measured_rows):
        message = "--forget-teacher is given, but there is nothing to forget except canaries"
        raise ForgetkitError("ids-empty", message, "name the ids: --ids")
    if known := int(record.retains(everything.ids).sum()):
        message = f"{path}: the forget teacher was trained on {known} of the {len(everything.ids)} ids"
        hint = "make one with: forgetkit train --like ORIGINAL.st --exclude IDS.txt --epochs 3 -o proxy.st"
        raise ForgetkitError("checkpoint-mismatch", message, hint)
    return TeacherFiles(first, (path, record))


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
    """

    settings: Distill
    recipe: Recipe
    model: nn.Module
    sets: Sets
    seed: int
    bookmark: Bookmark
    tell: Tell

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
        history = whole(fit_epochs)(
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
        last = history.epochs[-1]["loss"]
        return Outcome({"epochs": recipe.epochs, "best_epoch": history.best_epoch, "loss": last})

    def towards_both(self, first: nn.Module, second: nn.Module) -> Outcome:
        """Distil the retain set from the first teacher, and the ids from the second, which never saw them.

        Raises:
            NotReached: if no state that was evaluated both forgets and keeps accuracy.
        """
        how, forget, stops = self.settings, self.sets.forget.samples, self.settings.stop == "unseen"
        gauge = gauge_on(self.sets, seed=self.seed)
        if stops:
            check_judges(gauge)
        goal = gauge.read(second)
        gauge = replace(gauge, goal=0.5 if goal.auc is None else goal.auc)
        before = gauge.read(first)
        self.tell(Note(f"  the forget teacher: {describe(goal)}"))
        self.tell(Note(f"  the teacher: {describe(before)}"))
        blind = warn_if_not_memorised(before, self.tell)
        known = predict(first, self.sets.retain.samples[0])
        every = steps_between(gauge, min(how.ids_per_step, len(forget[1])) + how.replay)
        most = ceil(self.recipe.epochs * how.retain_fraction * len(self.sets.retain) / how.replay)

        def begin(samples: Samples) -> tuple[Optimizer, Iterator[Update]]:
            """Begin joint steps."""
            return optimizer_of(self.model, self.recipe), self._updates(samples, known, second)

        if not stops:
            taken = self._take(most, forget, known, second)
            return Outcome({"steps": taken, "right": gauge.goal})
        if blind:  # no evaluation can say where to stop: teach each id once
            every = most = min(most, ceil(len(forget[1]) / how.ids_per_step))
        found = stop_when_forgotten(
            self.model,
            forget,
            TuningGroups([forget], [gauge], self.sets.retain.samples),
            begin,
            Braking(before, how.utility_margin, every),
            most=most,
            bookmark=self.bookmark,
            tell=self.tell,
        )
        return self._judged(found, most, gauge.goal)

    def _take(self, most: int, forget: Samples, known: Tensor, second: nn.Module) -> int:
        """Take all steps; return how many there were."""

        def begin() -> tuple[Optimizer, Iterator[Update]]:
            """Begin joint steps."""
            updates = islice(self._updates(forget, known, second), most)
            return optimizer_of(self.model, self.recipe), updates

        return walk(self.bookmark, "steps", self.model, begin, label="distill", total=most, tell=self.tell)[1]

    def _updates(self, forget: Samples, known: Tensor, second: nn.Module) -> Iterator[Update]:
        """Return joint steps: the retain set towards the first teacher's outputs, ``forget`` towards the second's."""
        how, labels = self.settings, self.sets.retain.samples[1]
        soft = predict(second, forget[0]).softmax(1)

        def retain_loss(logits: Tensor, rows: Tensor) -> Tensor:
            """Return the distillation loss on retained rows."""
            return distillation_loss(
                logits, known[rows], labels[rows], alpha=how.alpha, beta=how.beta, temperature=how.temperature
            )

        return joint(
            self.model,
            forget,
            lambda _: soft,
            self.sets.retain.samples,
            forget_weight=how.forget_weight,
            ids_per_step=how.ids_per_step,
            batch_size=how.replay,
            retain_loss=retain_loss,
            seed=self.seed,
        )

    def _judged(self, found: Stopped, most: int, goal: float) -> Outcome:
        """Tell and log every evaluation, and return them.

        Raises:
            NotReached: if no state that was evaluated both forgets and keeps accuracy.
        """
        seen = [{"step": one.step, **recorded(one.reading)} for one in found.seen]
        self.bookmark.log.extend(seen)
        shown = found.best or found.seen[-1]
        self.tell(Note(f"  after {shown.step} steps: {describe(shown.reading)}"))
        if found.best is None:
            message = f"after {shown.step} of at most {most} steps no state both forgets the ids and keeps accuracy"
            hint = "raise --epochs, lower --rate, or allow a larger --utility-margin"
            raise NotReached(f"{message} ({describe(shown.reading)})", hint)
        return Outcome({"steps": shown.step, "right": goal, "looks": seen})
