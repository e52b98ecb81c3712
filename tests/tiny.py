"""What many tests are made of: one small network, numbered samples for it, the sets of a step, and a record."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record
from forgetkit.training.classifier import Classifier, Samples
from forgetkit.training.draws import Keys
from forgetkit.training.resume import Bookmark, Place
from forgetkit.training.updates import Update, fit
from forgetkit.unlearning.sets import Sets

CLASSES = 4
SALT = "00" * 32


def network(*, norm: bool = True, dropout: float = 0.5, classes: int = CLASSES, seed: int = 7) -> nn.Sequential:
    """Return a float64 network of some 1,000 parameters for 1×6×6 images, in train mode."""
    torch.manual_seed(seed)
    middle: list[nn.Module] = [*([nn.BatchNorm2d(6)] if norm else []), *([nn.Dropout(dropout)] if dropout else [])]
    convolutions = nn.Conv2d(1, 6, 3), *middle, nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(8 * 16, classes)).double()


def samples(count: int, first: int = 0, classes: int = CLASSES) -> Samples:
    """Return float64 images and labels of all classes in turn; the first pixel holds a thousandth of their number."""
    images = torch.randn(count, 1, 6, 6, generator=torch.Generator().manual_seed(first)).double()
    images[:, 0, 0, 0] = torch.arange(first, first + count) / 1000
    return images, torch.arange(count) % classes


def keys(count: int, first: int = 0) -> Keys:
    """Return the keys of samples of these numbers."""
    return np.arange(first, first + count, dtype=np.uint64)


def numbers(images: Tensor) -> list[int]:
    """Return the numbers of samples."""
    return (images[:, 0, 0, 0] * 1000).round().int().tolist()


def note(model: nn.Module, only: Callable[[], bool] = lambda: True) -> list[list[int]]:
    """Return a list that will have the numbers of the samples of each batch of the model, or of some batches."""
    batches: list[list[int]] = []

    def add(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if only():
            batches.append(numbers(inputs[0]))

    model.register_forward_pre_hook(add)
    return batches


def sets(forget: int = 12, retain: int = 40, unseen: int = 60) -> Sets:
    """Return sets of so many samples: numbered from 100, from 0 and from 200 on."""
    return Sets.of_tensors(samples(forget, 100), samples(retain), samples(unseen, 200), CLASSES)


def record(classes: int = CLASSES) -> Record:
    """Return the record of a network for such images that was trained on 52 of them."""
    return Record(
        digest="",
        model={"name": "convnet", "options": {}},
        input={"shape": [1, 6, 6], "mean": [0.0], "std": [1.0]},
        classes=[str(name) for name in range(classes)],
        dataset={"name": "tiny", "options": {}, "size": 52, "fingerprint": SALT},
        recipe={"epochs": 2},
        trained=None,
        forgotten=KeySet.of([], SALT),
        steps=[],
        software={},
    )


def classifier() -> Classifier:
    """Return the network behind its input, in eval mode."""
    return Classifier(network(), mean=[0.0], std=[1.0]).eval()


def sgd(model: nn.Module, rate: float = 0.1) -> Optimizer:
    """Return plain gradient descent."""
    return SGD(model.parameters(), lr=rate)


def carry_out(model: nn.Module, updates: Iterator[Update], rate: float = 0.1) -> list[Tensor]:
    """Carry out a method with plain gradient descent; return the loss of each step."""
    return list(fit(sgd(model, rate), updates))


def weights(model: nn.Module) -> Tensor:
    """Return all parameters as one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def same(one: nn.Module, other: nn.Module, *, within: float = 0.0) -> bool:
    """Return whether all tensors of two models are the same."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=within) for a, b in pairs)


class Halted(Exception):
    """The end of a run."""


class Halting(Bookmark):
    """Ends a run after some steps, and keeps its place for the next."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.after = after

    def reached(self, loop: str, place: Callable[[], Place]) -> None:
        """Keep the place and end the run, if it is time."""
        self.after -= 1
        if not self.after:
            self.keep(loop, place)
            raise Halted


def recall(folder: Path) -> Bookmark:
    """Return the bookmark of a run that was ended."""
    bookmark = Bookmark(folder)
    assert bookmark.recall()
    return bookmark
