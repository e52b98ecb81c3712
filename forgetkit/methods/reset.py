"""Reset some of the convolutions, then fine-tune on the retain set: CT and MSG of the NeurIPS 2023 challenge.

Source: Triantafillou et al., "Are We Making Progress in Unlearning? Findings from the First NeurIPS Unlearning
Competition", 2024, 5th and 2nd place. CT transposes each convolution kernel in space; SGD 1e-3, cosine, 3 epochs,
batch 64. MSG re-initialises the 30 % of convolution weights with the smallest |∇(CE_R − CE_F)|, then trains the others
with a tenth of their gradient; SGD 1e-3, momentum 0.9, 5 epochs, rate up, then down.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError
from forgetkit.methods.importance import top
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples, at_once
from forgetkit.training.device import seed_for
from forgetkit.training.updates import Update, cosine

Kernels = dict[str, Tensor]

BATCH = 256
"""Images of a gradient at a time, at the most: a backward pass needs all that the layers made."""


def kernels(model: nn.Module) -> Kernels:
    """Return the weights of each convolution over images that has more than one place, by name."""
    convolutions = {name: part for name, part in model.named_modules() if isinstance(part, nn.Conv2d)}
    return {name: part.weight for name, part in convolutions.items() if part.weight.shape[2:] != (1, 1)}


@torch.no_grad()
def transpose(model: nn.Module) -> None:
    """Transpose each square convolution kernel in space; its own inverse, and nothing to 1×1 kernels."""
    for weight in kernels(model).values():
        if weight.shape[2] == weight.shape[3]:
            weight.copy_(weight.transpose(2, 3).clone())


def gradient(model: nn.Module, samples: Samples, weights: Kernels) -> dict[str, Tensor]:
    """Return the gradient of the mean cross-entropy over ``samples`` by each of ``weights``, in the model's mode."""
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for rows in torch.split(torch.arange(len(samples[1])), min(BATCH, at_once(samples[0]))):
        value = cross_entropy(model(samples[0][rows]), samples[1][rows], reduction="sum") / len(samples[1])
        for name, part in zip(weights, torch.autograd.grad(value, list(weights.values())), strict=True):
            total[name] += part
    return total


def smallest(model: nn.Module, forget: Samples, retain: Samples, *, share: float = 0.3) -> dict[str, Tensor]:
    """Mark the ``share`` of all convolution weights with the smallest |∇(CE_R − CE_F)|.

    Returns:
        bool, by name, of each weight's shape.
    """
    weights = kernels(model)
    of_retain, of_forget = gradient(model, retain, weights), gradient(model, forget, weights)
    return top({name: -(of_retain[name] - of_forget[name]).abs() for name in weights}, share)


@torch.no_grad()
def reinitialise(model: nn.Module, chosen: dict[str, Tensor], *, seed: int) -> None:
    """Draw the ``chosen`` weights anew, as torch does for a new convolution."""
    for name, weight in kernels(model).items():
        fresh, bound = torch.empty(weight.shape), weight[0].numel() ** -0.5
        fresh.uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed_for(seed, "reset", name)))
        weight.copy_(torch.where(chosen[name], fresh.to(weight.device), weight))


def rate_at(kind: str, step: int, steps: int) -> float:
    """Return what the rate is multiplied by in ``step`` (from 0): ``ct`` cosine down, ``msg`` up, then down."""
    if kind == "ct":
        return cosine(step / steps)
    half = max(1, steps / 2)
    return min((step + 1) / half, (steps - step) / half, 1.0)


def reset(
    model: nn.Module,
    forget: Samples,
    retain: Samples,
    *,
    optimizer: Optimizer,
    kind: str = "ct",
    share: float = 0.3,
    others: float = 0.1,
    rate: float = 0.001,
    epochs: int = 3,
    batch_size: int = 64,
    seed: int = 0,
) -> Iterator[Update]:
    """Reset convolution weights in place, then fine-tune on the retain set.

    Batch norm and dropout are in train mode.

    Args:
        model: maps images to logits.
        forget: images and labels of the forget set; ``ct`` does not read them.
        retain: images and labels of the retain set.
        optimizer: over the model's parameters; its rate is set before each step.
        kind: ``ct`` or ``msg``.
        share: share of the convolution weights to draw anew (``msg``), in (0, 1].
        others: factor of the gradients of all other weights (``msg``).
        rate: peak of the learning rate.
        epochs: passes over the retain set.
        batch_size: samples in a step.
        seed: seed of the draw and the order.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` if the model has no layers to reset.
    """
    if not kernels(model):
        message = "the model has no convolutions over images of more than 1×1: there is nothing to reset"
        raise ForgetkitError("checkpoint-mismatch", message, "use another method: finetune, ascend, scrub …")
    if kind == "ct":
        transpose(model)
    else:
        chosen = smallest(model.eval(), forget, retain, share=share)
        reinitialise(model, chosen, seed=seed)
        _damp(model, optimizer, chosen, others)
    batches = [
        (epoch, rows)
        for epoch in range(1, epochs + 1)
        for rows in shuffled(len(retain[1]), batch_size, seed=seed, epoch=epoch)
    ]

    def loss(rows: Tensor) -> Tensor:
        """Return CE(retained, y)."""
        return cross_entropy(model.train()(retain[0][rows]), retain[1][rows])

    for step, (epoch, rows) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_at(kind, step, len(batches))
        yield Update(loss, rows, epoch)


def _damp(model: nn.Module, optimizer: Optimizer, chosen: dict[str, Tensor], others: float) -> None:
    """Multiply by ``others``, before each step, the gradients of all weights that were not ``chosen``."""
    scale = {id(weight): torch.where(chosen[name], 1.0, others) for name, weight in kernels(model).items()}

    def damp(_: Optimizer, __: object, ___: object) -> None:
        """Scale the gradients before a step."""
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(scale.get(id(parameter), others))

    optimizer.register_step_pre_hook(damp)
