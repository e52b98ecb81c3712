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

from forgetkit.batches import augmented, drawn_changes, shuffled
from forgetkit.compute import seed_for, seed_generators
from forgetkit.errors import ForgetkitError
from forgetkit.graphs import graphs_of, take_step
from forgetkit.history import LOOP, History, Position, go_on, place_of
from forgetkit.models.finite import check_gradients, cure
from forgetkit.recipe import Recipe
from forgetkit.resume import Bookmark

B = TypeVar("B")
T = TypeVar("T")
P = ParamSpec("P")
Batch = tuple[Tensor, ...]
Samples = tuple[Tensor, Tensor]
"""Images, of shape ``(samples, …)``, and labels, int64 of shape ``(samples,)``."""
AT_ONCE = {"cpu": (8, 256, 1 << 20), "cuda": (256, 4096, 1 << 23)}
"""Images of a batch of evaluation, at least and at most, and pixel values: with more, what the layers of a model make
leaves a CPU's cache; with fewer, a GPU waits for its host."""


class Classifier(nn.Module):
    """A model with its input: uint8 images in, float32 logits out.

    Args:
        model: maps normalised float images to logits.
        mean: per channel, in units of a pixel's value.
        std: per channel, likewise.
        precision: ``float32``, or ``bfloat16`` for autocast.

    The parameters are the model's own; no tensor is copied.
    """

    def __init__(self, model: nn.Module, *, mean: list[float], std: list[float], precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        device = next(model.parameters()).device
        self.mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, -1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits ``(batch, classes)`` of uint8 images ``(batch, channels, height, width)``."""
        inputs = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16"):
            logits: Tensor = self.model(inputs)
        return logits.float()


def fit(optimizer: Optimizer, batches: Iterable[B], loss: Callable[[B], Tensor]) -> Iterator[Tensor]:
    """Take one optimizer step for each of ``batches``; yield its loss. The caller stops by stopping to ask.

    On a GPU, steps on tensors are recorded and launched whole (:mod:`forgetkit.graphs`): what ``loss`` reads beside its
    batch must stay the same.

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
"""Train to the end; returns the :class:`forgetkit.history.History`."""


def drawn_batches(images: Tensor, recipe: Recipe, *, seed: int, epoch: int, part: float = 1.0) -> list[Batch]:
    """Return the rows of each step of an epoch and what :func:`forgetkit.batches.augmented` takes, where images lie.

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


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, *, batch_size: int | None = None) -> Tensor:
    """Return the logits ``(samples, classes)`` of ``images`` in eval mode; the model's mode is left as it was.

    The batch size, if not given, follows from the images: :func:`at_once`.
    They are written into one tensor: small ones, kept from batch to batch among large ones that come and go, would cut
    the free memory into pieces that no batch fits into, and a pass over 200,000 images then takes 2 GB more.
    """
    mode = model.training
    model.eval()
    logits: Tensor
    if not len(images):  # many a model cannot take an empty batch
        logits = model(images.new_zeros(1, *images.shape[1:]))[:0]
    batch_size = batch_size or at_once(images)
    for start in range(0, len(images), batch_size):
        found = model(images[start : start + batch_size])
        if not start:
            logits = found.new_empty(len(images), *found.shape[1:])
        logits[start : start + batch_size] = found
    model.train(mode)
    return logits


def at_once(images: Tensor) -> int:
    """Return how many of ``images`` to evaluate at a time: on a CPU, 256 of 32×32 pixels, 8 of 224×224."""
    least, most, values = AT_ONCE.get(images.device.type, (256, 256, 0))
    return min(most, max(least, values // max(images[:1].numel(), 1)))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose largest logit is their label's; in [0, 1]."""
    return int((logits.argmax(1) == labels).sum()) / max(len(labels), 1)


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


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's state, which :meth:`torch.nn.Module.load_state_dict` takes."""
    kept = model.state_dict()  # keeps the versions that some modules look for
    kept.update({name: tensor.clone() for name, tensor in kept.items()})
    return kept
