"""The only training loop: updates of an optimizer, one after another or in epochs."""

import math
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError
from forgetkit.events import Measured, Tell, progress, silent
from forgetkit.models.finite import check_gradients, cure
from forgetkit.training.batches import augmented, drawn_changes, shuffled
from forgetkit.training.classifier import Samples, accuracy, predict, state_of
from forgetkit.training.device import seed_for, seed_generators
from forgetkit.training.history import LOOP, History, Position, go_on, place_of
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, cosine, fit, too_few_for_batch_norm

T = TypeVar("T")
Batch = tuple[Tensor, ...]


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


def complete(steps: Generator[None, None, T]) -> T:
    """Take all steps of a training; return its result."""
    try:
        while True:
            next(steps)
    except StopIteration as ended:
        found: T = ended.value
        return found
    finally:
        steps.close()  # if a signal came between two steps


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
                group["lr"] = recipe.rate * cosine(done)
        seed_generators(device, seed_for(seed, "dropout", epoch, step))
        yield update


def _check_batch_norm(model: nn.Module, batches: list[Batch]) -> None:
    """Refuse a batch of one sample where batch norm would have to norm it by itself."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if any(len(rows) == 1 for rows, *_ in batches) and any(isinstance(part, norms) for part in model.modules()):
        raise too_few_for_batch_norm()
