"""Joint steps: what is forgotten and what is retained, in one step.

A step on forgotten samples alone loses the model before the memory, where that is strong. Beside retained
samples, and with a small weight, it does not.
"""

from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.training.batches import passes
from forgetkit.training.classifier import Samples
from forgetkit.training.loop import fit


def joint(
    model: nn.Module,
    images: Tensor,
    targets: Callable[[int], Tensor],
    retain: Samples,
    *,
    optimizer: Optimizer,
    forget_weight: float = 0.1,
    forget_batch: int = 64,
    retain_batch: int = 128,
    retain_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    by_epoch: bool = False,
    seed: int = 0,
    done: int = 0,
) -> Iterator[Tensor]:
    """Descend CE(retained, y) + w·CE(forgotten, target) without end; yield the loss of each step.

    Against a soft target the cross-entropy has the gradient of the divergence from it. Normalisation and dropout are in
    eval mode: forgotten samples must not move running statistics.

    Args:
        model: maps images to logits; changed in place.
        images: the forget set, of shape ``(samples, …)``.
        targets: the soft targets of the forget set in a pass over it (counted from 1), float ``(samples, classes)``.
        retain: images and labels of the retain set.
        optimizer: over the model's parameters.
        forget_weight: w, at least 0.
        forget_batch: forgotten samples in a step, at least 1.
        retain_batch: retained samples in a step, at least 1.
        retain_loss: of logits and rows of the retain set; None for the cross-entropy with their labels.
        by_epoch: ask for targets in each pass over the retain set instead.
        seed: of the order.
        done: steps that were taken before, and are passed over.
    """

    def batches() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        forgotten = passes(len(images), forget_batch, seed=seed, purpose="joint forget")
        retained = passes(len(retain[1]), retain_batch, seed=seed, purpose="joint retain")
        now, soft = 0, torch.empty(0)
        for (number, forget_rows), (epoch, rows) in zip(forgotten, retained, strict=True):
            turn = epoch if by_epoch else number
            now, soft = turn, soft if turn == now else targets(turn)
            yield forget_rows, soft[forget_rows], rows

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        forget_rows, soft, rows = batch
        logits = model(torch.cat([retain[0][rows], images[forget_rows]]))
        of_retain, of_forget = logits[: len(rows)], logits[len(rows) :]
        kept = retain_loss(of_retain, rows) if retain_loss else cross_entropy(of_retain, retain[1][rows])
        return kept + forget_weight * cross_entropy(of_forget, soft)

    model.eval()
    yield from fit(optimizer, islice(batches(), done, None), loss)
