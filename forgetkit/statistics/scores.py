"""The score of a sample: the log-odds of its true class."""

import torch
from torch import Tensor


def phi(logits: Tensor, labels: Tensor) -> Tensor:
    """Score every sample by ``z_y - logsumexp(z_c, c != y)``, the log-odds of its true class.

    Args:
        logits: raw outputs, any float dtype, shape ``(n, classes)`` with at least 2 classes.
        labels: true classes, int64 of shape ``(n,)``, values in ``[0, classes)``.

    Returns:
        float64 of shape ``(n,)``, on the device of ``logits``; finite wherever the logits are.

    Raises:
        ValueError: fewer than 2 classes, or shapes that do not belong together.

    Source: Carlini et al., "Membership Inference Attacks From First Principles", 2022, section IV-C.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits of shape {tuple(logits.shape)} do not fit labels of shape {tuple(labels.shape)}")
    if logits.shape[1] < 2:
        raise ValueError(f"a score needs at least 2 classes, not {logits.shape[1]}")
    # log(p / (1 - p)) would be infinite once p rounds to 1; leaving the true class out of the sum never is.
    logits = logits.to(torch.float64)
    true = labels.unsqueeze(1)
    others = logits.scatter(1, true, -torch.inf).logsumexp(dim=1)
    return logits.gather(1, true).squeeze(1) - others
