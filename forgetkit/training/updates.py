"""Updates: the steps of an optimizer that a method yields, carried out one after another."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.events import Tell, progress, silent
from forgetkit.training.cuda_graphs import graphs_of, take_step
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
    """
    graphs = graphs_of(optimizer)
    step = graphs.take_step if graphs else take_step
    for update in updates:
        yield step(optimizer, update.loss, update.batch)


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


def walk(
    bookmark: Bookmark,
    loop: str,
    model: nn.Module,
    begin: Callable[[], tuple[Optimizer, Iterator[Update]]],
    *,
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

    def place() -> Place:
        """Return the position to keep."""
        return Place({"steps": taken}, pack(model, optimizer))

    for _ in progress(fit(optimizer, updates), label, total - taken, tell):
        taken += 1
        bookmark.reached(loop, place)
    return optimizer, taken
