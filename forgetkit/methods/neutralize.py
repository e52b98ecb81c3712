"""Neutralization, the first of two stages: train the forget set towards contrastive labels.

Source: Kim & Woo, "Efficient Two-stage Model Retraining for Machine Unlearning", CVPR Workshops 2022,
section 3.2 and Algorithms 1 to 3.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples
from forgetkit.training.updates import Update


def average_outputs(outputs: Tensor, labels: Tensor) -> Tensor:
    """Average the original model's outputs over the forget set's samples of each class.

    Args:
        outputs: logits or probabilities, of shape ``(samples, classes)``.
        labels: int64 of shape ``(samples,)``.

    Returns:
        float64 of shape ``(classes, classes)``, on the CPU, ∞ where no label may be chosen: the diagonal, the
        rows of classes without samples, and their columns, which stay finite if only one class is present.

    Raises:
        ValueError: if an output is not finite: it could not be told from a closed entry.

    Source: Kim & Woo 2022, Algorithm 1.
    """
    outputs, labels = outputs.cpu(), labels.cpu()  # some devices have no float64
    if not torch.isfinite(outputs).all():
        raise ValueError("outputs that are NaN or infinite cannot be averaged")
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


def one_to_one(matrix: Tensor) -> dict[int, int]:
    """Assign each class the label with the smallest output, one to one.

    The smallest entry of the whole matrix is taken, its row and column are removed, and so on (greedy matching). A
    class whose only remaining column is its own takes its smallest entry among the columns used before.

    Args:
        matrix: what :func:`average_outputs` returns.

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


def for_each(matrix: Tensor) -> dict[int, int]:
    """Assign each class by itself the label with the smallest output; two classes may get the same one.

    Args:
        matrix: what :func:`average_outputs` returns.

    Returns:
        the label to train towards, for each class with samples; never the class itself.

    Source: Kim & Woo 2022, section 5.2.
    """
    return {row: int(values.argmin()) for row, values in enumerate(matrix) if torch.isfinite(values).any()}


def mislabel(outputs: Tensor, labels: Tensor, *, kind: str, match: str) -> dict[int, int]:
    """Return the contrastive labels of a forget set.

    Args:
        outputs: the original's logits or probabilities, of shape ``(samples, classes)``.
        labels: int64 of shape ``(samples,)``.
        kind: ``minimum``, the class with the lowest average output, or ``maximum``, the one with the highest other than
            its own, whether or not its own is on top.
        match: ``one-to-one``, as Algorithm 2 assigns them, or ``each`` class by itself, as section 5.2 reads.

    Source: Kim & Woo 2022, sections 3.2 and 5.2.
    """
    matrix = average_outputs(outputs if kind == "minimum" else -outputs, labels)
    return one_to_one(matrix) if match == "one-to-one" else for_each(matrix)


def neutralize(
    model: nn.Module, forget: Samples, *, contrast: dict[int, int], batch_size: int, epochs: int, seed: int = 0
) -> Iterator[Update]:
    """Train the forget set towards its contrastive labels.

    Batch norm and dropout are in eval mode: forgotten samples must not change running statistics.

    Args:
        model: maps images to logits.
        forget: images and labels of the forget set, of shape ``(samples, …)`` and ``(samples,)``.
        contrast: what :func:`mislabel` returns.
        batch_size: samples in a step.
        epochs: passes over the forget set at most; the caller stops at its goal.
        seed: seed of the order.

    Source: Kim & Woo 2022, Algorithm 3.
    """
    images, labels = forget
    lookup = torch.zeros(max(max(contrast), int(labels.max())) + 1, dtype=torch.int64, device=labels.device)
    for true, wrong in contrast.items():
        lookup[true] = wrong
    targets = lookup[labels]
    model.eval()

    def loss(rows: Tensor) -> Tensor:
        """Return CE(forgotten, contrastive label)."""
        return cross_entropy(model(images[rows]), targets[rows])

    for epoch in range(1, epochs + 1):
        for rows in shuffled(len(labels), batch_size, seed=seed, epoch=epoch):
            yield Update(loss, rows, epoch)
