"""Random relabeling: for each forgotten sample, one gradient step towards all its wrong labels.

Source: Li & Ghosh, "Random Relabeling for Efficient Machine Unlearning", 2023, section 3.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from forgetkit.methods.losses import labelled
from forgetkit.training.classifier import Samples
from forgetkit.training.draws import Keys, ranked, uniform
from forgetkit.training.updates import Update


def wrong_label_targets(labels: Tensor, draws: Tensor, *, count: int) -> Tensor:
    """Draw ``count`` wrong labels for each label and return them as one soft target.

    The cross-entropy with this soft target has the same gradient as the paper's mini-batch, in which the sample is
    repeated with each of the drawn labels: both are the mean cross-entropy over them.

    Args:
        labels: true classes, int64 of shape ``(samples,)``, values in ``[0, classes)``.
        draws: uniform random numbers, of shape ``(samples, classes)``: the wrong labels with the largest ones
            are drawn.
        count: wrong labels for each sample, drawn without replacement; the paper's k', in ``[1, classes)``.

    Returns:
        float32 of shape ``(samples, classes)``, on the device of ``labels``: 1/count on each drawn label, 0 elsewhere.

    Raises:
        ValueError: for a ``count`` outside its range.

    Source: Li & Ghosh 2023, section 3.
    """
    if not 1 <= count < draws.shape[1]:
        raise ValueError(f"labels per id must be from 1 to {draws.shape[1] - 1}, not {count}")
    drawn = draws.to(labels.device).scatter(1, labels[:, None], -1.0).topk(count, dim=1).indices
    return torch.zeros(draws.shape, device=labels.device).scatter(1, drawn, 1 / count)


def relabel(
    model: nn.Module,
    forget: Samples,
    retain: Samples | None = None,
    *,
    keys: Keys,
    retain_keys: Keys | None = None,
    classes: int,
    labels_per_id: int | None = None,
    replay: int = 0,
    seed: int = 0,
) -> Iterator[Update]:
    """Unlearn each sample by one gradient step towards its wrong labels.

    Batch norm and dropout are in eval mode: a batch of one image would corrupt the running statistics.

    Args:
        model: maps images to logits.
        forget: images and labels in the order of the requests, of shape ``(samples, …)`` and ``(samples,)``.
        retain: images and labels to replay from.
        keys: of the samples to forget: what an id draws does not depend on the others in the list.
        retain_keys: of the samples to replay from.
        classes: number of classes.
        labels_per_id: wrong labels for each sample (k'); None for all ``classes - 1``.
        replay: retained samples of the same class to train on after each sample (the paper's repair).
        seed: seed of the drawn labels and replayed samples.

    Source: Li & Ghosh 2023, sections 3 and 4.
    """
    images, labels = forget
    count = classes - 1 if labels_per_id is None else labels_per_id
    targets = wrong_label_targets(labels, uniform(keys, classes, seed, "relabel"), count=count)
    loss = labelled(model)
    for row, key in enumerate(keys):
        yield Update(loss, (images[row : row + 1], targets[row : row + 1]))
        if replay and retain is not None and retain_keys is not None:
            same = torch.nonzero(retain[1] == labels[row]).flatten()
            order = ranked(retain_keys[same.cpu().numpy()], seed, "replay", key)[:replay]
            if len(order):
                drawn = same[torch.from_numpy(order).to(same.device)]
                yield Update(loss, (retain[0][drawn], retain[1][drawn]))
