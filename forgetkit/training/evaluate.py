"""What a checkpoint's metrics measure, before and after a step."""

import math
import time
from collections.abc import Mapping

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


def measure(classifier: Classifier, forget: Samples, dataset: Dataset, device: str) -> dict[str, float | None]:
    """Measure a model on the forget set and the unseen split.

    Returns:
        ``test_accuracy`` over the whole unseen split, ``tune_accuracy`` over its tune half; for a forget set that is
        not empty also ``forget_accuracy``, ``forget_phi`` (mean φ), ``tune_auc`` (membership against the tune half;
        None where classes do not meet) and ``tune_phi_sd`` (spread of φ over the tune half; None for fewer than two).

    Raises:
        ForgetkitError: ``diverged`` where an output is not finite.
    """
    images, labels = take(dataset.test, np.arange(len(dataset.test)), device)
    unseen, labels = _predicted(classifier, images), labels.cpu()
    tune = torch.from_numpy(dataset.tune_rows)
    found: dict[str, float | None] = {
        "test_accuracy": accuracy(unseen, labels),
        "tune_accuracy": accuracy(unseen[tune], labels[tune]),
    }
    if len(forget[1]) == 0:
        return found
    logits, truth = _predicted(classifier, forget[0]), forget[1].cpu()
    scores = [phi(logits, truth), truth, phi(unseen[tune], labels[tune]), labels[tune]]
    found |= {"forget_accuracy": accuracy(logits, truth), "forget_phi": float(scores[0].mean())}
    found["tune_phi_sd"] = float(scores[2].std()) if len(tune) > 1 else None
    try:
        found["tune_auc"] = auc(*(values.numpy() for values in scores))
    except ValueError:
        found["tune_auc"] = None
    return found


def _predicted(classifier: Classifier, images: Tensor) -> Tensor:
    logits = predict(classifier, images)
    if not torch.isfinite(logits).all():
        message = "the model's outputs are not finite; nothing was written"
        raise ForgetkitError("diverged", message, cure(classifier.precision))
    return logits.cpu()


def weight_change(start: Mapping[str, Tensor], model: nn.Module) -> float:
    """Return ‖θ − θ₀‖ / ‖θ₀‖ over the floating-point tensors of a model; ``start`` lies on the CPU."""
    moved, length = [], []
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():  # in parts: doubles take twice the memory, and there are three
            both = (torch.split(one.reshape(-1), PART) for one in (tensor.detach().cpu(), start[name]))
            for now, before in ((one.double(), other.double()) for one, other in zip(*both, strict=True)):
                moved.append(float((now - before).square().sum()))
                length.append(float(before.square().sum()))
    return math.sqrt(math.fsum(moved) / total) if (total := math.fsum(length)) else 0.0


BATCH = 128


def pass_seconds(classifier: Classifier, samples: tuple[Tensor, Tensor], count: int) -> float:
    """Estimate the seconds of a forward and backward pass over ``count`` samples, by some of them; nothing is kept."""
    if not count:
        return 0.0
    images, labels = samples
    weights = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    classifier.eval()
    seconds = 0.0
    for _ in range(2):  # the first makes the libraries ready
        begun = time.perf_counter()
        loss = cross_entropy(classifier(images), labels)
        torch.autograd.grad(loss, weights, allow_unused=True)
        loss.item()  # there once a GPU has done all of it
        seconds = time.perf_counter() - begun
    return seconds / len(labels) * count


def about(seconds: float) -> str:
    """Say a time: as coarse as an estimate is."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"about {seconds / size:.2g} {unit}"
    return f"about {seconds:.0f} s" if seconds >= 1 else "less than a second"
