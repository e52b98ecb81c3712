"""Retraining by distillation, the second of two stages: on the retain set, with the original as teacher.

Source: Kim & Woo, "Efficient Two-stage Model Retraining for Machine Unlearning", CVPR Workshops 2022,
section 3.2; the loss: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.methods.losses import divergence
from forgetkit.training.batches import augmented
from forgetkit.training.classifier import predict
from forgetkit.training.history import History
from forgetkit.training.loop import Batch, drawn_batches, fit_epochs, whole
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark

LARGEST_CACHE = 1 << 28
"""Entries (samples × classes) of the teacher's logits that are computed once; more are computed in each batch."""


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
    images: Tensor,
    labels: Tensor,
    *,
    recipe: Recipe,
    optimizer: Optimizer,
    tune: tuple[Tensor, Tensor],
    retain_fraction: float = 0.5,
    distill_epochs: int = 10,
    alpha: float = 1.1,
    beta: float = 0.9,
    temperature: float = 4.0,
    seed: int = 0,
    epochs: Iterable[int] | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    tell: Callable[[str], None] | None = None,
    bookmark: Bookmark | None = None,
) -> History:
    """Retrain ``student`` on the retain set; the first epochs also follow the frozen ``teacher``.

    Args:
        student: the neutralized model; changed in place, in train mode.
        teacher: the original; in eval mode, left as it is.
        images: the retain set, of shape ``(samples, …)``.
        labels: int64 of shape ``(samples,)``.
        recipe: epochs, batch size, schedule, augmentation, which epoch to keep.
        optimizer: over the student's parameters.
        tune: images and labels of the tune half.
        retain_fraction: share of the retain set in an epoch, drawn anew each time.
        distill_epochs: epochs with the teacher; after them, plain cross-entropy.
        alpha: see :func:`distillation_loss`.
        beta: see :func:`distillation_loss`.
        temperature: see :func:`distillation_loss`.
        seed: seed of order, augmentation and dropout.
        epochs: see :func:`forgetkit.training.loop.fit_epochs`.
        watch: see :func:`forgetkit.training.loop.fit_epochs`.
        tell: see :func:`forgetkit.training.loop.fit_epochs`.
        bookmark: see :func:`forgetkit.training.loop.fit_epochs`.

    Raises:
        ValueError: where teacher and student share weights: the teacher would train along.
    """
    if _storages(teacher) & _storages(student):
        raise ValueError("teacher and student share weights")
    teacher.eval()
    once = recipe.augment == "none" and len(labels) * (int(labels.max()) + 1) <= LARGEST_CACHE
    known = predict(teacher, images) if once and distill_epochs else None

    def plain(batch: Batch) -> Tensor:
        rows, *changes = batch
        return cross_entropy(student(augmented(images[rows], *changes)), labels[rows])

    def taught(batch: Batch) -> Tensor:
        rows, *changes = batch
        inputs = augmented(images[rows], *changes)
        of_teacher = predict(teacher, inputs) if known is None else known[rows]
        given = {"alpha": alpha, "beta": beta, "temperature": temperature}
        return distillation_loss(student(inputs), of_teacher, labels[rows], **given)

    return whole(fit_epochs)(
        student,
        recipe,
        optimizer=optimizer,
        batches=lambda epoch: drawn_batches(images, recipe, seed=seed, epoch=epoch, part=retain_fraction),
        loss=lambda epoch: taught if epoch <= distill_epochs else plain,
        tune=tune,
        seed=seed,
        epochs=epochs,
        watch=watch,
        tell=tell,
        bookmark=bookmark,
    )


def _storages(model: nn.Module) -> set[int]:
    """Return where in memory the weights and the running statistics of a model begin."""
    tensors = model.state_dict().values()
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}
