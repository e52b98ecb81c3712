"""Neutralization, the first of two stages: train the forget set towards contrastive labels.

Source: Kim & Woo, "Efficient Two-stage Model Retraining for Machine Unlearning", CVPR Workshops 2022,
section 3.2 and Algorithms 1 to 3.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import accuracy, at_once, predict
from forgetkit.training.device import generator_for
from forgetkit.training.loop import fit

SMALLEST = 8
"""Samples that a look takes at a time, at the least."""


@dataclass(frozen=True)
class Look:
    """One look at the forget set: after how many steps and (part) epochs, and its accuracy in [0, 1].

    The accuracy is that of the samples which were looked at, where a goal ended the look.
    """

    step: int
    epoch: float
    accuracy: float


def average_outputs(outputs: Tensor, labels: Tensor) -> Tensor:
    """Average the original model's outputs over the forget set's samples of each class.

    Args:
        outputs: logits or probabilities, of shape ``(samples, classes)``.
        labels: int64 of shape ``(samples,)``.

    Returns:
        float64 of shape ``(classes, classes)``, on the CPU, ∞ where no label may be taken from: the diagonal,
        the rows of classes without samples, and their columns, except where all samples are of one class.

    Source: Kim & Woo 2022, Algorithm 1.
    """
    outputs, labels = outputs.cpu(), labels.cpu()  # some devices have no float64
    classes = outputs.shape[1]
    counts = torch.bincount(labels, minlength=classes)
    matrix = torch.zeros(classes, classes, dtype=torch.float64)
    matrix.index_add_(0, labels, outputs.double())
    matrix /= counts.clamp(min=1)[:, None]
    absent = counts == 0
    matrix[absent] = math.inf
    if (~absent).sum() > 1:
        matrix[:, absent] = math.inf
    return matrix.fill_diagonal_(math.inf)


def contrastive_labels(matrix: Tensor) -> dict[int, int]:
    """Match each class to the one that the original model finds least like it, one to one.

    The smallest entry of the whole matrix is taken, its row and column are closed, and so on. A class
    that is left with only its own column takes its smallest entry among the columns used before.

    Args:
        matrix: what :func:`average_outputs` returns; its negative outputs give the maximum mislabel.

    Returns:
        the label to train towards, for each class with samples; never the class itself.

    Source: Kim & Woo 2022, Algorithm 2.
    """
    open_, found = matrix.clone(), dict[int, int]()
    for _ in range(int(torch.isfinite(matrix).any(1).sum())):
        source, target = divmod(int(open_.argmin()), len(matrix))
        if not torch.isfinite(open_[source, target]):
            (source,) = [row for row in range(len(matrix)) if torch.isfinite(matrix[row]).any() and row not in found]
            target = int(matrix[source].argmin())
        found[source] = target
        open_[source] = math.inf
        open_[:, target] = math.inf
    return found


def mislabel(outputs: Tensor, labels: Tensor, *, kind: str) -> dict[int, int]:
    """Return the contrastive labels of a forget set: the ``minimum`` mislabel, or the ``maximum`` of the ablation.

    Source: Kim & Woo 2022, sections 3.2 and 5.2.
    """
    return contrastive_labels(average_outputs(outputs if kind == "minimum" else -outputs, labels))


def neutralize(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    contrast: dict[int, int],
    optimizer: Optimizer,
    batch_size: int,
    epochs: Iterable[int],
    looks_per_epoch: int = 20,
    goal: float | None = None,
    seed: int = 0,
    done: int = 0,
    last: float = 1.0,
) -> Iterator[Look]:
    """Train the forget set towards its contrastive labels; yield each look. The caller stops at its goal.

    Normalisation and dropout are in eval mode. The first look is before the first step.

    Args:
        model: maps images to logits; changed in place.
        images: the forget set, of shape ``(samples, …)``.
        labels: true classes, int64 of shape ``(samples,)``.
        contrast: what :func:`mislabel` returns.
        optimizer: over the model's parameters.
        batch_size: samples in a step.
        epochs: the epochs at the most, counted from 1.
        looks_per_epoch: how often to measure the accuracy; 1 for the paper's Table 5.
        goal: a look ends as soon as it is certain that the accuracy is above; without it, each is at all samples.
        seed: seed of the order.
        done: steps that were taken before, and are passed over; the first look, then, too.
        last: accuracy of the look before.

    Source: Kim & Woo 2022, Algorithm 3.
    """
    order = torch.randperm(len(labels), generator=generator_for(seed, "look")).to(labels.device)

    def right() -> float:
        nonlocal last
        if goal is None:
            return accuracy(predict(model, images), labels)
        last = _right(model, images, labels, goal, order, last)
        return last

    if not done:
        yield Look(0, 0.0, right())
    steps = neutral_steps(
        model,
        images,
        labels,
        contrast=contrast,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
        done=done,
    )
    for taken, (epoch, step, count) in enumerate(steps, done + 1):
        if step % math.ceil(count / looks_per_epoch) == 0 or step == count:
            yield Look(taken, epoch - 1 + step / count, right())


def _right(model: nn.Module, images: Tensor, labels: Tensor, goal: float, order: Tensor, last: float) -> float:
    """Return the accuracy, or, where it is above ``goal``, that of the first samples by ``order`` that show so.

    A batch holds a tenth more than would show it at the ``last`` accuracy.
    """
    count, found, seen = len(labels), 0, 0
    size = min(at_once(images), max(SMALLEST, math.ceil(1.1 * (goal * count + 1) / max(last, goal, 0.1))))
    for rows in torch.split(order, size):
        seen += len(rows)
        found += int((predict(model, images[rows]).argmax(1) == labels[rows]).sum())
        if found / count > goal:
            break
    return found / max(seen, 1)


def neutral_steps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    contrast: dict[int, int],
    optimizer: Optimizer,
    batch_size: int,
    epochs: Iterable[int],
    seed: int = 0,
    done: int = 0,
) -> Iterator[tuple[int, int, int]]:
    """Take the steps of :func:`neutralize`, whose arguments these are, and look at nothing.

    Yields:
        after each step: the epoch, the step in it, and how many it has; all counted from 1.
    """
    lookup = torch.zeros(max(max(contrast), int(labels.max())) + 1, dtype=torch.int64, device=labels.device)
    for source, target in contrast.items():
        lookup[source] = target
    targets = lookup[labels]

    def loss(rows: Tensor) -> Tensor:
        return cross_entropy(model(images[rows]), targets[rows])

    model.eval()
    for epoch in epochs:
        batches = shuffled(len(labels), batch_size, seed=seed, epoch=epoch)
        over = min(done, len(batches))
        done -= over
        for step, _ in enumerate(fit(optimizer, batches[over:], loss), over + 1):
            yield epoch, step, len(batches)
