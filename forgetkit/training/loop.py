"""The only training loop: updates of an optimizer, one after another or in epochs."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial, wraps
from itertools import chain, islice
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError
from forgetkit.events import Measured, Tell, progress, silent
from forgetkit.models.finite import check_gradients, cure
from forgetkit.training.batches import augmented, drawn_changes, shuffled
from forgetkit.training.classifier import Samples, accuracy, predict, state_of
from forgetkit.training.cuda_graphs import graphs_of, take_step
from forgetkit.training.device import seed_for, seed_generators
from forgetkit.training.history import LOOP, History, Position, go_on, place_of
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark, Place, pack, unpack

T = TypeVar("T")
P = ParamSpec("P")
Batch = tuple[Tensor, ...]


@dataclass(frozen=True)
class Update:
    """One step of an optimizer: the scalar loss to descend, and the batch that it takes.

    The loss is the same function for all updates in which it is the same: a GPU then records it once.

    Attributes:
        loss: takes ``batch``.
        batch: a tensor or a tuple of tensors.
        epoch: pass over the data that the update belongs to, counted from 1; 0 where that does not matter.
    """

    loss: Callable[[Any], Tensor]
    batch: Any
    epoch: int = 0


def fit(optimizer: Optimizer, updates: Iterable[Update]) -> Iterator[Tensor]:
    """Carry out ``updates``; yield the loss of each. The caller stops by stopping to ask.

    On a GPU, steps on tensors are recorded and launched whole (:mod:`forgetkit.training.cuda_graphs`): what a loss
    reads besides its batch must stay the same.
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
    """Carry out all updates of a method, from where an interrupted run stopped.

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


def fit_epochs(
    model: nn.Module,
    recipe: Recipe,
    *,
    optimizer: Optimizer,
    batches: Callable[[int], list[Batch]],
    loss: Callable[[int], Callable[[Batch], Tensor]],
    tune: Samples,
    seed: int,
    watch: Callable[[dict[str, Any]], None] | None = None,
    label: str = "train",
    tell: Tell = silent,
    bookmark: Bookmark | None = None,
) -> Generator[None, None, History]:
    """Train in epochs, in train mode.

    Accuracy on the tune half is measured after each epoch if ``recipe.keep`` is ``best`` or there is a ``watch``.

    Args:
        model: trained in place; with ``recipe.keep == "best"`` it ends as it was after the best epoch.
        recipe: number of epochs, schedule, and which epoch to keep.
        optimizer: its rate is the schedule's start.
        batches: given an epoch, counted from 1, returns the batch of each step: rows, and how they are augmented.
        loss: given an epoch, returns the scalar loss to descend; the same function for epochs in which it is the same.
        tune: images and labels of the tune half.
        seed: seed of dropout.
        watch: called with the measurements of every epoch.
        label: of the progress events.
        tell: receives the progress, and the loss of every epoch.
        bookmark: keeps and recalls the state of the run.

    Yields:
        after each step, so that other trainings can take theirs in between.

    Raises:
        ForgetkitError: ``diverged`` if the loss, or a gradient of the first steps, is not finite; ``usage`` for a
            batch of one sample and a model with batch norm.
    """
    history, bookmark = History(), bookmark or Bookmark()
    left, device = go_on(bookmark, history, model, optimizer), tune[0].device
    for epoch in progress(range(1, recipe.epochs + 1), label, recipe.epochs, tell):
        if left and epoch < left.epoch:
            continue
        given, descend = batches(epoch), loss(epoch)
        _check_batch_norm(model, given)
        steps = _scheduled(optimizer, recipe, epoch, [Update(descend, batch) for batch in given], seed, device)
        start = Position(epoch, *((left.step, left.total.to(device)) if left else (0, torch.zeros((), device=device))))
        left = None
        mean_loss = yield from _epoch(model, optimizer, steps, start, history, bookmark)
        history.epochs.append({"epoch": epoch, "loss": mean_loss / max(len(given), 1)})
        tell(Measured(f"loss {history.epochs[-1]['loss']:.3g}"))
        if recipe.keep == "best" or watch is not None:
            _measure(model, history, tune, keep=recipe.keep == "best")
        if watch:
            watch(history.epochs[-1])
    if history.best is not None:
        model.load_state_dict(history.best)
    return history


def _epoch(
    model: nn.Module,
    optimizer: Optimizer,
    updates: Iterator[Update],
    start: Position,
    history: History,
    bookmark: Bookmark,
) -> Generator[None, None, float]:
    """Carry out the updates of an epoch from ``start`` on; yield after each, return the sum of all losses."""
    model.train()
    total, device, precision = start.total, start.total.device, getattr(model, "precision", "float32")
    # of the model's own device only: torch would start every other GPU, and warn
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for step, value in enumerate(fit(optimizer, islice(updates, start.step, None)), start.step + 1):
            total = total + value
            check_gradients(model, step, precision)
            place = partial(place_of, history, Position(start.epoch, step, total), model, optimizer)
            bookmark.reached(LOOP, place)
            try:
                yield
            except GeneratorExit:  # another run was interrupted
                bookmark.keep(LOOP, place)
                raise
    if not math.isfinite(total):
        raise ForgetkitError("diverged", f"the loss is not finite in epoch {start.epoch}", cure(precision))
    return float(total)


def _measure(model: nn.Module, history: History, tune: Samples, *, keep: bool) -> None:
    """Add accuracy on the tune half to the last epoch; remember the epoch, and its weights, if it is the best."""
    entry = history.epochs[-1]
    entry["tune_accuracy"] = accuracy(predict(model, tune[0]), tune[1])
    if entry["tune_accuracy"] > history.best_right:
        history.best_epoch, history.best_right = entry["epoch"], entry["tune_accuracy"]
        history.best = state_of(model) if keep else None


def whole(steps: Callable[P, Generator[None, None, T]]) -> Callable[P, T]:
    """Return the function that takes all steps, and returns what they come to."""

    @wraps(steps)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        """Take all steps."""
        taken = steps(*args, **kwargs)
        try:
            while True:
                next(taken)
        except StopIteration as ended:
            found: T = ended.value
            return found
        finally:
            taken.close()  # where a signal came between two steps

    return run


def train_steps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    recipe: Recipe,
    optimizer: Optimizer,
    tune: Samples,
    seed: int,
    watch: Callable[[dict[str, Any]], None] | None = None,
    label: str = "train",
    tell: Tell = silent,
    bookmark: Bookmark | None = None,
) -> Generator[None, None, History]:
    """Train ``model`` on ``images`` and ``labels`` with cross-entropy, step by step; see :func:`fit_epochs`.

    Args:
        model: maps ``images`` to logits.
        images: of shape ``(samples, …)``.
        labels: int64 of shape ``(samples,)``.
        recipe: how.
        optimizer: over the model's parameters.
        tune: images and labels of the tune half.
        seed: seed of order, augmentation and dropout.
        watch: see :func:`fit_epochs`.
        label: see :func:`fit_epochs`.
        tell: see :func:`fit_epochs`.
        bookmark: see :func:`fit_epochs`.
    """

    def loss(batch: Batch) -> Tensor:
        """Return the cross-entropy of a batch."""
        rows, *changes = batch
        return cross_entropy(model(augmented(images[rows], *changes)), labels[rows])

    return fit_epochs(
        model,
        recipe,
        optimizer=optimizer,
        batches=lambda epoch: drawn_batches(images, recipe, seed=seed, epoch=epoch),
        loss=lambda _: loss,
        tune=tune,
        seed=seed,
        watch=watch,
        label=label,
        tell=tell,
        bookmark=bookmark,
    )


train = whole(train_steps)
"""Train to the end; returns the :class:`forgetkit.training.history.History`."""


def drawn_batches(images: Tensor, recipe: Recipe, *, seed: int, epoch: int, part: float = 1.0) -> list[Batch]:
    """Return the rows of each step of an epoch, with the arguments of :func:`forgetkit.training.batches.augmented`.

    Args:
        images: of shape ``(samples, …)``.
        recipe: batch size and augmentation.
        seed: of order and augmentation.
        epoch: counted from 1.
        part: share of the samples that this epoch draws, in (0, 1].
    """
    size = (images.shape[-2], images.shape[-1])

    def batch(rows: Tensor) -> Batch:
        """Return rows and how they are augmented."""
        return rows, *drawn_changes(recipe.augment, len(rows), size, seed_for(seed, epoch, int(rows[0])))

    batches = shuffled(len(images), recipe.batch_size, seed=seed, epoch=epoch, part=part)
    return [tuple(drawn.to(images.device) for drawn in batch(rows)) for rows in batches]


def _scheduled(
    optimizer: Optimizer, recipe: Recipe, epoch: int, updates: list[Update], seed: int, device: torch.device
) -> Iterator[Update]:
    """Yield ``updates``; before each, set its rate and the seed of dropout from its number."""
    for step, update in enumerate(updates):
        if recipe.schedule == "cosine":
            done = (epoch - 1 + step / len(updates)) / recipe.epochs
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * 0.5 * (1 + math.cos(math.pi * done))
        seed_generators(device, seed_for(seed, "dropout", epoch, step))
        yield update


def _check_batch_norm(model: nn.Module, batches: list[Batch]) -> None:
    """Refuse a batch of one sample where batch norm would have to norm it by itself."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if any(len(rows) == 1 for rows, *_ in batches) and any(isinstance(part, norms) for part in model.modules()):
        raise ForgetkitError("usage", "batch norm cannot train on one sample at a time", "raise --batch-size")
