"""Neutralization of a request: until an accuracy on the ids, as published, or until they look like unseen samples."""

from pathlib import Path
from typing import overload

from torch import nn

from forgetkit.events import Tell, silent
from forgetkit.training.classifier import Samples
from forgetkit.training.device import Machine, machine_for
from forgetkit.training.outputs import Written
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.fallback import or_retrain
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.method_options import Neutralize
from forgetkit.unlearning.neutralization import Neutralization
from forgetkit.unlearning.outcome import Beside, Inputs, Outcome, Work
from forgetkit.unlearning.sets import Sets, no_samples, tensor_sets
from forgetkit.unlearning.step import carry_out, new_step, on_module
from forgetkit.unlearning.step_options import MethodOptions
from forgetkit.unlearning.stream_judge import stream_judge
from forgetkit.unlearning.stream_limits import Limits


@overload
def neutralize(
    model: str | Path,
    ids: Ids | None = None,
    settings: Neutralize | None = None,
    options: MethodOptions | None = None,
    *,
    limits: Limits | None = None,
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
    limits: Limits | None = None,
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
        limits: limits of a stream of requests on checkpoints.
        forget: for a module, images and labels to forget.
        retain: for a module, images and labels to keep.
        unseen: for a module, images and labels that it was not trained on: they choose a setting.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        for a checkpoint, what was written, or was there already, None in a dry run; for a module, the metrics.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if the goal was not reached, or a limit is exceeded; then nothing
            is written.
    """
    settings, options = settings or Neutralize(), (options or MethodOptions()).writing(out)
    settings.check(limited=limits is not None and limits.max_divergence is not None)
    seed, logged = options.seed, options.log is not None

    def work(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Neutralize the forget set."""
        return Neutralization(settings, classifier, sets, seed, logged, bookmark, tell).carry_out()

    if isinstance(model, nn.Module):
        return on_module(model, tensor_sets(forget, retain, unseen, ids, limits, options.mask), work)
    no_samples(forget, retain, unseen)
    limits = limits or Limits()
    limits.check()
    request = begin("neutralize", str(model), options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    retrain, machine = limits.on_limit == "retrain", machine_for(options.compute)
    if retrain:
        request.check_retained()

    def attempt() -> Written | None:
        """Carry out the step."""
        limits.check_sequence(request)
        return _neutralize(request, settings, options, limits, machine, work, tell)

    return or_retrain("neutralize", request, machine, options.output, attempt, retrain=retrain, tell=tell)


def _neutralize(
    request: Request,
    settings: Neutralize,
    options: MethodOptions,
    limits: Limits,
    machine: Machine,
    work: Work,
    tell: Tell,
) -> Written | None:
    names = request.record.classes
    judge = stream_judge(limits, request, machine, margin=settings.utility_margin, tell=tell)

    def named(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Neutralize, and name the classes in the metrics."""
        outcome = work(classifier, sets, bookmark)
        contrast = {names[true]: names[wrong] for true, wrong in outcome.metrics["contrast"].items()}
        return Outcome({**outcome.metrics, "contrast": contrast})

    said = {**settings.options(len(request.ids)), **judge.options, **machine.options()}
    if limits.searched:
        said["searched"] = limits.searched
    step = new_step("neutralize", said, options.seed, request)
    inputs, beside = Inputs(models=judge.models, mask=options.mask), Beside(log=options.log)
    return carry_out(request, step, machine, options, judge.around(named), inputs=inputs, beside=beside, tell=tell)
