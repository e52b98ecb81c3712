"""Gradient ascent on the forget set, alone or held by descent on the retain set (NegGrad+).

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
from torch.optim import Optimizer

from forgetkit.training.batches import passes
from forgetkit.training.classifier import Samples
from forgetkit.training.loop import fit


def ascend(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    optimizer: Optimizer,
    alpha: float = 0.95,
    epochs: int = 10,
    batch_size: int = 128,
    forget_batch: int = 64,
    seed: int = 0,
    done: int = 0,
) -> Iterator[Tensor]:
    """Descend α·CE(retained, y) − (1 − α)·CE(forgotten, y); yield the loss of each step.

    An epoch is a pass over the retain set; with α = 0, which reads nothing of it, over the forget set.
    Normalisation and dropout are in eval mode: forgotten samples must not move running statistics.

    Args:
        model: maps images to logits; changed in place.
        forget: images and labels of the forget set.
        retain: images and labels of the retain set.
        optimizer: over the model's parameters.
        alpha: weight of the retained samples, in [0, 1].
        epochs: passes.
        batch_size: retained samples in a step.
        forget_batch: forgotten samples in a step.
        seed: of the order.
        done: steps that were taken before, and are passed over.

    Source: Kurmanji et al. 2023, section 4.
    """
    count = ceil(len(retain[1]) / batch_size) if alpha else ceil(len(forget[1]) / forget_batch)
    forgotten = passes(len(forget[1]), forget_batch, seed=seed, purpose="ascend forget")
    retained = passes(len(retain[1]), batch_size, seed=seed, purpose="ascend retain")
    batches = ((gone, rows) for (_, gone), (_, rows) in zip(forgotten, retained, strict=True))

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        gone, rows = batch
        if not alpha:
            return -cross_entropy(model(forget[0][gone]), forget[1][gone])
        logits = model(torch.cat([retain[0][rows], forget[0][gone]]))
        kept = cross_entropy(logits[: len(rows)], retain[1][rows])
        return alpha * kept - (1 - alpha) * cross_entropy(logits[len(rows) :], forget[1][gone])

    model.eval()
    yield from fit(optimizer, islice(batches, done, epochs * count), loss)
