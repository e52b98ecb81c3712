"""What every step does around its method: read and check, then compute, then write and report."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from forgetkit.events import Note, Tell, Warned
from forgetkit.files.header import read_record
from forgetkit.files.lock import was_left
from forgetkit.files.publish import check_target, publish_lines
from forgetkit.files.record import Step
from forgetkit.models.checkpoint import load, load_tensors, save_checkpoint
from forgetkit.options import LongRun
from forgetkit.training.classifier import Classifier, Samples, on_machine, take
from forgetkit.training.device import Machine
from forgetkit.training.evaluate import BATCH, about, measure, pass_seconds, weight_change
from forgetkit.training.mask import masked, read_mask
from forgetkit.training.outputs import Written, asked_of, done_already, output_path, software, up_to_date
from forgetkit.training.resume import Bookmark, making
from forgetkit.unlearning.inputs import Request


@dataclass(frozen=True)
class Outcome:
    """What the work of a step came to.

    Attributes:
        metrics: what it measured.
        resolved: values of the options that it searched for.
    """

    metrics: dict[str, Any]
    resolved: dict[str, Any] = field(default_factory=dict)


Work = Callable[[Classifier, Samples, Bookmark], Outcome]
Beside = Callable[[Path, Bookmark, str], None]


def carry_out(
    request: Request,
    step: Step,
    machine: Machine,
    *,
    tell: Tell,
    output: LongRun,
    others: tuple[Path, ...] = (),
    models: tuple[Path, ...] = (),
    beside: Mapping[Path, Beside] | None = None,
    measured: NDArray[np.int64] | None = None,
    mask: str | None = None,
    work: Work,
) -> Written | None:
    """Run ``work`` on the model, then write and report the result.

    Args:
        request: what :func:`begin` returned.
        step: the step, without its metrics.
        machine: where to compute.
        tell: what is said.
        output: where to write.
        others: further input files, which the output must not replace.
        models: further checkpoints, likewise; a dry run looks whether they can be read.
        beside: what the command writes beside the checkpoint, a log or an optimizer's state, and what writes it: it is
            given the path, the run's bookmark and the checkpoint's digest.
        measured: training rows to measure forgetting on; the request's ids less canaries if not given.
        mask: file that says which weights may move, if not all; its digest is recorded.
        work: changes the classifier; is given the images and labels of the tune half, and the run's bookmark.

    Returns:
        what was written, or was there already; None in a dry run.

    Raises:
        ForgetkitError: ``output-exists``, ``not-reached``, ``out-of-space`` …; nothing was written.
    """
    begun, files = time.monotonic(), tuple(beside or {})
    free, digest = read_mask(Path(mask)) if mask is not None else (None, None)
    if mask is not None:
        others, step = (*others, Path(mask)), replace(step, options={**step.options, "mask": digest})
    target = output_path(request.path, step.command, output.out)
    expected = replace(
        request.record, forgotten=request.forgotten, steps=[*request.record.steps, step], software=software()
    )
    if done := up_to_date(target, expected, files):
        if request.booking and not output.dry_run:
            request.booking.publish(step.command, done.digest)
        return done_already(step.command, target, done, files)
    if request.booking:
        request.booking.check_open()
    asked = asked_of(expected, files)
    force = output.force or was_left(target, asked)
    for path, inputs in ((target, ()), *((path, (target,)) for path in files)):
        check_target(path, force=force, inputs=(*request.inputs, *others, *models, *inputs))
    count = f"{len(request.ids)} ids, " if request.ids else ""
    tell(
        Note(
            f"{step.command}: {count}{len(request.retain_rows)} retained samples of {request.dataset.name}, "
            f"{machine.device} {machine.precision} {machine.threads} threads → {target}"
        )
    )
    model, start = load(request.path, request.record)
    if output.dry_run:
        with masked(model, free):
            for path in models:
                load_tensors(path, read_record(path))
        tell(Note(f"dry run: nothing was written; {_estimate(model, request, machine)}"))
        return None
    rows = request.measured_rows if measured is None else measured
    with making(target, files, asked=asked, force=force, fresh=output.fresh, tell=tell) as bookmark:
        metrics, resolved = _work(model, request, machine, rows, bookmark, work, free=free)
        metrics["weight_change"] = weight_change(start, model)
        finished = replace(step, options={**step.options, **resolved}, metrics=metrics)
        written = save_checkpoint(target, model, replace(expected, steps=[*request.record.steps, finished]))
        for path, write in (beside or {}).items():
            write(path, bookmark, written.digest)
        if request.booking:
            request.booking.publish(step.command, written.digest)
    tell_change(tell, metrics, 1 / len(request.record.classes))
    return Written(step.command, target, written, time.monotonic() - begun, request.path)


def _work(
    model: nn.Module,
    request: Request,
    machine: Machine,
    rows: NDArray[np.int64],
    bookmark: Bookmark,
    work: Work,
    *,
    free: dict[str, Tensor] | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Change the model; return the step's metrics, before and after, and the options that it searched for."""
    classifier = on_machine(model, request.record, machine)
    forget = take(request.dataset.train, rows, machine.device)
    before = measure(classifier, forget, request.dataset, machine.device)
    tune = take(request.dataset.test, request.dataset.tune_rows, machine.device)
    with masked(model, free):
        outcome = work(classifier, tune, bookmark)
    for parameter in model.parameters():
        parameter.grad = None  # gradients are as large as the model
    after = measure(classifier, forget, request.dataset, machine.device)
    metrics = outcome.metrics | after | {f"{name}_before": value for name, value in before.items()}
    return metrics, outcome.resolved


def _estimate(model: nn.Module, request: Request, machine: Machine) -> str:
    """Say how long a pass of training takes over the ids, and over the retained samples."""
    classifier, passes = on_machine(model, request.record, machine), []
    for rows, name in ((request.forget_rows, "ids"), (request.retain_rows, "retained samples")):
        samples = take(request.dataset.train, rows[:BATCH], machine.device)
        passes.append(f"{about(pass_seconds(classifier, samples, len(rows)))} over the {name}")
    return f"a pass of training takes {', '.join(passes)}"


def log_beside(log: str | None) -> dict[Path, Beside]:
    """Return the log that a command writes beside its checkpoint, if any, and what writes it."""
    return {Path(log): lambda path, bookmark, _: publish_lines(path, bookmark.log)} if log else {}


def tell_change(tell: Tell, metrics: dict[str, Any], chance: float) -> None:
    """Say on stderr what a step changed, each figure before → after."""
    unseen = f"{metrics['test_accuracy_before']:.2%} → {metrics['test_accuracy']:.2%}"
    tell(Note(f"  accuracy, unseen samples   {unseen} (chance {chance:.0%})"))
    if "forget_accuracy" in metrics:
        moved = f"{metrics['forget_accuracy_before']:.2%} → {metrics['forget_accuracy']:.2%}"
        tell(Note(f"  accuracy, forget set       {moved}"))
        tell(Note(f"  mean φ, forget set         {metrics['forget_phi_before']:.2f} → {metrics['forget_phi']:.2f}"))
    if metrics.get("tune_auc") is not None:
        moved = f"{metrics['tune_auc_before']:.3f} → {metrics['tune_auc']:.3f}"
        tell(Note(f"  membership AUC, tune half  {moved} (½: as if never seen)"))
    tell(Note(f"  weights changed by         {metrics['weight_change']:.2%} of their norm"))


def warn_unmoved(tell: Tell, metrics: dict[str, Any], cure: str) -> None:
    """Say so when a step left the forget set as it was, and what may help.

    That is: as many are right as before, and mean φ fell by less than a quarter of its spread on unseen samples.
    """
    if metrics.get("tune_phi_sd_before") is None:  # nothing but canaries was forgotten, or there is nothing beside
        return
    fall = metrics["forget_phi_before"] - metrics["forget_phi"]
    as_right = metrics["forget_accuracy"] >= metrics["forget_accuracy_before"]
    if as_right and fall < 0.25 * metrics["tune_phi_sd_before"]:
        text = (
            f"this moved nothing: {metrics['forget_accuracy']:.2%} of the ids are right as before, mean φ "
            f"{metrics['forget_phi_before']:.2f} → {metrics['forget_phi']:.2f}, "
            f"weights by {metrics['weight_change']:.2%}; whatever was remembered still is; "
            f"{cure}"
        )
        tell(Warned("unmoved", text))
