"""What forgotten samples are trained towards: labels drawn at random, the true one among them, or contrastive ones.

Methods of random labels differ in this, and in how often they draw. Wrong labels are those of
:func:`forgetkit.methods.relabel.wrong_label_targets`.
"""

import torch
from torch import Generator, Tensor

from forgetkit.methods.neutralize import mislabel


def any_label_targets(labels: Tensor, classes: int, *, count: int, generator: Generator) -> Tensor:
    """Draw ``count`` labels for each sample, of all classes alike, and return them as one soft target.

    Args:
        labels: true classes, int64 of shape ``(samples,)``; only their number and device count.
        classes: number of classes.
        count: labels for each sample, drawn without replacement, in ``[1, classes]``.
        generator: source of randomness, on the CPU.

    Returns:
        float32 of shape ``(samples, classes)``: 1/count on each drawn label, 0 elsewhere.

    Raises:
        ValueError: for a ``count`` outside its range.

    Source: the code of Fan et al., "SalUn", ICLR 2024, which draws one of all classes (the paper says: a wrong one).
    """
    if not 1 <= count <= classes:
        raise ValueError(f"labels per id must be from 1 to {classes}, not {count}")
    order = torch.rand(len(labels), classes, generator=generator).to(labels.device)
    return torch.zeros_like(order).scatter(1, order.topk(count, dim=1).indices, 1 / count)


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
    for true, wrong in mislabel(outputs, labels, kind="minimum").items():
        lookup[true] = wrong
    return torch.nn.functional.one_hot(lookup.to(labels.device)[labels], outputs.shape[1]).float()
