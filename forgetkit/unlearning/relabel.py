"""Random relabeling of the forget set of a request, at a given learning rate or at one found by search."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Note, Tell, Warned, silent
from forgetkit.files.id_list import draw
from forgetkit.models.optimizer_state import find_optimizer
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.device import Machine, set_up
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import Recipe, recorded_epochs
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, walk
from forgetkit.unlearning.fallback import or_retrain
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.membership_gauge import Reading, describe, keeps_accuracy, recognisable
from forgetkit.unlearning.outcome import Beside, Inputs, Outcome
from forgetkit.unlearning.relabel_again import known_setting, relabel_again
from forgetkit.unlearning.relabel_options import Relabel
from forgetkit.unlearning.relabel_search import RelabelSearch
from forgetkit.unlearning.relabel_steps import RelabelSteps, joint_budget
from forgetkit.unlearning.sets import Sets, no_samples, tensor_sets
from forgetkit.unlearning.step import carry_out, new_step, norm_statistics, on_module, warn_if_lost, warn_if_unmoved
from forgetkit.unlearning.step_options import StepOptions
from forgetkit.unlearning.stream_judge import stream_judge
from forgetkit.unlearning.stream_limits import Limits
from forgetkit.unlearning.tuning_groups import FEWEST, gauge_on, tuning_groups, warn_if_not_memorised


@overload
def relabel(
    model: str | Path,
    ids: Ids | None = None,
    settings: Relabel | None = None,
    options: StepOptions | None = None,
    *,
    limits: Limits | None = None,
    mask: str | None = None,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Act on a checkpoint."""


@overload
def relabel(
    model: nn.Module,
    ids: None = None,
    settings: Relabel | None = None,
    options: StepOptions | None = None,
    *,
    forget: Samples,
    retain: Samples,
    unseen: Samples,
    tell: Tell = silent,
) -> Outcome:
    """Act on a module."""


def relabel(
    model: str | Path | nn.Module,
    ids: Ids | None = None,
    settings: Relabel | None = None,
    options: StepOptions | None = None,
    *,
    limits: Limits | None = None,
    mask: str | None = None,
    forget: Samples | None = None,
    retain: Samples | None = None,
    unseen: Samples | None = None,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | Outcome | None:
    """Forget ids by random relabeling (Li & Ghosh 2023).

    Args:
        model: path of a checkpoint, beside which the result is written; or a module, which is changed in place.
        ids: for a checkpoint, path of an ID list or the ids themselves, if not in ``options``.
        settings: how to relabel.
        options: what is read, where to compute, what is written; for a module only the seed counts.
        limits: limits of a stream of requests on checkpoints.
        mask: path of a file that says which weights may change; all if not given.
        forget: for a module, images and labels to forget.
        retain: for a module, images and labels to keep.
        unseen: for a module, images and labels that it was not trained on: they choose a setting.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives every trial.

    Returns:
        for a checkpoint, what was written, or was there already, None in a dry run; for a module, the metrics.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if no rate forgets and keeps accuracy, or past a limit.
    """
    settings, options = settings or Relabel(), (options or StepOptions()).writing(out)
    if isinstance(model, nn.Module):
        sets = tensor_sets(forget, retain, unseen, ids, limits, mask)
        return _relabel_module(model, sets, settings, options.seed, tell)
    no_samples(forget, retain, unseen)
    limits = limits or Limits()
    limits.check()
    settings.check()
    request = begin("relabel", str(model), options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    retrain = limits.on_limit == "retrain"
    if settings.mix == "joint" or retrain:
        request.check_retained()
    if settings.order == "shuffle":
        request = replace(request, ids=draw(request.ids, len(request.ids), options.seed))
    of = options.compute
    machine = set_up(of.device, "float32" if of.precision == "auto" else of.precision, of.threads)

    def attempt() -> Written | None:
        """Carry out the step."""
        limits.check_sequence(request)
        return _relabel(request, settings, options, limits, machine, mask, tell)

    return or_retrain("relabel", request, machine, options.output, attempt, retrain=retrain, tell=tell)


def _relabel_module(model: nn.Module, sets: Sets, settings: Relabel, seed: int, tell: Tell) -> Outcome:
    settings.check()
    steps = RelabelSteps(settings, sets.classes, seed)
    budget = joint_budget(Recipe().epochs, len(sets.retain), settings)

    def work(classifier: nn.Module, given: Sets, bookmark: Bookmark) -> Outcome:
        """Relabel the forget set."""
        return relabel_sets(classifier, given, steps, budget, bookmark=bookmark, tell=tell)

    return on_module(model, sets, work)


def _relabel(
    request: Request,
    settings: Relabel,
    options: StepOptions,
    limits: Limits,
    machine: Machine,
    mask: str | None,
    tell: Tell,
) -> Written | None:
    record, classes = request.record, len(request.record.classes)
    kept = find_optimizer(request.path, record.digest, settings.optimizer) if settings.keep_optimizer else None
    if settings.keep_optimizer and kept is None:
        text = (
            f"there is no state of {settings.optimizer} beside {request.path} that matches; the optimizer starts afresh"
        )
        tell(Warned("optimizer-state-missing", text))
    judge = stream_judge(limits, request, machine, margin=settings.utility_margin, tell=tell)
    said = {
        **settings.options(classes, kept[1] if kept else None),
        **judge.options,
        **machine.options(),
        "searched": settings.searched + limits.searched,
    }
    if settings.kind != "per-id":
        said |= norm_statistics(frozen=False)
    steps = RelabelSteps(settings, classes, options.seed, kept[0] if kept else None)
    budget = joint_budget(recorded_epochs(record.recipe), len(request.retain_rows), settings)
    known = None if mask else known_setting(record, said, len(request.ids))

    def work(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Relabel the forget set."""
        again = known and relabel_again(classifier, sets, steps, known, bookmark=bookmark, tell=tell)
        found = again or relabel_sets(classifier, sets, steps, budget, bookmark=bookmark, tell=tell)
        if settings.kind == "auto" and found.resolved["mix"] == "per-id":
            return replace(found, resolved=found.resolved | norm_statistics(frozen=True))
        return found

    inputs, beside = Inputs(models=judge.models, mask=mask), Beside(optimizer=settings.keep_optimizer)
    step = new_step("relabel", said, options.seed, request)
    written = carry_out(request, step, machine, options, judge.around(work), inputs=inputs, beside=beside, tell=tell)
    if settings.fixed is not None and settings.kind == "per-id":
        warn_if_unmoved(written, "raise --rate, or omit it to search for one", tell)
        warn_if_lost(written, settings.utility_margin, "lower --rate, or omit it to search for one", tell)
    return written


def relabel_sets(
    classifier: nn.Module, sets: Sets, steps: RelabelSteps, budget: int, *, bookmark: Bookmark, tell: Tell
) -> Outcome:
    """Relabel the forget set: at the rate given, or search for one.

    Args:
        classifier: changed in place.
        sets: forget set, retain set and tune half.
        steps: begins the steps.
        budget: joint steps at most.
        bookmark: keeps and recalls the state of the run.
        tell: receives every trial.

    Raises:
        NotReached: if nothing that was tried both forgets and keeps accuracy; if a fixed rate loses accuracy or, with
            100 ids or more, leaves them recognisable, and that was not allowed.
    """
    how = steps.settings
    lone = np.setdiff1d(sets.forget.labels, sets.retain.labels).size
    if how.replay and how.kind != "joint" and lone:
        tell(Warned("nothing-to-replay", f"{lone} of the ids' classes have no retained sample to replay"))
    if how.fixed is not None and how.kind == "per-id":
        return _at_fixed_rate(classifier, sets, steps, how.fixed, bookmark, tell)
    groups = tuning_groups(sets, seed=steps.seed)
    return RelabelSearch(classifier, sets.forget, groups, steps, budget, bookmark, tell).run()


def _at_fixed_rate(
    classifier: nn.Module, sets: Sets, steps: RelabelSteps, rate: float, bookmark: Bookmark, tell: Tell
) -> Outcome:
    """Take the paper's steps, one for each id."""
    how, gauge = steps.settings, None if steps.settings.allow_unforgotten else gauge_on(sets, seed=steps.seed)
    before = gauge.read(classifier) if gauge else None
    if before and len(sets.measured) >= FEWEST:
        warn_if_not_memorised(before, tell)
    elif before:
        tell(
            Note(f"  {len(sets.measured)} ids are too few to judge whether they are forgotten; only accuracy is judged")
        )

    def begin() -> tuple[Optimizer, Iterator[Update]]:
        """Begin the steps at the fixed rate."""
        return steps.begin("per-id", classifier, sets.forget, sets.retain, rate)

    total = steps.most("per-id", len(sets.forget), 0)
    optimizer, taken = walk(bookmark, "ids", classifier, begin, label="relabel", total=total, tell=tell)
    if gauge and before:
        after = gauge.read(classifier)
        # Outputs that are not finite read as wrong; the measurement after the step calls the model diverged.
        if keeps_accuracy(after, before, 0.0) or bool(torch.isfinite(predict(classifier, gauge.guard[0])).all()):
            _check_result(after, before, sets, how, rate)
    return Outcome({"steps": taken}, optimizer=optimizer)


def _check_result(after: Reading, before: Reading, sets: Sets, how: Relabel, rate: float) -> None:
    """Refuse a model that lost accuracy, or that still recognises 100 ids or more; raises NotReached."""
    moved = f"{describe(before)} → {describe(after)}"
    kept = before.accuracy + sets.eroded
    if not keeps_accuracy(after, replace(before, accuracy=kept), how.utility_margin):
        since = " after the last training" if sets.eroded else ""
        lost = f"accuracy on the tune half falls from {kept:.2%}{since} to {after.accuracy:.2%}"
        hint = "lower --rate, add --replay, omit --rate to search for one, or pass --allow-unforgotten"
        raise NotReached(f"at rate {rate:g} {lost}, by more than {how.utility_margin:g}", hint)
    if len(sets.measured) >= FEWEST and recognisable(after, before):
        hint = "raise --rate, omit it to search for one, or pass --allow-unforgotten"
        raise NotReached(f"at rate {rate:g} the ids are still recognisable: {moved}", hint)
