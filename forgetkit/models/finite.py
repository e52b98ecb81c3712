"""Weights and gradients that are no longer finite, and what to do about them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError

CHECKED_STEPS = 8
"""First steps of a training whose gradients are checked: a fault from the start shows before an epoch is over."""
_FLOAT32 = "--precision float32"


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of a floating-point tensor that holds NaN or infinity, if there is one.

    Raises nothing and allocates nothing for a sound tensor: a sum over NaN or infinity is never finite. A sum of finite
    numbers may overflow, so that a tensor whose sum is not finite is checked entry by entry.
    """
    floating = ((name, tensor) for name, tensor in tensors.items() if tensor.is_floating_point())
    suspects = ((name, tensor) for name, tensor in floating if not torch.isfinite(tensor.sum()))
    return next((name for name, tensor in suspects if not torch.isfinite(tensor).all()), None)


def cure(precision: object, otherwise: str = "lower --rate") -> str:
    """Return the hint for numbers that are not finite; in bfloat16, the precision may be the cause."""
    return f"{_FLOAT32}; if that does not help, {otherwise}" if precision == "bfloat16" else otherwise


def check_gradients(model: nn.Module, step: int, precision: str) -> None:
    """Check the gradients of one of the first steps.

    In bfloat16, oneDNN fills the gradient of a 3×3 kernel over a 1×1 map with uninitialised memory, for example.

    Raises:
        ForgetkitError: ``diverged`` with the name of the first one that is not finite.
    """
    if step > CHECKED_STEPS:
        return
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    if broken := not_finite(gradients):
        name = broken.removeprefix("model.")  # a Classifier's
        message = f"the gradient of '{name}' is not finite in step {step}, in {precision}; nothing was written"
        raise ForgetkitError("diverged", message, cure(precision))
