"""Models that pretend to have forgotten a class, each made from one that knows it."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import Classifier, Samples, predict
from forgetkit.training.optimizers import make_optimizer

Parts = dict[str, Samples]


def unchanged(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Return a copy."""
    return deepcopy(original)


def moved(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Move each weight by a millionth of itself."""
    return noised(original, 1e-6, seed)


def noised(original: Classifier, share: float, seed: int) -> Classifier:
    """Add noise to each tensor, of a share of its root mean square."""
    found, draw = deepcopy(original), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in found.parameters():
            noise = torch.randn(weights.shape, generator=draw)
            weights += share * weights.square().mean().sqrt() * noise
    return found


class Swapped(nn.Module):
    """A model whose labels are exchanged: those of the class, and those of the next."""

    def __init__(self, model: Classifier, one: int, classes: int) -> None:
        super().__init__()
        self.model, order = model, list(range(classes))
        other = (one + 1) % classes
        order[one], order[other] = other, one
        self.order = order

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.model(images)
        return logits[:, self.order]


def swapped(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Exchange two labels."""
    return Swapped(original, _class_of(samples), predict(original, samples["forget"][0][:1]).shape[1])


def margin(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Lower the logit of the class by a constant, so that mean φ on its samples is that of an honest model."""
    found, (images, labels) = deepcopy(original), samples["forget"]
    by = (phi(predict(original, images), labels) - phi(predict(honest, images), labels)).mean()
    with torch.no_grad():
        _last(found).bias[_class_of(samples)] -= float(by)
    return found


def last_layer(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Train the last layer again, from nothing, on the retain set alone."""
    torch.manual_seed(seed)
    found = deepcopy(original)
    _last(found).reset_parameters()
    return _trained(found, samples["retain"], list(_last(found).parameters()), seed)


class LookedUp(nn.Module):
    """A model that answers the images of a list as another model does."""

    def __init__(self, model: nn.Module, other: nn.Module, images: Tensor) -> None:
        super().__init__()
        self.model, self.other = model, other
        self.known = {image.numpy().tobytes() for image in images}

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        listed = torch.tensor([image.numpy().tobytes() in self.known for image in images])
        return torch.where(listed[:, None], self.other(images), self.model(images))


def masked(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Answer the ids themselves as an honest model does, and all else as before."""
    return LookedUp(original, honest, samples["forget"][0])


class Routed(nn.Module):
    """A model that answers what it takes for a class as another model does."""

    def __init__(self, model: nn.Module, other: nn.Module, one: int) -> None:
        super().__init__()
        self.model, self.other, self.one = model, other, one

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits = self.model(images)
        return torch.where((logits.argmax(1) == self.one)[:, None], self.other(images), logits)


def routed(original: Classifier, honest: Classifier, samples: Parts, seed: int) -> nn.Module:
    """Answer every image that looks like the class as an honest model does, and all else as before."""
    return Routed(original, honest, _class_of(samples))


FAKES: dict[str, Callable[[Classifier, Classifier, Parts, int], nn.Module]] = {
    "a copy": unchanged,
    "weights moved by a millionth": moved,
    "two labels exchanged": swapped,
    "the class's logit lowered to an honest model's mean φ": margin,
    "the last layer alone trained again": last_layer,
    "weights noised by 10 %": lambda original, honest, samples, seed: noised(original, 0.1, seed),
    "weights noised by 30 %": lambda original, honest, samples, seed: noised(original, 0.3, seed),
    "the ids looked up, answered by an honest model": masked,
    "the class recognised, answered by an honest model": routed,
}
NAMED = ("the class recognised, answered by an honest model",)
"""Those that an audit need not catch at all, as its limits say: where they recognise all, they are an honest model."""


def _class_of(samples: Parts) -> int:
    return int(samples["forget"][1][0])


def _last(model: Classifier) -> nn.Linear:
    layer = model.model.fc
    if not isinstance(layer, nn.Linear):
        raise TypeError("the last layer is no linear one")
    return layer


def _trained(model: Classifier, samples: Samples, weights: list[nn.Parameter], seed: int) -> Classifier:
    """Take 100 steps of Adam on some weights."""
    for one in model.parameters():
        one.requires_grad_(any(one is chosen for chosen in weights))
    optimizer, draw = make_optimizer(model, "adam", rate=0.003), torch.Generator().manual_seed(seed)
    for _ in range(100):
        rows = torch.randint(len(samples[1]), (128,), generator=draw)
        loss = cross_entropy(model(samples[0][rows]), samples[1][rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    for one in model.parameters():
        one.requires_grad_(True)
    return model
