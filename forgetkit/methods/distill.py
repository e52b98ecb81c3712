"""Retraining by distillation, the second of two stages: on the retain set, with the original as teacher.

Source: Kim & Woo, "Efficient Two-stage Model Retraining for Machine Unlearning", CVPR Workshops 2022, section 3.2; the
loss: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.methods.losses import divergence
from forgetkit.training.batches import augmented
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.loop import Batch

LARGEST_CACHE = 1 << 28
"""Largest cache of the teacher's logits, in entries (samples × classes); above it they are recomputed in each batch."""


def distillation_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, *, alpha: float = 1.1, beta: float = 0.9, temperature: float = 4.0
) -> Tensor:
    """Return α·CE(student, y) + β·T²·KL(softmax(teacher/T) ‖ softmax(student/T)), the mean over the batch.

    Args:
        student: logits, float of shape ``(batch, classes)``.
        teacher: logits, likewise.
        labels: int64 of shape ``(batch,)``.
        alpha: weight of the cross-entropy.
        beta: weight of the divergence.
        temperature: T > 0. The paper names it without a value and shows no T²; both are Hinton's.

    Source: Kim & Woo 2022, equations 1 to 4; Hinton et al. 2015, section 2.
    """
    soft = divergence(teacher, student, temperature=temperature)
    return alpha * cross_entropy(student, labels) + beta * soft


def distill(
    student: nn.Module,
    teacher: nn.Module,
    retain: Samples,
    *,
    distill_epochs: int = 10,
    alpha: float = 1.1,
    beta: float = 0.9,
    temperature: float = 4.0,
    augments: bool = False,
) -> Callable[[int], Callable[[Batch], Tensor]]:
    """Return a function from epoch to loss: distillation in the first ``distill_epochs``, then plain cross-entropy.

    Args:
        student: the neutralized model.
        teacher: the original; put in eval mode, its weights unchanged.
        retain: images and labels of the retain set.
        distill_epochs: epochs with the teacher.
        alpha: see :func:`distillation_loss`.
        beta: see :func:`distillation_loss`.
        temperature: see :func:`distillation_loss`.
        augments: whether batches are augmented; if not, the teacher's logits are computed once.

    Returns:
        maps an epoch, counted from 1, to a loss of a batch: rows, and how they are augmented.

    Raises:
        ValueError: if teacher and student share weights: the teacher would be trained too.

    Source: Kim & Woo 2022, section 3.2.
    """
    if _storages(teacher) & _storages(student):
        raise ValueError("teacher and student share weights")
    teacher.eval()
    images, labels = retain
    cached = not augments and len(labels) * (int(labels.max()) + 1) <= LARGEST_CACHE
    known = predict(teacher, images) if cached and distill_epochs else None

    def plain(batch: Batch) -> Tensor:
        """Return CE(student, y)."""
        rows, *changes = batch
        return cross_entropy(student(augmented(images[rows], *changes)), labels[rows])

    def taught(batch: Batch) -> Tensor:
        """Return distillation loss with the teacher's logits."""
        rows, *changes = batch
        inputs = augmented(images[rows], *changes)
        logits = predict(teacher, inputs) if known is None else known[rows]
        return distillation_loss(student(inputs), logits, labels[rows], alpha=alpha, beta=beta, temperature=temperature)

    return lambda epoch: taught if epoch <= distill_epochs else plain


def _storages(model: nn.Module) -> set[int]:
    """Return where in memory the weights and the running statistics of a model begin."""
    tensors = model.state_dict().values()
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}
