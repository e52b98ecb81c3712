"""A method that yields updates, carried out on a request: all of them, or until the ids look like unseen samples."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import ceil

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Note, Tell, silent
from forgetkit.files.record import Record
from forgetkit.models.build import build_model
from forgetkit.registry import FAILURES, place_of
from forgetkit.training.classifier import Classifier, Samples, on_machine
from forgetkit.training.device import Machine, machine_for, seed_for
from forgetkit.training.draws import key_of
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.outputs import Written
from forgetkit.training.recipe import recorded_epochs
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, seeded, walk
from forgetkit.unlearning.backtracking import Braking
from forgetkit.unlearning.early_stopping import Begin, stop_when_forgotten
from forgetkit.unlearning.inputs import begin
from forgetkit.unlearning.membership_gauge import describe, recorded
from forgetkit.unlearning.method_options import StepSettings
from forgetkit.unlearning.outcome import Beside, Inputs, Outcome
from forgetkit.unlearning.rewind import rewind
from forgetkit.unlearning.sets import Pool, Sets
from forgetkit.unlearning.step import carry_out, new_step, norm_statistics, warn_if_lost, warn_if_unmoved
from forgetkit.unlearning.step_options import MethodOptions
from forgetkit.unlearning.tuning_groups import steps_between, tuning_groups

GROUPS = 8
"""Groups of retained samples that steps are rehearsed on at most."""
BATCH = 128
"""Retained samples in a step of a method that does not say how many it takes."""

Method = Callable[..., Iterable[Update | Tensor]]
"""``(model, forget, retain, *, …)``: yields updates, or losses whose step is taken for it."""


def run_method(
    command: str,
    method: Method,
    checkpoint: str,
    settings: StepSettings,
    options: MethodOptions,
    *,
    code: str | None = None,
    onward: bool = False,
    tell: Tell = silent,
) -> Written | None:
    """Carry out a method on a checkpoint: read, take its steps, write.

    The method is called with the model, the forget set and the retain set, and with those keyword arguments that its
    signature names: any of the settings; ``optimizer``; ``seed``, which differs from request to request, so that a
    stream of them does not always meet the same retained samples; ``keys``, 64 bits of the digest of each id;
    ``classes``; and ``untrained``, which returns a network of the same architecture with new weights.

    Args:
        command: its name.
        method: yields its updates.
        checkpoint: the input.
        settings: the method's settings.
        options: what is read, where to compute, what is written.
        code: digest of the code of a method from outside, for the record: other code is another step.
        onward: whether the method goes too far at first and comes back: then all its steps are taken.
        tell: receives the events of the run.

    Raises:
        ForgetkitError: as :func:`forgetkit.unlearning.inputs.begin` and :func:`forgetkit.unlearning.step.carry_out`.
    """
    settings.check()
    request = begin(command, checkpoint, options, tell=tell)
    if isinstance(request, Written):
        return request
    request.check_retained()
    machine = machine_for(options.compute)
    resolved = {
        **settings.options(len(request.record.classes)),
        **machine.options(),
        **({"code": code} if code else norm_statistics(frozen=not settings.uses_retained)),
    }

    def work(classifier: nn.Module, sets: Sets, bookmark: Bookmark) -> Outcome:
        """Take the method's steps."""
        run = MethodRun(method, settings, request.record, machine, options.seed, onward)
        return run.carry_out(classifier, sets, bookmark, tell)

    step = new_step(command, resolved, options.seed, request)
    inputs, beside = Inputs(mask=options.mask), Beside(log=options.log)
    written = carry_out(request, step, machine, options, work, inputs=inputs, beside=beside, tell=tell)
    warn_if_unmoved(written, "raise --rate or --epochs, or use another method", tell)
    warn_if_lost(written, settings.utility_margin, "lower --rate, or stop at the goal: --stop unseen", tell)
    return written


@dataclass(frozen=True)
class MethodRun:
    """A method with its settings, on one model.

    Attributes:
        method: yields its updates.
        settings: its settings.
        record: of the checkpoint: the architecture.
        machine: where to compute.
        seed: seed of everything random.
        onward: whether all steps are taken, whatever an evaluation shows.
    """

    method: Method
    settings: StepSettings
    record: Record
    machine: Machine
    seed: int
    onward: bool

    def begin(self, model: nn.Module, forget: Pool, retain: Samples) -> tuple[Optimizer, Iterator[Update]]:
        """Return an optimizer, and the method's updates for the model as it is."""
        how, classes = self.settings, len(self.record.classes)
        optimizer = make_optimizer(
            model, how.optimizer, rate=how.rate, momentum=how.momentum, weight_decay=how.weight_decay
        )
        seed = seed_for(self.seed, key_of(forget.keys))
        offered = {
            **how.options(classes),
            "optimizer": optimizer,
            "seed": seed,
            "keys": forget.keys,
            "classes": classes,
            "untrained": self._untrained,
        }
        named = inspect.signature(self.method).parameters
        given = {name: value for name, value in offered.items() if name in named}
        updates = as_updates(self.method(model, forget.samples, retain, **given), self.method)
        return optimizer, seeded(updates, seed, retain[0].device)

    def _untrained(self) -> Classifier:
        """Return a network of the same architecture with new weights."""
        record = self.record
        name, options, shape = record.model["name"], record.model["options"], tuple(record.input["shape"])
        seed = seed_for(self.seed, "bad teacher")
        network = build_model(name, options, shape=shape, classes=len(record.classes), seed=seed)
        return on_machine(network, record, self.machine)

    def carry_out(self, classifier: nn.Module, sets: Sets, bookmark: Bookmark, tell: Tell) -> Outcome:
        """Take the method's steps; the classifier is changed in place.

        Raises:
            NotReached: if no state that was evaluated both forgets and keeps accuracy.
        """
        if self.settings.stop == "unseen":
            return self._until_forgotten(classifier, sets, bookmark, tell)

        def start() -> tuple[Optimizer, Iterator[Update]]:
            """Begin the method on the ids."""
            return self.begin(classifier, sets.forget, sets.retain.samples)

        if self.settings.stop == "rewind":
            return rewind(classifier, sets.forget.samples, sets.tune, start, bookmark)
        return Outcome({"steps": walk(bookmark, "steps", classifier, start, logged=True)[1]})

    def _until_forgotten(self, classifier: nn.Module, sets: Sets, bookmark: Bookmark, tell: Tell) -> Outcome:
        groups = tuning_groups(sets, seed=self.seed).first(GROUPS)
        before = groups.before(classifier)
        tell(Note(f"  {groups.describe()}"))
        tell(Note(f"  before: {describe(before)}"))
        batch, epochs = getattr(self.settings, "batch_size", BATCH), getattr(self.settings, "epochs", None)
        ids = getattr(self.settings, "ids_per_step", 1)
        steps = ceil(len(sets.forget) / ids) + ceil(len(groups.retain) / batch)
        begin_on: Begin = lambda group: self.begin(classifier, group, groups.retain.samples)  # noqa: E731
        found = stop_when_forgotten(
            classifier,
            sets.forget,
            groups,
            begin_on,
            Braking(before, self.settings.utility_margin, steps_between(groups.gauges[0], batch), self.onward),
            most=(epochs or recorded_epochs(self.record.recipe)) * steps,
            bookmark=bookmark,
            tell=tell,
        )
        seen = [{"step": one.step, **recorded(one.reading)} for one in found.seen]
        bookmark.log.extend(seen)
        shown = found.best or min(found.seen, key=lambda one: abs(one.reading.gap))
        tell(Note(f"  after {shown.step} steps: {describe(shown.reading)}"))
        hint = "try another --rate, more --epochs, a larger --utility-margin; or --stop published"
        if found.fault:
            raise NotReached(found.fault, hint)
        if found.best is None:
            nearest = f"after {shown.step} steps, {shown.reading.gap:+.3f} from the goal ({describe(shown.reading)})"
            message = (
                f"none of {len(seen)} evaluations shows the ids forgotten and accuracy kept; the closest {nearest}"
            )
            raise NotReached(message, hint)
        return Outcome({"steps": shown.step, "looks": seen, "judged": groups.describe()})


def as_updates(steps: Iterable[Update | Tensor], method: Method) -> Iterator[Update]:
    """Yield updates; a loss that a method yields becomes the update that minimizes it.

    Raises:
        ForgetkitError: ``plugin-malformed`` for anything else, and for an exception in the code of a plugin.
    """
    name = getattr(method, "__name__", "the method")
    if not isinstance(steps, Iterator):
        message = f"{name} returned {type(steps).__name__} instead of yielding losses"
        raise ForgetkitError("plugin-malformed", message, "write 'yield loss' for each step")
    try:
        for step in steps:
            if isinstance(step, Update):
                yield step
            elif isinstance(step, Tensor) and step.numel() == 1 and step.requires_grad:
                yield Update(_only, [step])  # in a list, since it cannot be recorded
            else:
                message = f"{name} yielded {type(step).__name__}, not a scalar loss that depends on the model"
                raise ForgetkitError("plugin-malformed", message, "yield the loss itself; the step is taken for you")
    except FAILURES as problem:
        if (place := place_of(problem)) is None:
            raise
        message = f"{place}: {type(problem).__name__}: {problem}"
        raise ForgetkitError("plugin-malformed", message, "correct the plugin") from problem


def _only(batch: list[Tensor]) -> Tensor:
    return batch[0]
