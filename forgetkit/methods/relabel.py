"""Random relabeling: for each forgotten sample, one step towards all its wrong labels.

Source: Li & Ghosh, "Random Relabeling for Efficient Machine Unlearning", 2023, section 3.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.training.device import generator_for
from forgetkit.training.loop import fit


def wrong_label_targets(labels: Tensor, classes: int, *, count: int, generator: Generator) -> Tensor:
    """Draw ``count`` wrong labels for each label and return them as one soft target.

    One forward pass against this target has the gradient of the paper's mini-batch, in which the
    sample is repeated with each of the drawn labels: both are the mean cross-entropy over them.

    Args:
        labels: true classes, int64 of shape ``(samples,)``, values in ``[0, classes)``.
        classes: number of classes, at least 2.
        count: wrong labels for each sample, drawn without replacement; the paper's k', in ``[1, classes)``.
        generator: source of randomness, on the CPU.

    Returns:
        float32 of shape ``(samples, classes)``: 1/count on each drawn label, 0 elsewhere, 0 on the true one.

    Raises:
        ValueError: for a ``count`` outside its range.

    Source: Li & Ghosh 2023, section 3.
    """
    if not 1 <= count < classes:
        raise ValueError(f"labels per id must be from 1 to {classes - 1}, not {count}")
    order = torch.rand(len(labels), classes, generator=generator).to(labels.device)
    drawn = order.scatter(1, labels[:, None], -1.0).topk(count, dim=1).indices
    return torch.zeros_like(order).scatter(1, drawn, 1 / count)


def relabel(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    optimizer: Optimizer,
    classes: int,
    labels_per_id: int | None = None,
    targets: Tensor | None = None,
    replay: int = 0,
    retain: tuple[Tensor, Tensor] | None = None,
    seed: int = 0,
    done: int = 0,
) -> Iterator[Tensor]:
    """Unlearn each sample by one optimizer step; yield the loss of each step.

    Normalisation and dropout are in eval mode: a batch that is copies of one image would wreck
    running statistics.

    Args:
        model: maps images to logits; changed in place.
        images: forgotten samples in the order of the requests, of shape ``(samples, …)``.
        labels: their true classes, int64 of shape ``(samples,)``.
        optimizer: over the model's parameters.
        classes: number of classes.
        labels_per_id: wrong labels for each sample (k'); None for all ``classes - 1``.
        targets: soft targets to step towards instead, of shape ``(samples, classes)``.
        replay: retained samples of the same class to train on after each sample (the paper's repair).
        retain: images and labels to replay from.
        seed: seed of the drawn labels and replayed samples.
        done: steps that were taken before, and are passed over.

    Source: Li & Ghosh 2023, sections 3 and 4.
    """
    if targets is None:
        count = classes - 1 if labels_per_id is None else labels_per_id
        soft = wrong_label_targets(labels, classes, count=count, generator=generator_for(seed, "relabel"))
    else:
        soft = targets

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for row in range(len(labels)):
            yield images[row : row + 1], soft[row : row + 1]
            if replay and retain is not None:
                same = torch.nonzero(retain[1] == labels[row]).flatten()
                drawn = same[
                    torch.randperm(len(same), generator=generator_for(seed, "replay", row))[:replay].to(same.device)
                ]
                if len(drawn):
                    yield retain[0][drawn], retain[1][drawn]

    model.eval()
    yield from fit(optimizer, islice(batches(), done, None), lambda batch: cross_entropy(model(batch[0]), batch[1]))
