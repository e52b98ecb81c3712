"""Bad teaching: the original teaches what is retained, a teacher that knows nothing what is forgotten.

Source: Chundawat et al., "Can Bad Teaching Induce Forgetting?", AAAI 2023, section 4: descend
(1 − l)·KL(p_θ₀ ‖ p_θ) + l·KL(p_bad ‖ p_θ), l = 1 on the forget set and 0 on a random part of the retain set, in mixed
batches. Settings: Adam 1e-4, 1 epoch, batch 256, T 1, 30 % of the retain set.
"""

from collections.abc import Iterator
from math import ceil

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.files.record import Record
from forgetkit.methods.losses import divergence
from forgetkit.models.build import build_model
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Classifier, predict
from forgetkit.training.device import generator_for, seed_for
from forgetkit.training.loop import fit


def bad_teacher(record: Record, images: Tensor, *, kind: str, seed: int, like: Classifier) -> Tensor:
    """Return what a teacher that knows nothing says, logits of shape ``(samples, classes)``.

    Args:
        record: of the checkpoint: what its model is.
        images: of the forget set.
        kind: ``random-net``, an untrained network of the same architecture; or ``uniform``, the same for all classes.
        seed: of the network.
        like: the model, for its input, precision and device.
    """
    if kind == "uniform":
        return torch.zeros(len(images), len(record.classes), device=images.device)
    network = build_model(
        record.model["name"],
        record.model["options"],
        shape=tuple(record.input["shape"]),
        classes=len(record.classes),
        seed=seed_for(seed, "bad teacher"),
    )
    placed = network.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = record.input["mean"], record.input["std"]
    return predict(Classifier(placed, mean=mean, std=std, precision=like.precision), images)


def badteach(
    model: nn.Module,
    forget: Tensor,
    bad: Tensor,
    retain: Tensor,
    *,
    optimizer: Optimizer,
    retain_fraction: float = 0.3,
    epochs: int = 1,
    batch_size: int = 256,
    temperature: float = 1.0,
    seed: int = 0,
    done: int = 0,
) -> Iterator[Tensor]:
    """Descend the divergence from the good or the bad teacher, by where a sample belongs; yield the loss of each step.

    What the good teacher, the model before the first step, says is computed once: it cannot train along. Normalisation
    and dropout are in eval mode.

    Args:
        model: the original; changed in place.
        forget: images of the forget set.
        bad: what the bad teacher says of them, logits of shape ``(samples, classes)``.
        retain: images of the retain set; labels are not needed.
        optimizer: over the model's parameters.
        retain_fraction: share of the retain set that takes part, drawn once, in (0, 1].
        epochs: passes over both.
        batch_size: samples in a step.
        temperature: T.
        seed: of the draw and the order.
        done: steps that were taken before, and are passed over; the model is the original still.

    Source: Chundawat et al. 2023, equations 1 to 4.
    """
    model.eval()
    order = torch.randperm(len(retain), generator=generator_for(seed, "badteach"))
    images = torch.cat([forget, retain[order[: ceil(retain_fraction * len(retain))]]])
    taught = torch.cat([bad, predict(model, images[len(forget) :])])

    def loss(rows: Tensor) -> Tensor:
        return divergence(taught[rows], model(images[rows]), temperature=temperature)

    def steps(left: int) -> Iterator[Tensor]:
        for epoch in range(1, epochs + 1):
            batches = shuffled(len(images), batch_size, seed=seed, epoch=epoch)
            over = min(left, len(batches))
            left -= over
            yield from fit(optimizer, batches[over:], loss)

    return steps(done)
