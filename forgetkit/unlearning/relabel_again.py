"""Relabeling a further request of a stream at the setting that was found for an earlier one, without a rehearsal.

To find a rate for a few ids, relabeling rehearses on 200 retained samples, up to ten times. In a stream of requests of
one size, the record of the model holds what an earlier search found. It is used again as long as accuracy is kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import nn
from torch.optim import Optimizer

from forgetkit.events import Note, Tell, Tried
from forgetkit.files.record import Record
from forgetkit.training.classifier import state_of
from forgetkit.training.recipe import MACHINE
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, walk
from forgetkit.unlearning.membership_gauge import describe
from forgetkit.unlearning.outcome import Outcome
from forgetkit.unlearning.relabel_steps import RelabelSteps
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.tuning_groups import FEWEST, fault_of, gauge_on, why_others

FOUND = {"mix", "rate", "joint_steps", "norm_statistics"}
"""Options that a search finds."""
LIMITS = {"sequence_limit", "max_divergence", "on_limit", "references"}
IRRELEVANT = FOUND | LIMITS | MACHINE | {"searched"}
"""Options that a setting does not depend on."""


@dataclass(frozen=True)
class Known:
    """A setting that was found before: kind of steps, rate, and number of joint steps."""

    kind: str
    rate: float
    joint_steps: int | None


def known_setting(record: Record, options: dict[str, Any], ids: int) -> Known | None:
    """Return what a search found since the last training, with these options and for a request of this size.

    Args:
        record: of the model.
        options: of the step, as far as they are known before it.
        ids: number of ids; from 100 on, the ids themselves show the right rate.
    """
    if "rate" not in options["searched"] or ids >= FEWEST:
        return None
    for step in reversed(record.steps):
        if step.trains:
            return None
        of, count = step.options, (step.ids or {}).get("count")
        rehearsed = step.metrics.get("reused") or "rehearsed" in step.metrics.get("judged", "")
        if step.command != "relabel" or "rate" not in of.get("searched", []) or count != ids or not rehearsed:
            continue
        if _method(of) == _method(options) and options["mix"] in {"auto", of["mix"]}:
            return Known(of["mix"], of["rate"], of["joint_steps"])
    return None


def _method(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that a found setting depends on."""
    kept = {name: value for name, value in options.items() if name not in IRRELEVANT}
    return kept | {"optimizer_state": kept.get("optimizer_state") is not None}


def relabel_again(
    model: nn.Module, sets: Sets, steps: RelabelSteps, known: Known, *, bookmark: Bookmark, tell: Tell
) -> Outcome | None:
    """Take the steps of a known setting; None if accuracy was lost, with the model as it was.

    Args:
        model: changed in place.
        sets: forget set, retain set and tune half.
        steps: begins the steps.
        known: the setting.
        bookmark: keeps and recalls the state of the run.
        tell: receives what is done.
    """
    if bookmark.replay() is not None or not why_others(sets):  # it failed before an interruption; or the ids show more
        return None
    tell(Note(f"  as for the last request of {len(sets.forget)} ids: {known.kind}, rate {known.rate:.2g}"))
    gauge, start = gauge_on(sets, seed=steps.seed), state_of(model)
    kept = gauge.read(model).accuracy + sets.eroded

    def begin() -> tuple[Optimizer, Iterator[Update]]:
        """Begin the steps."""
        optimizer, updates = steps.begin(known.kind, model, sets.forget, sets.retain, known.rate)
        return optimizer, islice(updates, known.joint_steps)

    optimizer, taken = walk(bookmark, "again", model, begin)
    reading = gauge.read(model)
    fault = fault_of(reading, kept, steps.settings.utility_margin)
    tell(Tried(f"{known.kind} at {known.rate:.2g}", taken, fault or describe(reading)))
    if fault:
        model.load_state_dict(start)
        bookmark.record(fault)
        return None
    resolved = {"mix": known.kind, "rate": known.rate, "joint_steps": known.joint_steps}
    return Outcome({"steps": taken, "reused": True, "trials": []}, resolved, optimizer=optimizer)
