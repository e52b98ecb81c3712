"""Distillation of a request: with one teacher, as published, or with a second one that never saw the ids."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

from torch import nn

from forgetkit.events import Tell, Warned, silent
from forgetkit.options import refuse_given
from forgetkit.training.classifier import Samples
from forgetkit.training.device import machine_for
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import Recipe, halved, recipe_of, recorded_epochs, resolve_recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.train_options import Training
from forgetkit.unlearning.distillation import STUDENT, Distillation, joint_steps
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.outcome import Beside, Inputs, Outcome, Work
from forgetkit.unlearning.sets import Sets, no_samples, tensor_sets
from forgetkit.unlearning.step import carry_out, new_step, norm_statistics, on_module
from forgetkit.unlearning.step_options import MethodOptions
from forgetkit.unlearning.teachers import TeacherFiles, Teachers, open_teachers

PER_EPOCH = ("epochs", "schedule", "augment", "batch_size", "keep")
"""Settings of a training in epochs, which the steps with both teachers do not have."""


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
        ids: for a checkpoint, an ID list or ids to leave out besides those forgotten before.
        settings: how to distil.
        options: what is read, where to compute, what is written; for a module only the seed counts.
        forget_teacher: a model that never saw the ids, or a folder of models of which some never saw each of them; the
            ids are then distilled towards it.
        training: what differs from half the recipe; with both teachers, from Adam at a relative rate of 0.02.
        forget: for a module, images and labels to forget.
        retain: for a module, images and labels to keep.
        unseen: for a module, images and labels that it was not trained on: they choose a setting.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        for a checkpoint, what was written, or was there already, None in a dry run; for a module, the metrics.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if a second teacher leads to no state that forgets.
    """
    settings, options = settings or Distill(), (options or MethodOptions()).writing(out)
    training, both = training or Training(), forget_teacher is not None
    _check(settings, training, both=both)
    if isinstance(model, nn.Module):
        recipe = _recipe(Recipe(), settings, training, tell, both=both)
        sets = tensor_sets(forget, retain, unseen, ids)
        second = None if forget_teacher is None else Teachers.one(_module(forget_teacher), len(sets.forget))
        teachers = (_module(teacher), second)
        work = _work(settings, recipe, options, lambda: teachers, Recipe().epochs, tell)
        return on_module(model, sets, work)
    no_samples(forget, retain, unseen)
    request = begin("distill", str(model), options, ids=ids, needs_ids=False, tell=tell)
    if isinstance(request, Written):
        return request
    files = open_teachers(request, str(teacher), None if forget_teacher is None else str(forget_teacher), tell)
    if not len(request.forgotten):
        tell(Warned("nothing-forgotten", "nothing was forgotten yet and no --ids are given: this is plain training"))
    recipe = _recipe(recipe_of(request.record.recipe), settings, training, tell, both=both)
    return _on_checkpoint(request, files, settings, recipe, options, tell)


def _on_checkpoint(
    request: Request, files: TeacherFiles, settings: Distill, recipe: Recipe, options: MethodOptions, tell: Tell
) -> Written | None:
    """Distil into the checkpoint of a request."""
    machine, both = machine_for(options.compute), bool(files.forget)
    said = _said(recipe, settings, options, both=both)
    step = new_step("distill", {**said, **files.options(), **machine.options()}, options.seed, request)
    epochs = recorded_epochs(request.record.recipe)
    work = _work(settings, recipe, options, lambda: files.load(machine, options.seed), epochs, tell)
    inputs, beside = Inputs(models=files.paths, mask=options.mask), Beside(log=options.log)
    aim = request.with_all_forgotten
    return carry_out(request, step, machine, options, work, inputs=inputs, beside=beside, aim=aim, tell=tell)


def _check(settings: Distill, training: Training, *, both: bool) -> None:
    """Refuse what is out of range, or not used with one teacher, or with both."""
    settings.check(second_teacher=both)
    if both:
        hint = "there are --steps of --ids-per-step ids and --replay retained samples: leave it out"
        refuse_given(training, PER_EPOCH, "not with --forget-teacher", hint)


def _recipe(base: Recipe, settings: Distill, training: Training, tell: Tell, *, both: bool) -> Recipe:
    """Return the recipe of the student; warn if it has fewer epochs than the teacher was given."""
    recipe = resolve_recipe(resolve_recipe(base, STUDENT) if both else halved(base), training)
    if not both and recipe.epochs < settings.distill_epochs != Distill.distill_epochs:
        tell(Warned("unused", f"--distill-epochs {settings.distill_epochs}: there are only {recipe.epochs} epochs"))
    return recipe


def _said(recipe: Recipe, settings: Distill, options: MethodOptions, *, both: bool) -> dict[str, Any]:
    """Return the options that a record holds, apart from teachers and machine."""
    said = {**asdict(recipe), **settings.options(second_teacher=both)}
    if not both:
        return said
    of_steps = {name: value for name, value in said.items() if name not in PER_EPOCH}
    return of_steps | norm_statistics(frozen=False)


def _work(
    settings: Distill,
    recipe: Recipe,
    options: MethodOptions,
    teachers: Callable[[], tuple[nn.Module, Teachers | None]],
    epochs: int,
    tell: Tell,
) -> Work:
    """Return what distils one model, which was trained for so many epochs, from the teachers."""

    def work(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Distil into the classifier."""
        steps = joint_steps(epochs, len(sets.retain), settings)
        run = Distillation(settings, recipe, classifier, sets, options.seed, bookmark, tell, steps)
        first, second = teachers()
        return (
            run.towards_both(first, second) if second else run.towards_original(first, logged=options.log is not None)
        )

    return work


def _module(model: str | Path | nn.Module) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError("the teacher of a module must be a torch.nn.Module too")
    return model
