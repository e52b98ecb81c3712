"""Random labels: train the forget set towards labels that are not its own, together with the retain set.

Source: Fan et al., "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency", ICLR 2024, and its code
for CIFAR-10 and SVHN: in each epoch a pass over the forget set, then one over the retain set; one label of all classes,
drawn anew in each epoch; SGD 0.013, momentum 0.9, weight decay 5e-4, 10 epochs, batches of 256; a mask of the most
salient half of the weights. Graves et al., "Amnesiac Machine Learning", AAAI 2021, draw wrong labels once.
"""

from collections.abc import Iterator
from itertools import islice
from math import ceil

import torch
from torch import Tensor, nn

from forgetkit.methods.joint import joint
from forgetkit.methods.losses import labelled
from forgetkit.methods.neutralize import mislabel
from forgetkit.methods.relabel import wrong_label_targets
from forgetkit.training.batches import one_pass, shuffled
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.draws import Keys, uniform
from forgetkit.training.updates import Update


def random_labels(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    keys: Keys,
    classes: int,
    mix: str = "forget-then-retain",
    targets: str = "wrong",
    redraw: str = "epoch",
    labels_per_id: int = 1,
    forget_weight: float = 0.1,
    epochs: int = 10,
    batch_size: int = 256,
    ids_per_step: int = 256,
    seed: int = 0,
) -> Iterator[Update]:
    """Train the forget set towards drawn labels, and the retain set towards its own.

    Batch norm and dropout are in train mode; in a pass over the forget set, in eval mode, since forgotten samples alone
    must not change running statistics.

    Args:
        model: maps images to logits.
        forget: images and labels of the forget set.
        retain: images and labels of the retain set.
        keys: of the samples to forget: what an id draws does not depend on the others in the list.
        classes: number of classes.
        mix: ``forget-then-retain``, a pass over each set in turn; ``joint``, both in each step.
        targets: ``wrong`` labels, ``any`` labels, or the ``contrast``, the class that the original finds least similar.
        redraw: draw labels ``once``, or anew in each ``epoch``.
        labels_per_id: labels drawn for each sample.
        forget_weight: weight of the forget set in a joint step.
        epochs: passes over the retain set.
        batch_size: retained samples in a step.
        ids_per_step: forgotten samples in a step.
        seed: seed of the labels and the order.

    Source: Fan et al. 2024, without the mask.
    """
    contrast = contrast_targets(predict(model, forget[0]), forget[1]) if targets == "contrast" else None

    def drawn(epoch: int) -> Tensor:
        """Return the soft targets of an epoch; contrastive labels are those of the model as it was at first."""
        draw = any_label_targets if targets == "any" else wrong_label_targets
        draws = uniform(keys, classes, seed, "random labels", 1 if redraw == "once" else epoch)
        return draw(forget[1], draws, count=labels_per_id) if contrast is None else contrast

    if mix == "joint":
        sizes = {"ids_per_step": ids_per_step, "batch_size": batch_size}
        steps = joint(model, forget, drawn, retain, forget_weight=forget_weight, **sizes, by_epoch=True, seed=seed)  # type: ignore[arg-type]
        yield from islice(steps, epochs * ceil(len(retain[1]) / batch_size))
        return
    away, back = labelled(model, train=False), labelled(model, train=True)
    for epoch in range(1, epochs + 1):
        soft = drawn(epoch)
        for rows in one_pass(len(forget[1]), ids_per_step, seed=seed, purpose="turn forget", number=epoch):
            yield Update(away, (forget[0][rows], soft[rows]), epoch)
        for rows in shuffled(len(retain[1]), batch_size, seed=seed, epoch=epoch):
            yield Update(back, (retain[0][rows], retain[1][rows]), epoch)


def any_label_targets(labels: Tensor, draws: Tensor, *, count: int) -> Tensor:
    """Draw ``count`` labels for each sample, of all classes alike, and return them as one soft target.

    Args:
        labels: true classes, int64 of shape ``(samples,)``; only their device counts.
        draws: uniform random numbers, of shape ``(samples, classes)``: the labels with the largest ones are drawn.
        count: labels for each sample, drawn without replacement, in ``[1, classes]``.

    Returns:
        float32 of shape ``(samples, classes)``: 1/count on each drawn label, 0 elsewhere.

    Raises:
        ValueError: for a ``count`` outside its range.

    Source: the code of Fan et al., "SalUn", ICLR 2024, which draws one of all classes (the paper says: a wrong one).
    """
    if not 1 <= count <= draws.shape[1]:
        raise ValueError(f"labels per id must be from 1 to {draws.shape[1]}, not {count}")
    drawn = draws.to(labels.device).topk(count, dim=1).indices
    return torch.zeros(draws.shape, device=labels.device).scatter(1, drawn, 1 / count)


def contrast_targets(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return for each sample its contrastive label: the class that the original finds least like its own, one to one.

    Args:
        outputs: the original's logits, of shape ``(samples, classes)``.
        labels: true classes, int64 of shape ``(samples,)``.

    Returns:
        float32 of shape ``(samples, classes)``: 1 on the contrastive label, 0 elsewhere.

    Source: Kim & Woo, "Efficient Two-stage Model Retraining for Machine Unlearning", CVPRW 2022, Algorithms 1 and 2.
    """
    lookup = torch.zeros(outputs.shape[1], dtype=torch.int64)
    for true, wrong in mislabel(outputs, labels, kind="minimum", match="one-to-one").items():
        lookup[true] = wrong
    return torch.nn.functional.one_hot(lookup.to(labels.device)[labels], outputs.shape[1]).float()
