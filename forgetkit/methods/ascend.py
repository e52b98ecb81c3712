"""Gradient ascent on the forget set, alone or together with descent on the retain set (NegGrad+).

Source: Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, section 4 (NegGrad and NegGrad+):
descend α·CE(retained) − (1 − α)·CE(forgotten). Settings: α 0.95, SGD 0.01, 10 epochs over the retain set; α 0 is
plain ascent, of Golatkar et al., "Eternal Sunshine of the Spotless Net", CVPR 2020.
"""

from collections.abc import Iterator
from itertools import islice
from math import ceil

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training.batches import passes
from forgetkit.training.classifier import Samples
from forgetkit.training.updates import Update


def ascend(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    alpha: float = 0.95,
    epochs: int = 10,
    batch_size: int = 128,
    ids_per_step: int = 64,
    seed: int = 0,
) -> Iterator[Update]:
    """Descend α·CE(retained, y) − (1 − α)·CE(forgotten, y).

    An epoch is a pass over the retain set; with α = 0, which does not read it, over the forget set. Batch norm and
    dropout are in train mode; with α = 0, in eval mode: forgotten samples alone must not change running statistics.

    Args:
        model: maps images to logits.
        forget: images and labels of the forget set.
        retain: images and labels of the retain set.
        alpha: weight of the retained samples, in [0, 1].
        epochs: passes.
        batch_size: retained samples in a step.
        ids_per_step: forgotten samples in a step.
        seed: seed of the order.

    Source: Kurmanji et al. 2023, section 4.
    """
    steps = ceil(len(retain[1]) / batch_size) if alpha else ceil(len(forget[1]) / ids_per_step)
    forgotten = passes(len(forget[1]), ids_per_step, seed=seed, purpose="ascend forget")
    retained = passes(len(retain[1]), batch_size, seed=seed, purpose="ascend retain")

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return α·CE(retained, y) − (1 − α)·CE(forgotten, y) of a batch of rows."""
        gone, rows = batch
        if not alpha:
            return -cross_entropy(model.eval()(forget[0][gone]), forget[1][gone])
        logits = model.train()(torch.cat([retain[0][rows], forget[0][gone]]))
        kept = cross_entropy(logits[: len(rows)], retain[1][rows])
        return alpha * kept - (1 - alpha) * cross_entropy(logits[len(rows) :], forget[1][gone])

    for (over, gone), (epoch, rows) in islice(zip(forgotten, retained, strict=True), epochs * steps):
        yield Update(loss, (gone, rows), epoch if alpha else over)
