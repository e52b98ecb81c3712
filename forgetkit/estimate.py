"""How long training takes here, from one batch: for dry runs."""

import time

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from forgetkit.training import Classifier

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
