"""How much each weight matters for some samples: to choose weights by (masks), or to dampen them by (SSD).

Sources: Fan et al., "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency", ICLR 2024, section 4;
Foster, Schoepf & Brintrup, "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening", AAAI
2024, section 3.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training.classifier import Samples

Weights = dict[str, Tensor]
SALIENCY_BATCH = 256


def trainable(model: nn.Module) -> Weights:
    """Return the model's weights by name."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def saliency(model: nn.Module, forget: Samples) -> Weights:
    """Return |Σ over the batches of the forget set of ∇θ CE|, by name; the model is put into eval mode.

    Source: Fan et al. 2024, equation 3.
    """
    model.eval()
    weights = trainable(model)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for rows in torch.split(torch.arange(len(forget[1])), SALIENCY_BATCH):
        value = cross_entropy(model(forget[0][rows]), forget[1][rows])
        for name, part in zip(weights, torch.autograd.grad(value, list(weights.values())), strict=True):
            total[name] += part
    return {name: value.abs() for name, value in total.items()}


def top(sizes: Weights, share: float) -> Weights:
    """Mark the largest ``share`` of the entries of all tensors together, bool by name; the first ones at a tie.

    Source: Fan et al. 2024, equation 3, where the share is 0.5.
    """
    ranked = torch.cat([size.flatten() for size in sizes.values()]).argsort(descending=True, stable=True)
    chosen = torch.zeros(len(ranked), dtype=torch.bool, device=ranked.device)
    chosen[ranked[: round(share * len(ranked))]] = True
    parts = torch.split(chosen, [size.numel() for size in sizes.values()])
    return {name: part.view_as(sizes[name]).clone() for (name, part) in zip(sizes, parts, strict=True)}


def importance(model: nn.Module, samples: Samples) -> Weights:
    """Return the mean over ``samples`` of (∂CE/∂θ)², by name, squared for each sample: no batch size matters.

    Source: Foster et al. 2024, equation 4.
    """
    model.eval()
    weights = trainable(model)
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for row in range(len(samples[1])):  # on a CPU faster than vmap over convolutions
        value = cross_entropy(model(samples[0][row : row + 1]), samples[1][row : row + 1])
        for name, part in zip(weights, torch.autograd.grad(value, list(weights.values())), strict=True):
            total[name].addcmul_(part, part)
    return {name: value / max(1, len(samples[1])) for name, value in total.items()}
