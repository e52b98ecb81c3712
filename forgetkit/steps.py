"""What every step does around its method: read and check, then compute, then write and report."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forgetkit.compute import Machine
from forgetkit.console import Console
from forgetkit.data.dataset import Dataset, Split
from forgetkit.data.gather import images_at
from forgetkit.errors import ForgetkitError
from forgetkit.estimate import BATCH, about, pass_seconds
from forgetkit.files.header import read_record
from forgetkit.files.lock import was_left
from forgetkit.files.publish import check_target, publish_lines
from forgetkit.files.record import Record, Step
from forgetkit.masking import masked, read_mask
from forgetkit.models.checkpoint import load, load_tensors, save_checkpoint
from forgetkit.models.finite import cure
from forgetkit.options import LongRun
from forgetkit.request import Request
from forgetkit.results import Written, asked_of, output_path, report_done, software, up_to_date
from forgetkit.resume import Bookmark, making
from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc
from forgetkit.training import Classifier, Samples, accuracy, predict

PART = 1 << 20
"""Weights that are compared at a time."""


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
    console: Console,
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
        console: what is said.
        output: where to write.
        others: further input files, which the output must not replace.
        models: further checkpoints, likewise; a dry run looks whether they can be read.
        beside: what the command writes beside the checkpoint, a log or an optimizer's state, and what writes it: it is
            given the path, the run's bookmark and the checkpoint's digest.
        measured: training rows to measure forgetting on; the request's ids less canaries if not given.
        mask: file that says which weights may move, if not all; its digest is recorded.
        work: changes the classifier; is given the images and labels of the tune half, and the run's bookmark.

    Returns:
        what was written, to be reported; None where nothing had to be (up to date, or a dry run).

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
        report_done(console, step.command, target, done, output, beside=files)
        return None
    if request.booking:
        request.booking.check_open()
    asked = asked_of(expected, files)
    force = output.force or was_left(target, asked)
    for path, inputs in ((target, ()), *((path, (target,)) for path in files)):
        check_target(path, force=force, inputs=(*request.inputs, *others, *models, *inputs))
    count = f"{len(request.ids)} ids, " if request.ids else ""
    console.note(
        f"{step.command}: {count}{len(request.retain_rows)} retained samples of {request.dataset.name}, "
        f"{machine.device} {machine.precision} {machine.threads} threads → {target}"
    )
    model, start = load(request.path, request.record)
    if output.dry_run:
        with masked(model, free):
            for path in models:
                load_tensors(path, read_record(path))
        console.note(f"dry run: nothing was written; {_estimate(model, request, machine)}")
        return None
    rows = request.measured_rows if measured is None else measured
    with making(target, files, asked=asked, force=force, fresh=output.fresh) as bookmark:
        metrics, resolved = _work(model, request, machine, rows, bookmark, work, free=free)
        metrics["weight_change"] = weight_change(start, model)
        finished = replace(step, options={**step.options, **resolved}, metrics=metrics)
        written = save_checkpoint(target, model, replace(expected, steps=[*request.record.steps, finished]))
        for path, write in (beside or {}).items():
            write(path, bookmark, written.digest)
        if request.booking:
            request.booking.publish(step.command, written.digest)
    tell_change(console, metrics, 1 / len(request.record.classes))
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


def on_machine(model: nn.Module, record: Record, machine: Machine) -> Classifier:
    """Put ``model`` on its device, behind the input of its record."""
    placed = model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(placed, mean=record.input["mean"], std=record.input["std"], precision=machine.precision)


def take(split: Split, rows: NDArray[np.int64], device: str) -> Samples:
    """Return images and labels of ``rows`` of a split, as tensors on ``device``."""
    return torch.from_numpy(images_at(split, rows)).to(device), torch.from_numpy(split.labels[rows]).to(device)


def measure(classifier: Classifier, forget: Samples, dataset: Dataset, device: str) -> dict[str, float | None]:
    """Measure a model on the forget set and the unseen split.

    Returns:
        ``test_accuracy`` over the whole unseen split, ``tune_accuracy`` over its tune half; for a forget set that is
        not empty also ``forget_accuracy``, ``forget_phi`` (mean φ), ``tune_auc`` (membership against the tune half;
        None where classes do not meet) and ``tune_phi_sd`` (spread of φ over the tune half; None for fewer than two).

    Raises:
        ForgetkitError: ``diverged`` where an output is not finite.
    """
    images, labels = take(dataset.test, np.arange(len(dataset.test)), device)
    unseen, labels = _predicted(classifier, images), labels.cpu()
    tune = torch.from_numpy(dataset.tune_rows)
    found: dict[str, float | None] = {
        "test_accuracy": accuracy(unseen, labels),
        "tune_accuracy": accuracy(unseen[tune], labels[tune]),
    }
    if len(forget[1]) == 0:
        return found
    logits, truth = _predicted(classifier, forget[0]), forget[1].cpu()
    scores = [phi(logits, truth), truth, phi(unseen[tune], labels[tune]), labels[tune]]
    found |= {"forget_accuracy": accuracy(logits, truth), "forget_phi": float(scores[0].mean())}
    found["tune_phi_sd"] = float(scores[2].std()) if len(tune) > 1 else None
    try:
        found["tune_auc"] = auc(*(values.numpy() for values in scores))
    except ValueError:
        found["tune_auc"] = None
    return found


def _predicted(classifier: Classifier, images: Tensor) -> Tensor:
    logits = predict(classifier, images)
    if not torch.isfinite(logits).all():
        message = "the model's outputs are not finite; nothing was written"
        raise ForgetkitError("diverged", message, cure(classifier.precision))
    return logits.cpu()


def weight_change(start: Mapping[str, Tensor], model: nn.Module) -> float:
    """Return ‖θ − θ₀‖ / ‖θ₀‖ over the floating-point tensors of a model; ``start`` lies on the CPU."""
    moved, length = [], []
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():  # in parts: doubles take twice the memory, and there are three
            both = (torch.split(one.reshape(-1), PART) for one in (tensor.detach().cpu(), start[name]))
            for now, before in ((one.double(), other.double()) for one, other in zip(*both, strict=True)):
                moved.append(float((now - before).square().sum()))
                length.append(float(before.square().sum()))
    return math.sqrt(math.fsum(moved) / total) if (total := math.fsum(length)) else 0.0


def tell_change(console: Console, metrics: dict[str, Any], chance: float) -> None:
    """Say on stderr what a step changed, each figure before → after."""
    unseen = f"{metrics['test_accuracy_before']:.2%} → {metrics['test_accuracy']:.2%}"
    console.note(f"  right on the unseen split  {unseen} (chance {chance:.0%})")
    if "forget_accuracy" in metrics:
        console.note(
            f"  right on the forget set    {metrics['forget_accuracy_before']:.2%} → {metrics['forget_accuracy']:.2%}"
        )
        console.note(f"  mean φ of the forget set   {metrics['forget_phi_before']:.2f} → {metrics['forget_phi']:.2f}")
    if metrics.get("tune_auc") is not None:
        moved = f"{metrics['tune_auc_before']:.3f} → {metrics['tune_auc']:.3f}"
        console.note(f"  membership AUC, tune half  {moved} (½: as if never seen)")
    console.note(f"  weights moved by           {metrics['weight_change']:.2%} of their norm")


def warn_unmoved(console: Console, metrics: dict[str, Any], cure: str) -> None:
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
        console.warn("unmoved", text)
