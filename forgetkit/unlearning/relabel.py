"""Relabelling of a request: at the rate given, or at the one that ends where a retrained model would be."""

from collections.abc import Iterator
from dataclasses import replace

from torch.optim import Optimizer

from forgetkit.errors import NotReached
from forgetkit.events import Tell, silent
from forgetkit.files.id_list import draw
from forgetkit.models.optimizer_state import find_optimizer
from forgetkit.options import StepOptions
from forgetkit.training.classifier import Classifier
from forgetkit.training.device import Machine, set_up
from forgetkit.training.loop import Update, walk
from forgetkit.training.outputs import Written
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.fallback import check_limits, or_retrain
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.membership_gauge import recognisable
from forgetkit.unlearning.relabel_options import Relabel
from forgetkit.unlearning.relabel_search import RelabelSearch
from forgetkit.unlearning.relabel_steps import RelabelSteps, joint_budget
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import Beside, Inputs, Outcome, carry_out, new_step, warn_if_unmoved
from forgetkit.unlearning.stream_limits import Limits, open_references
from forgetkit.unlearning.tuning_groups import (
    FEWEST,
    gauge_on,
    tuning_groups,
    warn_if_not_memorised,
)


def relabel(
    checkpoint: str,
    settings: Relabel | None = None,
    options: StepOptions | None = None,
    *,
    limits: Limits | None = None,
    mask: str | None = None,
    ids: Ids | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Forget ids in a checkpoint by random relabeling, and write the result beside it (Li & Ghosh 2023).

    Args:
        checkpoint: path of the input.
        settings: how to relabel.
        options: what is read, where to compute, what is written.
        limits: limits of a stream of requests.
        mask: path of a file that says which weights may change; all if not given.
        ids: path of an ID list, or the ids themselves; instead of ``options.ids``.
        tell: told every trial.

    Returns:
        what was written, or was there already; None in a dry run.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if no rate both forgets and keeps accuracy, or a limit is
            exceeded; then nothing is written.
    """
    settings, options, limits = settings or Relabel(), options or StepOptions(), limits or Limits()
    settings.check()
    limits.check()
    request = begin("relabel", checkpoint, options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    if settings.mix == "joint" or limits.on_limit == "retrain":
        request.check_retained()
    if settings.order == "shuffle":
        request = replace(request, ids=draw(request.ids, len(request.ids), options.seed))
    precision = "float32" if options.compute.precision == "auto" else options.compute.precision
    machine = set_up(options.compute.device, precision, options.compute.threads)

    def attempt() -> Written | None:
        limits.check_sequence(request)
        return _relabel(request, settings, options, limits, machine, mask, tell)

    retrain = limits.on_limit == "retrain"
    return or_retrain("relabel", request, machine, options.output, attempt, retrain=retrain, tell=tell)


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
    references = open_references(limits.reference or [], request)
    said = {
        **settings.options(classes, kept[1] if kept else None),
        **limits.options([reference.digest for _, reference in references]),
        **machine.options(),
        "searched": settings.searched + limits.searched,
    }
    steps = RelabelSteps(settings, classes, options.seed, kept[0] if kept else None)
    budget = joint_budget(record, len(request.retain_rows), settings)

    def work(classifier: Classifier, sets: Sets, bookmark: Bookmark) -> Outcome:
        outcome = relabel_sets(classifier, sets, steps, budget, bookmark=bookmark, tell=tell)
        so_far = Sets.of_request(request.with_all_forgotten, machine.device)
        judged = check_limits(classifier, so_far, limits, references, machine)
        bound = {"max_divergence": judged["divergence_bound"]} if "divergence_bound" in judged else {}
        metrics, resolved = {**outcome.metrics, **judged}, {**outcome.resolved, **bound}
        return replace(outcome, metrics=metrics, resolved=resolved)

    inputs = Inputs(models=tuple(path for path, _ in references), mask=mask)
    beside = Beside(optimizer=settings.keep_optimizer)
    step = new_step("relabel", said, options.seed, request)
    written = carry_out(request, step, machine, options, work, inputs=inputs, beside=beside, tell=tell)
    if settings.fixed is not None and settings.kind == "per-id":
        warn_if_unmoved(written, "raise --rate, or leave it out to search for it", tell)
    return written


def relabel_sets(
    classifier: Classifier, sets: Sets, steps: RelabelSteps, budget: int, *, bookmark: Bookmark, tell: Tell
) -> Outcome:
    """Relabel the forget set: at the rate given, or search for one.

    Args:
        classifier: changed in place.
        sets: forget set, retain set and tune half.
        steps: begins the steps.
        budget: joint steps at most.
        bookmark: keeps and recalls the state of the run.
        tell: told every trial.

    Raises:
        NotReached: if nothing that was tried both forgets and keeps accuracy; or if a fixed rate left at least 100 ids
            as recognisable as they were.
    """
    how = steps.settings
    if how.fixed is not None and how.kind == "per-id":
        return _at_fixed_rate(classifier, sets, steps, how.fixed, bookmark, tell)
    groups = tuning_groups(sets, seed=steps.seed)
    return RelabelSearch(classifier, sets.forget.samples, groups, steps, budget, bookmark, tell).run()


def _at_fixed_rate(
    classifier: Classifier, sets: Sets, steps: RelabelSteps, rate: float, bookmark: Bookmark, tell: Tell
) -> Outcome:
    """Take the paper's steps, one for each id."""
    judged = not steps.settings.allow_unforgotten and len(sets.measured) >= FEWEST
    gauge = gauge_on(sets, seed=steps.seed) if judged else None
    before = gauge.read(classifier) if gauge else None
    if before:
        warn_if_not_memorised(before, tell)
    retain = sets.retain.samples if steps.settings.replay else sets.retain.gather(sets.retain.rows[:0])

    def begin() -> tuple[Optimizer, Iterator[Update]]:
        return steps.begin("per-id", classifier, sets.forget.samples, retain, rate)

    total = steps.most("per-id", len(sets.forget), 0)
    optimizer, taken = walk(bookmark, "ids", classifier, begin, label="relabel", total=total, tell=tell)
    if gauge and before and recognisable(after := gauge.read(classifier), before):
        moved = f"membership AUC less ½ {before.gap:+.3f} → {after.gap:+.3f}"
        hint = "raise --rate, leave it out to search for it, or --allow-unforgotten"
        raise NotReached(f"at rate {rate:g} the ids are as recognisable as before: {moved}", hint)
    return Outcome({"steps": taken}, optimizer=optimizer)
