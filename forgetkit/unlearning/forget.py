"""Forgetting for an operator who does not choose a method: within a budget, or else by retraining.

Joint steps take the ids to what models that never saw them say of them, and hold the retain set at its labels. Those
models are shadow models, trained beforehand; without them, a second teacher is trained without the ids for a fifth of
the recipe's epochs.
"""

import shlex
from pathlib import Path

import numpy as np
from torch import nn

from forgetkit.data.of_checkpoint import dataset_of, keeping_data
from forgetkit.events import Tell, Warned, silent
from forgetkit.request_book.book import booking_of
from forgetkit.training.device import machine_for
from forgetkit.training.outputs import Written, output_path
from forgetkit.training.resume import Bookmark
from forgetkit.training.shadows import shadows_of
from forgetkit.unlearning.attempt import Attempt
from forgetkit.unlearning.distillation import STUDENT
from forgetkit.unlearning.fallback import or_retrain, retraining
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.inputs import Ids, Request, begin
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.refresh import Refresh
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import carry_out, new_step
from forgetkit.unlearning.step_options import StepOptions


def forget(
    model: str | Path,
    ids: Ids | None = None,
    settings: Forget | None = None,
    options: StepOptions | None = None,
    *,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Forget ids in a checkpoint with shadow models or a second teacher, or retrain; write the result beside it.

    Args:
        model: path of the checkpoint.
        ids: path of an ID list, or the ids themselves, if not in ``options``.
        settings: how much it may cost.
        options: what is read, where to compute, what is written.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        what was written, or was there already; None in a dry run.

    Raises:
        ForgetkitError: for bad input; ``not-reached`` if it fails and ``settings.otherwise`` is ``stop``.
    """
    settings, options = settings or Forget(), (options or StepOptions()).writing(out)
    settings.check()
    with keeping_data():
        request = begin("forget", str(model), options, ids=ids, answers=False, tell=tell)
        written = request if isinstance(request, Written) else _step(request, settings, options, tell)
        if written and not options.output.dry_run:
            _finish(written, settings, options, tell)
    return written


def _step(request: Request, settings: Forget, options: StepOptions, tell: Tell) -> Written | None:
    """Take the step on a request, or retrain."""
    request.check_retained()
    machine, seed = machine_for(options.compute), options.seed
    if settings.retrain:
        if request.booking:
            request.booking.check_open(again=options.output.force)
        again = retraining(request, machine, output_path(request.path, "forget", options.output.out))
        return again.carry_out(tell, options.output)
    shadows = shadows_of(request.path, request.record, settings.shadows, tell)
    run = Attempt(settings, request, machine, seed, tell, shadows)
    said = {"budget": settings.share, **machine.options(), "searched": run.searched}
    step = new_step("forget", said, seed, request)

    def work(classifier: nn.Module, _: Sets, __: Bookmark) -> Outcome:
        """Forget the ids."""
        return run.carry_out(classifier)

    def attempt() -> Written | None:
        """Carry out the step."""
        return carry_out(request, step, machine, options, work, tell=tell)

    retrain = settings.otherwise == "retrain"
    return or_retrain("forget", request, machine, options.output, attempt, retrain=retrain, tell=tell)


def _finish(written: Written, settings: Forget, options: StepOptions, tell: Tell) -> None:
    """Make the shadow models forget as well, or warn that they still hold ids; then the request is answered.

    They take the same step. Where the model took it in vain, it would do as little for them: they are to be retrained.
    """
    record, path = written.record, written.source or written.path
    if shadows := shadows_of(path, record, settings.shadows, silent):
        dataset = dataset_of(path, record, options.source, silent)
        ids = dataset.train.ids_at(np.flatnonzero(record.forgotten.contains(dataset.train.ids)))
        last = record.steps[-1]
        rate = last.options["rate"] if last.options.get("way") == "shadows" else STUDENT.rate or 0.0
        in_vain = any(tried["way"] == "shadows" and tried["cost"] for tried in last.metrics.get("attempts") or [])
        if not (settings.leave_shadows or in_vain):
            machine = machine_for(options.compute)
            Refresh(shadows.folder, dataset, machine, options.seed, tell, rate, options.output.fresh).carry_out(ids)
        elif stale := shadows.stale(ids):
            text = f"{len(stale)} of {len(shadows)} shadow models still hold ids that the model has forgotten"
            how = "--exactly" if in_vain else f"--rate {rate:g}"
            lists = options.ids if options.ids and "-" not in options.ids else ["IDS.txt"]
            given = shlex.join([str(shadows.folder), *(word for name in lists for word in ("--ids", name))])
            tell(Warned("shadows-stale", f"{text}: forgetkit shadows refresh {given} {how}"))
    if booking := booking_of(options.booked.request, options.booked.book):
        booking.answer(written.path, record, again=options.output.force)
