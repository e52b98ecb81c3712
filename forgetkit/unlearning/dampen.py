"""Selective synaptic dampening of a request."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from forgetkit.events import Tell, silent
from forgetkit.methods.dampen import dampen as dampen_weights
from forgetkit.methods.importance import importance as importance_of
from forgetkit.training.classifier import take
from forgetkit.training.device import machine_for
from forgetkit.training.importance import read_importance
from forgetkit.training.outputs import Written
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.inputs import Ids, begin
from forgetkit.unlearning.method_options import Dampen
from forgetkit.unlearning.outcome import Beside, Inputs, Outcome
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.step import carry_out, new_step, warn_if_unmoved
from forgetkit.unlearning.step_options import StepOptions


def dampen(
    model: str | Path,
    ids: Ids | None = None,
    settings: Dampen | None = None,
    options: StepOptions | None = None,
    *,
    importance: str | None = None,
    importance_out: str | None = None,
    out: str | Path | None = None,
    tell: Tell = silent,
) -> Written | None:
    """Dampen the weights of a checkpoint that its ids depend on, and write the result beside it (Foster et al. 2024).

    Args:
        model: path of the checkpoint.
        ids: path of an ID list, or the ids themselves, if not in ``options``.
        settings: how to dampen.
        options: what is read, where to compute, what is written.
        importance: path of the importance of all weights for all samples, as an earlier call wrote it.
        importance_out: where to write that importance.
        out: path of the output, if not in ``options``; by default beside the input.
        tell: receives the events of the run.

    Returns:
        what was written, or was there already; None in a dry run.
    """
    settings, options = settings or Dampen(), (options or StepOptions()).writing(out)
    settings.check()
    request = begin("dampen", str(model), options, ids=ids, tell=tell)
    if isinstance(request, Written):
        return request
    machine = machine_for(options.compute)
    kept = read_importance(Path(importance), request.record) if importance is not None else None

    def work(classifier: nn.Module, sets: Sets, _: Bookmark) -> Outcome:
        """Dampen the classifier."""
        if kept is None:  # of all samples: the retain set and the ids; what was forgotten before is not read
            rows = np.union1d(request.retain_rows, request.forget_rows)
            of_all = importance_of(classifier, take(request.dataset.train, rows, machine.device))
        else:
            of_all = {name: value.to(machine.device) for name, value in kept[0].items()}
        of_forget = importance_of(classifier, sets.forget.samples)
        share = dampen_weights(classifier, of_forget, of_all, alpha=settings.alpha, strength=settings.strength)
        return Outcome({"dampened": share}, importance=of_all)

    said = {**asdict(settings), "importance": kept[1] if kept else None, **machine.options()}
    step = new_step("dampen", said, 0, request)
    inputs = Inputs(others=(Path(importance),) if importance is not None else ())
    beside = Beside(importance=importance_out)
    written = carry_out(request, step, machine, options, work, inputs=inputs, beside=beside, tell=tell)
    warn_if_unmoved(written, "lower --alpha or --strength", tell)
    return written
