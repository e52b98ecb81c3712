"""Selective synaptic dampening: shrink the weights that matter for the forget set much more than for everything.

Source: Foster, Schoepf & Brintrup, "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
AAAI 2024, section 3: where I_F > α·I_D, θ ← θ·min(λ·I_D / I_F, 1). Settings: α 10, λ 1. No step is taken.
"""

import torch
from torch import nn

from forgetkit.methods.importance import Weights, trainable


@torch.no_grad()
def dampen(
    model: nn.Module, of_forget: Weights, of_all: Weights, *, alpha: float = 10.0, strength: float = 1.0
) -> float:
    """Dampen a model in place; return the share of its weights that changed.

    Args:
        model: changed in place.
        of_forget: I_F, the importance for the forget set, by name.
        of_all: I_D, that for everything the model was trained on.
        alpha: α, above 0: the higher, the fewer weights.
        strength: λ, above 0: the lower, the more each shrinks.

    Source: Foster et al. 2024, equations 5 and 6.
    """
    changed = count = 0
    for name, weight in trainable(model).items():
        chosen = of_forget[name] > alpha * of_all[name]
        factor = (strength * of_all[name] / of_forget[name].clamp(min=torch.finfo(weight.dtype).tiny)).clamp(max=1)
        dampened = torch.where(chosen, weight * factor, weight)
        changed, count = changed + int((dampened != weight).sum()), count + weight.numel()
        weight.copy_(dampened)
    return changed / count
