"""What every step does around its method: check the output, run the method, measure before and after, publish."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from forgetkit.events import Changed, Note, Tell, Warned
from forgetkit.files.header import read_record
from forgetkit.files.lock import was_left
from forgetkit.files.publish import check_target
from forgetkit.files.record import Step
from forgetkit.models.checkpoint import load_tensors, load_with_weights, save_checkpoint
from forgetkit.training.classifier import on_machine
from forgetkit.training.device import Machine
from forgetkit.training.evaluate import (
    BATCH,
    OnUnseen,
    about,
    measure_samples,
    measure_with,
    on_unseen_split,
    pass_seconds,
    weight_change,
)
from forgetkit.training.mask import masked, read_mask
from forgetkit.training.outputs import Written, asked_of, done_already, ids_entry, output_path, software, up_to_date
from forgetkit.training.remembered import keep_unseen, recall_unseen
from forgetkit.training.resume import Bookmark, making
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.outcome import Beside, Inputs, Outcome, Work
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step_options import StepOptions


def new_step(command: str, options: dict[str, Any], seed: int, request: Request) -> Step:
    """Return the step that a record will hold, without its metrics."""
    return Step(command, options, seed, request.record.digest, ids_entry(request.ids), {})


def norm_statistics(*, frozen: bool) -> dict[str, str]:
    """Return what a step records of the running statistics of batch norm: whether its steps changed them."""
    return {"norm_statistics": "frozen" if frozen else "updated"}


def carry_out(
    request: Request,
    step: Step,
    machine: Machine,
    options: StepOptions,
    work: Work,
    *,
    inputs: Inputs | None = None,
    beside: Beside | None = None,
    aim: Request | None = None,
    tell: Tell,
) -> Written | None:
    """Run a method on the checkpoint of a request and write the result.

    Args:
        request: what :func:`forgetkit.unlearning.inputs.begin` returned.
        step: the step, without its metrics.
        machine: where to compute.
        options: where to write.
        work: the method.
        inputs: further files that are read.
        beside: what is written beside the checkpoint.
        aim: request that the sets are made of and forgetting is measured on, if it is another one.
        tell: receives the events of the run.

    Returns:
        the output, new or already present; None in a dry run. If it raises, nothing was written.
    """
    begun, output, aim = time.monotonic(), options.output, aim or request
    inputs, beside = inputs or Inputs(), beside or Beside()
    free, digest = read_mask(Path(inputs.mask)) if inputs.mask is not None else (None, None)
    if digest is not None:
        step = replace(step, options={**step.options, "mask": digest})
    target = output_path(request.path, step.command, output.out)
    steps = [*request.record.steps, step]
    expected = replace(request.record, forgotten=request.forgotten, steps=steps, software=software())
    files = beside.paths(target)
    if done := up_to_date(target, expected, files):
        request.answer(target, done, output)
        return done_already(step.command, target, done, files)
    asked = asked_of(expected, files)
    force = output.force or was_left(target, asked)
    if request.booking:
        request.booking.check_open(again=output.force)
    _check(request, inputs, target, files, force=force)
    tell(Note(f"{step.command}: {_samples_of(request)}, {machine} → {target}"))
    model, start = load_with_weights(request.path, request.record)
    if output.dry_run:
        _rehearse(model, free, inputs.models)
        _tell_plan(request, step, machine, model, tell=tell)
        return None
    with making(target, files, asked=asked, force=force, fresh=output.fresh, tell=tell) as bookmark:
        outcome, unseen = _run(model, aim, machine, work, start=start, bookmark=bookmark, free=free)
        steps[-1] = replace(step, options={**step.options, **outcome.resolved}, metrics=outcome.metrics)
        written = save_checkpoint(target, model, replace(expected, steps=steps))
        keep_unseen(written, aim.dataset, machine, unseen)
        beside.write(target, outcome, bookmark, written, request.record)
        request.answer(target, written, output)
    tell(Changed(outcome.metrics, 1 / len(request.record.classes)))
    return Written(step.command, target, written, time.monotonic() - begun, request.path)


def on_module(model: nn.Module, sets: Sets, work: Work) -> Outcome:
    """Run a method on a caller's module, in place; no file is read or written.

    Args:
        model: maps images, as they are in ``sets``, to logits.
        sets: of tensors on the device of the model.
        work: the method.

    Returns:
        what was made, with metrics before and after. The module is in the mode that it came in.
    """
    about = model, sets.measured_samples, sets.tune, sets.kept_classes
    before, mode = measure_samples(*about), model.training
    outcome = work(model, sets, Bookmark())
    model.train(mode)
    after = measure_samples(*about)
    return _compared(outcome, before, after)


def _compared(outcome: Outcome, before: dict[str, Any], after: dict[str, Any]) -> Outcome:
    """Return the outcome with the metrics of before and after."""
    return replace(
        outcome, metrics=outcome.metrics | after | {f"{name}_before": value for name, value in before.items()}
    )


def _check(request: Request, inputs: Inputs, target: Path, files: tuple[Path, ...], *, force: bool) -> None:
    """Refuse outputs that cannot or must not be written."""
    read = (*request.inputs, *inputs.others, *inputs.models, *((Path(inputs.mask),) if inputs.mask is not None else ()))
    for path, others in ((target, ()), *((path, (target,)) for path in files)):
        check_target(path, force=force, inputs=(*read, *others))


def _rehearse(model: nn.Module, free: dict[str, Tensor] | None, models: tuple[Path, ...]) -> None:
    """Read what a run would read."""
    with masked(model, free):
        for path in models:
            load_tensors(path, read_record(path))


def _run(
    model: nn.Module,
    aim: Request,
    machine: Machine,
    work: Work,
    *,
    start: dict[str, Tensor],
    bookmark: Bookmark,
    free: dict[str, Tensor] | None,
) -> tuple[Outcome, OnUnseen]:
    """Run the method from the weights ``start``.

    Returns:
        its outcome, with metrics before and after; and what the model then shows on the unseen samples.
    """
    classifier = on_machine(model, aim.record, machine)
    sets = Sets.of_request(aim, machine.device)
    known = recall_unseen(aim.record, aim.dataset, machine)
    unseen = known or on_unseen_split(classifier, aim.dataset, machine.device)
    if known is None:
        keep_unseen(aim.record, aim.dataset, machine, unseen)
    before = measure_with(unseen, classifier, sets.measured_samples, sets.kept_classes)
    with masked(model, free):
        outcome = work(classifier, sets, bookmark)
    for parameter in model.parameters():
        parameter.grad = None  # gradients are as large as the model
    unseen = on_unseen_split(classifier, aim.dataset, machine.device)
    after = measure_with(unseen, classifier, sets.measured_samples, sets.kept_classes)
    compared = _compared(outcome, before, after)
    return replace(compared, metrics=compared.metrics | {"weight_change": weight_change(start, model)}), unseen


def _samples_of(request: Request) -> str:
    count = f"{len(request.ids)} ids, " if request.ids else ""
    return f"{count}{len(request.retain_rows)} retained samples of {request.dataset.name}"


def _tell_plan(request: Request, step: Step, machine: Machine, model: nn.Module, *, tell: Tell) -> None:
    """Tell the settings that a step will record, which of them are yet to be found, and how long a pass takes."""
    searched, told = step.options.get("searched", []), list[str]()
    for name, value in step.options.items():
        plain = isinstance(value, str | int | float) and value is not False and len(str(value)) < 64  # no digest
        if (plain or name in searched) and name not in {"norm_statistics", *machine.options()}:
            told.append(f"{name.replace('_', '-')} {'to be found' if name in searched else value}")
    tell(Note(f"  {', '.join(told)}"))
    classifier, passes = on_machine(model, request.record, machine), list[str]()
    sets = Sets.of_request(request, machine.device)
    for pool, name in ((sets.forget, "the ids"), (sets.retain, "the retained samples")):
        passes.append(f"{about(pass_seconds(classifier, pool.gather(pool.rows[:BATCH]), len(pool)))} over {name}")
    tell(Note(f"dry run: nothing was written; one training pass takes {' and '.join(passes)}"))


def warn_if_lost(written: Written | None, margin: float, cure: str, tell: Tell) -> None:
    """Warn if a step cost more accuracy on the tune half, in classes that keep retained samples, than ``margin``.

    Args:
        written: what the step wrote.
        margin: what may be lost.
        cure: what the user can try.
        tell: receives the warning.
    """
    metrics = _measured(written)
    name = "kept_tune_accuracy" if "kept_tune_accuracy" in metrics else "tune_accuracy"
    if metrics and metrics[name] < metrics[f"{name}_before"] - margin:
        before, after = metrics[f"{name}_before"], metrics[name]
        text = f"accuracy on unseen samples (the tune half) fell from {before:.2%} to {after:.2%}; {cure}"
        tell(Warned("accuracy-lost", text))


def warn_if_unmoved(written: Written | None, cure: str, tell: Tell) -> None:
    """Warn if a step left the forget set as it was.

    That is: accuracy on the ids is the same, and mean φ fell by less than a quarter of its spread on unseen samples.

    Args:
        written: what the step wrote.
        cure: what the user can try.
        tell: receives the warning.
    """
    metrics = _measured(written)
    if metrics.get("tune_phi_sd_before") is None:  # only canaries were forgotten, or there are no unseen samples
        return
    fall = metrics["forget_phi_before"] - metrics["forget_phi"]
    as_accurate = metrics["forget_accuracy"] >= metrics["forget_accuracy_before"]
    if as_accurate and fall < 0.25 * metrics["tune_phi_sd_before"]:
        text = (
            f"the forget set is unaffected: accuracy on it {metrics['forget_accuracy_before']:.2%} → "
            f"{metrics['forget_accuracy']:.2%}, mean φ {metrics['forget_phi_before']:.2f} → "
            f"{metrics['forget_phi']:.2f}, although weights changed by {metrics['weight_change']:.2%}; "
            f"the model still remembers whatever it did before; {cure}"
        )
        tell(Warned("unmoved", text))


def _measured(written: Written | None) -> dict[str, Any]:
    """Return the metrics of a step that was carried out just now; empty if none was."""
    return written.record.steps[-1].metrics if written and written.state == "written" else {}
