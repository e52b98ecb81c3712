"""Are numbers still finite, and what to do where they are not."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError

LOOKED_AT = 8
"""Steps of a training whose gradients are looked at: what is wrong from the start should not take an epoch to show."""
_FLOAT32 = "--precision float32"


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Return the name of a floating-point tensor that holds NaN or infinity, if there is one.

    No sum that takes one in is finite, and it takes no memory; one that is not may have grown too large.
    """
    floating = ((name, tensor) for name, tensor in tensors.items() if tensor.is_floating_point())
    suspects = ((name, tensor) for name, tensor in floating if not torch.isfinite(tensor.sum()))
    return next((name for name, tensor in suspects if not torch.isfinite(tensor).all()), None)


def cure(precision: object, otherwise: str = "lower --rate") -> str:
    """Return the hint for numbers that are not finite: in bfloat16, some layers of a model may be at fault."""
    return f"{_FLOAT32}; if that does not help, {otherwise}" if precision == "bfloat16" else otherwise


def check_gradients(model: nn.Module, step: int, precision: str) -> None:
    """Look at the gradients of one of the first steps.

    oneDNN, for one, fills the gradient of a 3×3 kernel over a 1×1 map with what lies about in memory, in bfloat16.

    Raises:
        ForgetkitError: ``diverged`` with the name of the first one that is not finite.
    """
    if step > LOOKED_AT:
        return
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    if broken := not_finite(gradients):
        name = broken.removeprefix("model.")  # a Classifier's
        message = f"the gradient of '{name}' is not finite in step {step}, in {precision}; nothing was written"
        raise ForgetkitError("diverged", message, cure(precision))
