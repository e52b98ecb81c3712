"""Joint steps: forgotten and retained samples in one step.

Steps on forgotten samples alone lose the model before the memory, where that is strong. Together with retained samples,
and with a small weight, they do not.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training.batches import passes
from forgetkit.training.classifier import Samples
from forgetkit.training.updates import Update


def joint(
    model: nn.Module,
    forget: Samples,
    targets: Callable[[int], Tensor],
    retain: Samples,
    *,
    forget_weight: float = 0.1,
    ids_per_step: int = 64,
    batch_size: int = 128,
    retain_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    by_epoch: bool = False,
    seed: int = 0,
) -> Iterator[Update]:
    """Descend CE(retained, y) + w·CE(forgotten, target), without end.

    Against a soft target the cross-entropy has the gradient of the divergence from it. Batch norm and dropout are in
    train mode, as in any step on retained samples: with the statistics that the forgotten samples contributed to, no
    step forgets.

    Args:
        model: maps images to logits.
        forget: images and labels of the forget set.
        targets: given a pass over the forget set, counted from 1, returns its soft targets, ``(samples, classes)``.
        retain: images and labels of the retain set.
        forget_weight: w, at least 0.
        ids_per_step: forgotten samples in a step, at least 1.
        batch_size: retained samples in a step, at least 1.
        retain_loss: of logits and rows of the retain set; None for the cross-entropy with their labels.
        by_epoch: ask for targets in each pass over the retain set instead.
        seed: seed of the order.
    """
    images = forget[0]
    forgotten = passes(len(images), ids_per_step, seed=seed, purpose="joint forget")
    retained = passes(len(retain[1]), batch_size, seed=seed, purpose="joint retain")

    def loss(batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return CE(retained, y) + w·CE(forgotten, target)."""
        forget_rows, soft, rows = batch
        logits = model.train()(torch.cat([retain[0][rows], images[forget_rows]]))
        of_retain, of_forget = logits[: len(rows)], logits[len(rows) :]
        kept = retain_loss(of_retain, rows) if retain_loss else cross_entropy(of_retain, retain[1][rows])
        return kept + forget_weight * cross_entropy(of_forget, soft)

    turn, soft = 0, torch.empty(0)
    for (number, forget_rows), (epoch, rows) in zip(forgotten, retained, strict=True):
        now = epoch if by_epoch else number
        turn, soft = now, soft if turn == now else targets(now)
        yield Update(loss, (forget_rows, soft[forget_rows], rows), epoch)
