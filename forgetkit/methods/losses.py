"""Losses that several methods share."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div


def labelled(model: nn.Module, *, train: bool = False) -> Callable[[tuple[Tensor, Tensor]], Tensor]:
    """Return the cross-entropy of a model, in train or eval mode, as a loss of images and their labels or targets."""

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the mean over the batch."""
        return cross_entropy(model.train(train)(batch[0]), batch[1])

    return loss


def divergence(teacher: Tensor, student: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return T²·KL(softmax(teacher/T) ‖ softmax(student/T)), the mean over the batch.

    Args:
        teacher: logits, float of shape ``(batch, classes)``; no gradient is wanted of them.
        student: logits, likewise.
        temperature: T > 0.

    Source: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    soft = [(logits / temperature).log_softmax(1) for logits in (student, teacher)]
    return temperature**2 * kl_div(soft[0], soft[1], reduction="batchmean", log_target=True)
