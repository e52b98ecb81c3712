"""Bad teaching: the original teaches the retain set, a teacher that knows nothing teaches the forget set.

Source: Chundawat et al., "Can Bad Teaching Induce Forgetting?", AAAI 2023, section 4: descend
(1 − l)·KL(p_θ₀ ‖ p_θ) + l·KL(p_bad ‖ p_θ), l = 1 on the forget set and 0 on a random part of the retain set, in mixed
batches. Settings: Adam 1e-4, 1 epoch, batch 256, T 1, 30 % of the retain set.
"""

from collections.abc import Callable, Iterator
from math import ceil

import torch
from torch import Tensor, nn

from forgetkit.methods.losses import divergence
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.device import generator_for
from forgetkit.training.updates import Update


def badteach(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    classes: int,
    untrained: Callable[[], nn.Module],
    target: str = "random-net",
    retain_fraction: float = 0.3,
    epochs: int = 1,
    batch_size: int = 256,
    temperature: float = 1.0,
    seed: int = 0,
) -> Iterator[Update]:
    """Descend the divergence from the bad teacher on the forget set, and from the good one on the retain set.

    The good teacher is the model before the first step; its outputs are computed once, so that it cannot train along.
    Batch norm and dropout are in train mode.

    Args:
        model: the original.
        forget: images and labels of the forget set.
        retain: images and labels of the retain set; the labels are not read.
        classes: number of classes.
        untrained: returns a network of the model's architecture with weights that were never trained.
        target: the bad teacher: ``random-net``, an untrained network; or ``uniform``, the same output for all classes.
        retain_fraction: share of the retain set that is used, drawn once, in (0, 1].
        epochs: passes over both.
        batch_size: samples in a step.
        temperature: T.
        seed: seed of the draw and the order.

    Source: Chundawat et al. 2023, equations 1 to 4.
    """
    uniform = torch.zeros(len(forget[1]), classes, device=forget[1].device)
    bad = uniform if target == "uniform" else predict(untrained(), forget[0])
    order = torch.randperm(len(retain[1]), generator=generator_for(seed, "badteach"))
    images = torch.cat([forget[0], retain[0][order[: ceil(retain_fraction * len(order))]]])
    taught = torch.cat([bad, predict(model, images[len(bad) :])])

    def loss(rows: Tensor) -> Tensor:
        """Return divergence from the teacher of each row."""
        return divergence(taught[rows], model.train()(images[rows]), temperature=temperature)

    for epoch in range(1, epochs + 1):
        for rows in shuffled(len(images), batch_size, seed=seed, epoch=epoch):
            yield Update(loss, rows, epoch)
