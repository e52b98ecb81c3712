"""Measurements for a checkpoint's metrics, and estimates of time."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError
from forgetkit.models.finite import cure
from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc
from forgetkit.training.classifier import Classifier, Samples, accuracy, predict, take

PART = 1 << 20
"""Weights that are compared at a time."""


@dataclass(frozen=True)
class OnUnseen:
    """What was measured of a model on unseen samples; nothing of it depends on a forget set.

    Attributes:
        right: whether each is classified right, bool of shape ``(samples,)``; all tensors are on the CPU.
        truth: their labels, int64.
        tune: rows of the tune half, int64.
        scores: φ over the tune half, float64; empty for a model of one class.
    """

    right: Tensor
    truth: Tensor
    tune: Tensor
    scores: Tensor

    @property
    def labels(self) -> Tensor:
        """Labels of the tune half."""
        return self.truth[self.tune]

    @property
    def tune_accuracy(self) -> float:
        """Accuracy over the tune half."""
        return _share(self.right[self.tune])

    def accuracies(self, kept: Tensor | None = None) -> dict[str, float | None]:
        """Return the accuracies by their names in a record; ``kept`` is as in :func:`measure_with`."""
        found: dict[str, float | None] = {
            "test_accuracy": _share(self.right),
            "tune_accuracy": self.tune_accuracy,
        }
        counts = torch.ones_like(self.right) if kept is None else kept.cpu()[self.truth]
        if not bool(counts.all()):
            found["kept_test_accuracy"] = _share(self.right[counts])
            found["kept_tune_accuracy"] = _share(self.right[self.tune][counts[self.tune]])
            found["vanished_accuracy"] = _share(self.right[~counts])
        return found


def _share(right: Tensor) -> float:
    return int(right.sum()) / max(len(right), 1)


def measure(
    classifier: Classifier, forget: Samples, dataset: Dataset, device: str, kept: Tensor | None = None
) -> dict[str, float | None]:
    """Measure a model on the forget set and the unseen split of a data set; see :func:`measure_with`."""
    return measure_with(on_unseen_split(classifier, dataset, device), classifier, forget, kept)


def measure_samples(
    model: nn.Module, forget: Samples, unseen: Samples, kept: Tensor | None = None
) -> dict[str, float | None]:
    """Measure a model on a forget set and on unseen samples; see :func:`on_unseen` and :func:`measure_with`."""
    return measure_with(on_unseen(model, unseen), model, forget, kept)


def on_unseen_split(classifier: Classifier, dataset: Dataset, device: str) -> OnUnseen:
    """Measure a model on the unseen split of a data set; raises as :func:`on_unseen`."""
    unseen = take(dataset.test, np.arange(len(dataset.test)), device)
    return on_unseen(classifier, unseen, torch.from_numpy(dataset.tune_rows))


def on_unseen(model: nn.Module, unseen: Samples, tune: Tensor | None = None) -> OnUnseen:
    """Measure a model on unseen samples.

    Args:
        model: maps images to logits.
        unseen: images and labels that the model was not trained on.
        tune: rows of the tune half, int64; all if not given.

    Raises:
        ForgetkitError: ``diverged`` if an output is not finite.
    """
    logits, truth = _predicted(model, unseen[0]), unseen[1].cpu()
    rows = torch.arange(len(truth)) if tune is None else tune
    scores = phi(logits[rows], truth[rows]) if logits.shape[1] > 1 else torch.zeros(0, dtype=torch.float64)
    return OnUnseen(logits.argmax(1) == truth, truth, rows, scores)


def measure_with(
    unseen: OnUnseen, model: nn.Module, forget: Samples, kept: Tensor | None = None
) -> dict[str, float | None]:
    """Measure a model on a forget set, beside what it shows on unseen samples.

    Args:
        unseen: of the same model.
        model: maps images to logits.
        forget: images and labels of the forget set.
        kept: for each class whether samples of it are retained, bool of shape ``(classes,)``; all if not given.

    Returns:
        ``test_accuracy`` over all unseen samples, ``tune_accuracy`` over the tune half; if a class is not kept, also
        both over the classes that are, ``kept_test_accuracy`` and ``kept_tune_accuracy``, and ``vanished_accuracy``
        over all unseen samples of the others; for a forget set that is not
        empty also ``forget_accuracy``, ``forget_phi`` (mean φ), ``tune_auc`` (membership-inference AUC against the
        tune half; None if they have no class in common) and ``tune_phi_sd`` (standard deviation of φ over the tune
        half; None for fewer than two samples).

    Raises:
        ForgetkitError: ``diverged`` if an output is not finite.
    """
    found = unseen.accuracies(kept)
    if len(forget[1]) == 0:
        return found
    logits, truth = _predicted(model, forget[0]), forget[1].cpu()
    scores = phi(logits, truth)
    found |= {"forget_accuracy": accuracy(logits, truth), "forget_phi": float(scores.mean())}
    found["tune_phi_sd"] = float(unseen.scores.std()) if len(unseen.scores) > 1 else None
    try:
        found["tune_auc"] = auc(*(values.numpy() for values in (scores, truth, unseen.scores, unseen.labels)))
    except ValueError:
        found["tune_auc"] = None
    return found


def _predicted(model: nn.Module, images: Tensor) -> Tensor:
    logits = predict(model, images)
    if not torch.isfinite(logits).all():
        message = "the model's outputs are not finite; nothing was written"
        raise ForgetkitError("diverged", message, cure(getattr(model, "precision", "float32")))
    return logits.cpu()


def weight_change(start: Mapping[str, Tensor], model: nn.Module) -> float:
    """Return ‖θ − θ₀‖ / ‖θ₀‖ over the floating-point tensors of a model; ``start`` holds θ₀, on the CPU."""
    moved, length = [], []
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():  # in parts: three copies in double precision would take six times the memory
            both = (torch.split(one.reshape(-1), PART) for one in (tensor.detach().cpu(), start[name]))
            for now, before in ((one.double(), other.double()) for one, other in zip(*both, strict=True)):
                moved.append(float((now - before).square().sum()))
                length.append(float(before.square().sum()))
    return math.sqrt(math.fsum(moved) / total) if (total := math.fsum(length)) else 0.0


BATCH = 128
"""Samples by which the time of a pass is estimated."""


def pass_seconds(classifier: Classifier, samples: tuple[Tensor, Tensor], count: int) -> float:
    """Estimate the seconds of a forward and backward pass over ``count`` samples from some of them; keep nothing."""
    if not count:
        return 0.0
    images, labels = samples
    weights = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    classifier.eval()
    seconds = 0.0
    for _ in range(2):  # the first pass includes the start-up of libraries
        begun = time.perf_counter()
        loss = cross_entropy(classifier(images), labels)
        torch.autograd.grad(loss, weights, allow_unused=True)
        loss.item()  # waits until a GPU has finished
        seconds = time.perf_counter() - begun
    return seconds / len(labels) * count


def about(seconds: float) -> str:
    """Return an estimated time in words, with two digits at most."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.2g} {unit}"
    return f"about {seconds:.0f} s" if seconds >= 1 else "less than a second"
