"""A model with its input, and the only evaluation loop."""

from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forgetkit.data.dataset import Split, images_at
from forgetkit.files.record import Record
from forgetkit.models.checkpoint import load_model
from forgetkit.processes import keep_freed_memory
from forgetkit.training.device import Machine
from forgetkit.training.small_convolutions import SmallConvolutionsInFloat32, has_strides

Samples = tuple[Tensor, Tensor]
"""Images, of shape ``(samples, …)``, and labels, int64 of shape ``(samples,)``."""


AT_ONCE = {"cpu": (8, 256, 1 << 20), "cuda": (256, 4096, 1 << 23)}
"""Images of a batch of evaluation, at least and at most, and pixel values: with more, what the layers of a model make
leaves a CPU's cache; with fewer, a GPU waits for its host."""


class Classifier(nn.Module):
    """A model with its input: uint8 images in, float32 logits out.

    Args:
        model: maps normalised float images to logits.
        mean: per channel, in units of a pixel's value.
        std: per channel, likewise.
        precision: ``float32``, or ``bfloat16`` for autocast.

    The parameters are the model's own; no tensor is copied.
    """

    def __init__(self, model: nn.Module, *, mean: list[float], std: list[float], precision: str = "float32") -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        self.strided = has_strides(model)
        device = next(model.parameters()).device
        self.mean = torch.tensor(mean, device=device).view(1, -1, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, -1, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits ``(batch, classes)`` of uint8 images ``(batch, channels, height, width)``."""
        inputs = (images.contiguous(memory_format=torch.channels_last) - self.mean) / self.std
        fast, device = self.precision == "bfloat16", images.device.type
        repaired = SmallConvolutionsInFloat32() if fast and device == "cpu" and self.strided else nullcontext()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=fast), repaired:
            logits: Tensor = self.model(inputs)
        return logits.float()


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, *, batch_size: int | None = None) -> Tensor:
    """Return the logits ``(samples, classes)`` of ``images`` in eval mode; the mode of each part is left as it was.

    The batch size, if not given, follows from the images: :func:`at_once`.
    They are written into one tensor: small ones, kept from batch to batch among large ones that come and go, would cut
    the free memory into pieces that no batch fits into, and a pass over 200,000 images then takes 2 GB more.
    """
    training = [part for part in model.modules() if part.training]
    model.eval()
    logits: Tensor
    if not len(images):  # many models refuse an empty batch
        logits = model(images.new_zeros(1, *images.shape[1:]))[:0]
    batch_size = batch_size or at_once(images)
    for start in range(0, len(images), batch_size):
        found = model(images[start : start + batch_size])
        if not start:
            logits = found.new_empty(len(images), *found.shape[1:])
        logits[start : start + batch_size] = found
        keep_freed_memory()
    for part in training:
        part.training = True
    return logits


def at_once(images: Tensor) -> int:
    """Return how many of ``images`` to evaluate at a time: on a CPU, 256 of 32×32 pixels, 8 of 224×224."""
    least, most, values = AT_ONCE.get(images.device.type, (256, 256, 0))
    return min(most, max(least, values // max(images[:1].numel(), 1)))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose largest logit is their label's; in [0, 1]."""
    return int((logits.argmax(1) == labels).sum()) / max(len(labels), 1)


def learner_of(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode of which all weights can learn, also those that were frozen; integers cannot."""
    learner = deepcopy(model).eval()
    for weight in learner.parameters():
        weight.requires_grad_(weight.is_floating_point() or weight.is_complex())
    return learner


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's state, which :meth:`torch.nn.Module.load_state_dict` takes."""
    kept = model.state_dict()  # keeps the versions that some modules look for
    kept.update({name: tensor.clone() for name, tensor in kept.items()})
    return kept


def on_machine(model: nn.Module, record: Record, machine: Machine) -> Classifier:
    """Put ``model`` on its device, behind the input of its record."""
    placed = model.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(placed, mean=record.input["mean"], std=record.input["std"], precision=machine.precision)


def load_classifier(path: Path, record: Record, machine: Machine, *, finite: bool = True) -> Classifier:
    """Load a checkpoint onto its device; raises as :func:`forgetkit.models.checkpoint.load_model`."""
    return on_machine(load_model(path, record, finite=finite), record, machine)


def take(split: Split, rows: NDArray[np.int64], device: str) -> Samples:
    """Return images and labels of ``rows`` of a split, as tensors on ``device``."""
    return torch.from_numpy(images_at(split, rows)).to(device), torch.from_numpy(split.labels[rows]).to(device)


def rows_of(samples: Samples, rows: NDArray[np.int64]) -> Samples:
    """Return ``rows`` of samples, on their device."""
    at = torch.from_numpy(rows).to(samples[1].device)
    return samples[0][at], samples[1][at]
