"""Updates: the steps of an optimizer that a method yields, carried out one after another."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, progress, silent
from forgetkit.files.interrupts import in_step
from forgetkit.processes import keep_freed_memory
from forgetkit.training.cuda_graphs import graphs_of, take_step
from forgetkit.training.device import seed_for, seed_generators
from forgetkit.training.packing import pack, unpack
from forgetkit.training.resume import Bookmark, Place


@dataclass(frozen=True)
class Update:
    """One step of an optimizer: the scalar loss to minimize, and its batch.

    Use the same function object for all updates with the same loss: a GPU then captures it once as a CUDA graph.

    Attributes:
        loss: takes ``batch``.
        batch: a tensor or a tuple of tensors.
        epoch: pass over the data that the update belongs to, counted from 1; 0 where that does not matter.
    """

    loss: Callable[[Any], Tensor]
    batch: Any
    epoch: int = 0


def fit(optimizer: Optimizer, updates: Iterable[Update]) -> Iterator[Tensor]:
    """Carry out ``updates``; yield the loss of each. To stop early, stop iterating.

    On a GPU, steps on tensors are captured and replayed as CUDA graphs (:mod:`forgetkit.training.cuda_graphs`): what a
    loss reads besides its batch must stay the same.

    Raises:
        ForgetkitError: ``usage`` where batch norm would have to norm one value by itself.
    """
    graphs = graphs_of(optimizer)
    step = graphs.take_step if graphs else take_step
    for update in updates:
        try:
            with in_step():
                loss = step(optimizer, update.loss, update.batch)
        except ValueError as problem:
            if "more than 1 value per channel" not in str(problem):  # torch's words
                raise
            raise too_few_for_batch_norm() from problem
        yield loss
        keep_freed_memory()


def too_few_for_batch_norm() -> ForgetkitError:
    """Return the error for a batch of one sample, which batch norm cannot norm by itself."""
    hint = "raise --batch-size; if only one sample is left to train on, use neutralize or relabel, which do without"
    return ForgetkitError("usage", "batch norm cannot train on one sample at a time", hint)


def started(updates: Iterator[Update], done: int = 0) -> Iterator[Update]:
    """Skip the first ``done`` updates and return the others.

    What a method computes before its first update, such as a teacher's outputs, is computed here, while the model still
    is as the method found it.
    """
    if done:
        for _ in islice(updates, done):
            pass
        return updates
    first = list(islice(updates, 1))
    return chain(first, updates)


def seeded(updates: Iterable[Update], seed: int, device: torch.device) -> Iterator[Update]:
    """Yield the updates; during each, dropout draws by its number, without effect on other draws of the process."""
    for step, update in enumerate(updates):
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            seed_generators(device, seed_for(seed, "dropout", step))
            yield update


def cosine(done: float) -> float:
    """Return what a rate is multiplied by after a share of a run: 1 at its start, 0 at its end."""
    return 0.5 * (1 + math.cos(math.pi * done))


def annealed(optimizer: Optimizer, updates: Iterable[Update], steps: int, *, warm: float = 0.0) -> Iterator[Update]:
    """Yield ``steps`` updates; before each, set the rates, which fall from those of the optimizer to 0 along a cosine.

    Args:
        optimizer: its rates are the largest.
        updates: at least ``steps``.
        steps: how many are yielded.
        warm: share of them over which the rates first rise. Adam's first steps are as large as its rate, whatever the
            gradients are.
    """
    rates, rising = [group["lr"] for group in optimizer.param_groups], int(warm * steps)
    for step, update in enumerate(islice(updates, steps)):
        share = (step + 1) / (rising + 1) if step < rising else cosine((step - rising) / (steps - rising))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        yield update


class EpochLog:
    """Adds an entry to a log for each epoch: its number, its steps and their mean loss, null if that is not finite.

    Updates that name no epoch make one entry, without a number.

    Args:
        entries: the log; None for no log.
        left: the position of an interrupted run, which continues within an epoch.
    """

    def __init__(self, entries: list[dict[str, Any]] | None, left: Place | None) -> None:
        self.entries = entries
        self.epoch, self.steps, self.total = 0, 0, torch.zeros(())
        if left and entries is not None:
            (self.epoch, self.steps), self.total = left.at["epoch"], left.tensors["loss"]

    def watched(self, updates: Iterator[Update]) -> Iterator[Update]:
        """Yield the updates; where an epoch begins, end the one before."""
        for update in updates:
            if update.epoch != self.epoch:
                self.end()
            self.epoch = update.epoch
            yield update

    def add(self, loss: Tensor) -> None:
        """Add the loss of a step, of shape ``()``."""
        if self.entries is not None:
            self.steps, self.total = self.steps + 1, self.total.to(loss.device) + loss

    def place(self, place: Place) -> Place:
        """Return a position together with that within the epoch."""
        if self.entries is None:
            return place
        return Place(place.at | {"epoch": [self.epoch, self.steps]}, place.tensors | {"loss": self.total.cpu()})

    def end(self) -> None:
        """Write the entry of the epoch, if it has steps."""
        if self.entries is not None and self.steps:
            mean = float(self.total) / self.steps
            number = {"epoch": self.epoch} if self.epoch else {}
            self.entries.append({**number, "steps": self.steps, "loss": mean if math.isfinite(mean) else None})
        self.steps, self.total = 0, torch.zeros(())


def walk(
    bookmark: Bookmark,
    loop: str,
    model: nn.Module,
    begin: Callable[[], tuple[Optimizer, Iterator[Update]]],
    *,
    logged: bool = False,
    label: str = "",
    total: int = 0,
    tell: Tell = silent,
) -> tuple[Optimizer, int]:
    """Carry out all updates of a method, resuming where an interrupted run left off.

    Args:
        bookmark: keeps and recalls the state of the run.
        loop: name of the loop in that state.
        model: changed by the updates.
        begin: returns an optimizer, and the updates for the model as it is.
        logged: add an entry to the bookmark's log for each epoch (:class:`EpochLog`).
        label: of the progress events.
        total: number of updates, for the progress.
        tell: receives the progress.

    Returns:
        the optimizer, and the number of updates.
    """
    left = bookmark.open(loop)
    taken = left.at["steps"] if left else 0
    optimizer, updates = begin()
    updates = started(updates, taken)
    if left:
        unpack(left.tensors, model, optimizer)
    log = EpochLog(bookmark.log if logged else None, left)

    def place() -> Place:
        """Return the position to keep."""
        return log.place(Place({"steps": taken}, pack(model, optimizer)))

    for loss in progress(fit(optimizer, log.watched(updates)), label, total - taken, tell):
        taken += 1
        log.add(loss)
        bookmark.reached(loop, place)
    log.end()
    return optimizer, taken
