"""fit() and predict(): the only training loop and the only evaluation loop."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial, wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError
from forgetkit.models.finite import check_gradients, cure
from forgetkit.training.batches import augmented, drawn_changes, shuffled
from forgetkit.training.classifier import accuracy, predict, state_of
from forgetkit.training.cuda_graphs import graphs_of, take_step
from forgetkit.training.device import seed_for, seed_generators
from forgetkit.training.history import LOOP, History, Position, go_on, place_of
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark

B = TypeVar("B")
T = TypeVar("T")
P = ParamSpec("P")
Batch = tuple[Tensor, ...]


def fit(optimizer: Optimizer, batches: Iterable[B], loss: Callable[[B], Tensor]) -> Iterator[Tensor]:
    """Take one optimizer step for each of ``batches``; yield its loss. The caller stops by stopping to ask.

    On a GPU, steps on tensors are recorded and launched whole (:mod:`forgetkit.training.cuda_graphs`): what ``loss``
    reads besides its batch must stay the same.

    Args:
        optimizer: what moves the weights.
        batches: what ``loss`` takes, one for each step.
        loss: the scalar to descend.
    """
    graphs = graphs_of(optimizer)
    for batch in batches:
        yield graphs.take_step(optimizer, loss, batch) if graphs else take_step(optimizer, loss, batch)


def fit_epochs(
    model: nn.Module,
    recipe: Recipe,
    *,
    optimizer: Optimizer,
    batches: Callable[[int], list[Batch]],
    loss: Callable[[int], Callable[[Batch], Tensor]],
    tune: tuple[Tensor, Tensor],
    seed: int,
    epochs: Iterable[int] | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    tell: Callable[[str], None] | None = None,
    bookmark: Bookmark | None = None,
) -> Generator[None, None, History]:
    """Train in epochs; after each, measure accuracy on the tune half, but only where somebody wants to know.

    That is: where ``recipe.keep`` is ``best``, or where there is a ``watch``.

    Args:
        model: trained in place, in train mode; with ``recipe.keep == "best"`` it ends as it was after the best epoch.
        recipe: number of epochs, schedule, and which epoch to keep.
        optimizer: its rate is the schedule's start.
        batches: what the loss takes in every step of an epoch (counted from 1): rows, and how they are changed.
        loss: the scalar to descend in an epoch; the same function for all epochs in which it is the same.
        tune: images and labels of the tune half.
        seed: seed of dropout and the like.
        epochs: ``range(1, recipe.epochs + 1)``, perhaps behind a progress bar.
        watch: told of every epoch.
        tell: shown the loss of every epoch.
        bookmark: where an earlier run stood, and where this one does.

    Yields:
        after each step: others may take theirs in between.

    Raises:
        ForgetkitError: ``diverged`` where the loss, or a gradient of the first steps, is not finite; ``usage`` for a
            batch of one sample and a model with batch norm.
    """
    history, bookmark = History(), bookmark or Bookmark()
    left = go_on(bookmark, history, model, optimizer)
    precision = getattr(model, "precision", "float32")
    every, device = recipe.keep == "best" or watch is not None, tune[0].device
    for epoch in epochs or range(1, recipe.epochs + 1):
        if left and epoch < left.epoch:
            continue
        model.train()
        given = batches(epoch)
        _check_batch_norm(model, given)
        done, total = (left.step, left.total.to(device)) if left else (0, torch.zeros((), device=device))
        left = None
        # of the model's own device only: torch would start every other GPU, and warn
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            steps = islice(_scheduled(optimizer, recipe, epoch, given, seed, device), done, None)
            for step, value in enumerate(fit(optimizer, steps, loss(epoch)), done + 1):
                total += value
                check_gradients(model, step, precision)
                place = partial(place_of, history, Position(epoch, step, total), model, optimizer)
                bookmark.reached(LOOP, place)
                try:
                    yield
                except GeneratorExit:  # another run was interrupted
                    bookmark.keep(LOOP, place)
                    raise
        mean_loss = float(total) / max(len(given), 1)
        if not math.isfinite(mean_loss):
            raise ForgetkitError("diverged", f"the loss is not finite in epoch {epoch}", cure(precision))
        history.epochs.append({"epoch": epoch, "loss": mean_loss})
        if tell:
            tell(f"loss {mean_loss:.3g}")
        if not every:
            continue
        right = history.epochs[-1]["tune_accuracy"] = accuracy(predict(model, tune[0]), tune[1])
        if right > history.best_right:
            history.best_epoch, history.best_right = epoch, right
            history.best = state_of(model) if recipe.keep == "best" else None
        if watch:
            watch(history.epochs[-1])
    if history.best is not None:
        model.load_state_dict(history.best)
    return history


def whole(steps: Callable[P, Generator[None, None, T]]) -> Callable[P, T]:
    """Return the function that takes all steps, and returns what they come to."""

    @wraps(steps)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
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
    tune: tuple[Tensor, Tensor],
    seed: int,
    epochs: Iterable[int] | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    tell: Callable[[str], None] | None = None,
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
        epochs: see :func:`fit_epochs`.
        watch: see :func:`fit_epochs`.
        tell: see :func:`fit_epochs`.
        bookmark: see :func:`fit_epochs`.
    """

    def loss(batch: Batch) -> Tensor:
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
        epochs=epochs,
        watch=watch,
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
        return rows, *drawn_changes(recipe.augment, len(rows), size, seed_for(seed, epoch, int(rows[0])))

    batches = shuffled(len(images), recipe.batch_size, seed=seed, epoch=epoch, part=part)
    return [tuple(drawn.to(images.device) for drawn in batch(rows)) for rows in batches]


def _scheduled(
    optimizer: Optimizer, recipe: Recipe, epoch: int, batches: list[Batch], seed: int, device: torch.device
) -> Iterator[Batch]:
    """Yield ``batches``; before each, set the rate of its step and the seed of dropout from the step's number."""
    for step, batch in enumerate(batches):
        if recipe.schedule == "cosine":
            done = (epoch - 1 + step / len(batches)) / recipe.epochs
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * 0.5 * (1 + math.cos(math.pi * done))
        seed_generators(device, seed_for(seed, "dropout", epoch, step))
        yield batch


def _check_batch_norm(model: nn.Module, batches: list[Batch]) -> None:
    """Refuse a batch of one sample where batch norm would have to norm it by itself."""
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    if any(len(rows) == 1 for rows, *_ in batches) and any(isinstance(part, norms) for part in model.modules()):
        raise ForgetkitError("usage", "batch norm cannot train on one sample at a time", "raise --batch-size")
