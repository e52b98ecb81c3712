"""Convolutions that a CPU gets wrong in bfloat16.

Where the input of a strided convolution is so small that some weights meet nothing but padding, their gradients are
zero. PyTorch 2.14 on CPUs with AVX-512, AMX or not, leaves them unwritten instead: whatever was in memory trains the
model, NaN included, and no two runs are alike. A network with batch norm on 8×8 images meets this in its last stage. In
float32 the gradients are right, and such small inputs cost nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

CONVOLUTIONS: tuple[Callable[..., Any], ...] = (torch.conv1d, torch.conv2d, torch.conv3d)


class SmallConvolutionsInFloat32(TorchFunctionMode):
    """Within this context, the convolutions in question are computed in float32; all others as autocast says."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function returns
        """Call a function of torch."""
        if func in CONVOLUTIONS and _is_small(*args, **(kwargs or {})):
            with torch.autocast("cpu", enabled=False):
                floats = {name: _in_float32(one) for name, one in (kwargs or {}).items()}
                return func(*map(_in_float32, args), **floats)
        return func(*args, **(kwargs or {}))


def has_strides(model: nn.Module) -> bool:
    """Say whether a model has a convolution that skips pixels; for others, the context would only cost time."""
    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return any(isinstance(one, layers) and max(one.stride) > 1 for one in model.modules())


def _in_float32(given: object) -> object:
    return given.float() if isinstance(given, torch.Tensor) else given


def _is_small(
    input: torch.Tensor,  # named as torch names it, for models may name it too
    weight: torch.Tensor,
    bias: object = None,
    stride: int | Sequence[int] = 1,
    padding: object = 0,
    dilation: int | Sequence[int] = 1,
    groups: object = 1,
) -> bool:
    """Say whether some weights of a convolution may meet no pixel: its steps are wide, and its input is small."""
    sizes = input.shape[-(weight.ndim - 2) :]
    steps, spread = (_each(given, len(sizes)) for given in (stride, dilation))
    reach = [gap * (kernel - 1) + 1 for kernel, gap in zip(weight.shape[2:], spread, strict=True)]
    return any(step > 1 and size < far + step for size, far, step in zip(sizes, reach, steps, strict=True))


def _each(given: int | Sequence[int], count: int) -> Sequence[int]:
    """Return a setting for each dimension; one may be given for all."""
    values = [given] if isinstance(given, int) else list(given)
    return values if len(values) == count else values * count
