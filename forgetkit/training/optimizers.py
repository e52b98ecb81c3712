"""torch's optimizers by name, without its compiler."""

import inspect
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from forgetkit.errors import ForgetkitError, did_you_mean
from forgetkit.options import OPTIMIZERS
from forgetkit.training.recipe import Recipe


def _uncompiled(kind: Any) -> Any:  # noqa: ANN401 - torch's classes differ in what they take
    """Return an optimizer's class without its calls of torch's compiler, whose import takes longer than many a step."""
    wrapped = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    return type(kind.__name__, (kind,), {**plain, "step": torch.no_grad()(inspect.unwrap(kind.step))})


_ADAM, _ADAMW, _ADADELTA, _SGD = map(
    _uncompiled, (torch.optim.Adam, torch.optim.AdamW, torch.optim.Adadelta, torch.optim.SGD)
)


SMALLEST = 0.01
"""Root mean square of a tensor below which a relative rate does not fall: biases begin at 0."""


def make_optimizer(
    model: nn.Module,
    name: str,
    *,
    rate: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    relative: bool = False,
) -> Optimizer:
    """Return an optimizer over the model's parameters that have gradients; on a GPU, one whose steps can be recorded.

    Args:
        model: at least one of its parameters has a gradient.
        name: ``adam``, ``adamw``, ``adadelta`` or ``sgd``.
        rate: learning rate, above 0.
        momentum: momentum of sgd, in [0, 1).
        weight_decay: 0 or more.
        relative: multiply the rate of each tensor by its root mean square at the start, or 0.01 if that is more: a rate
            then changes the weights of a wide layer and those of a narrow one by the same share (Shazeer & Stern,
            "Adafactor", 2018, section 8).

    Raises:
        ForgetkitError: ``usage`` for an unknown name.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    on_gpu = trained[0].is_cuda
    parameters: list[Any] = trained
    if relative:
        sizes = [max(SMALLEST, float(parameter.detach().square().mean().sqrt())) for parameter in trained]
        parameters = [{"params": [of], "lr": rate * size} for of, size in zip(trained, sizes, strict=True)]
    optimizer: Optimizer
    if name == "adam":
        optimizer = _ADAM(parameters, lr=rate, weight_decay=weight_decay, fused=True, capturable=on_gpu)
    elif name == "adamw":
        optimizer = _ADAMW(parameters, lr=rate, weight_decay=weight_decay, fused=True, capturable=on_gpu)
    elif name == "adadelta":
        optimizer = _ADADELTA(parameters, lr=rate, weight_decay=weight_decay, capturable=on_gpu)
    elif name == "sgd":  # on a CPU, its fused kernel is four times slower with channels_last weights
        optimizer = _SGD(parameters, lr=rate, momentum=momentum, weight_decay=weight_decay, fused=on_gpu or None)
    else:
        raise ForgetkitError("usage", f"there is no optimizer '{name}'", did_you_mean(name, OPTIMIZERS))
    optimizer.register_load_state_dict_post_hook(_lay_out)
    return optimizer


def optimizer_of(model: nn.Module, recipe: Recipe, *, relative: bool = False) -> Optimizer:
    """Return the optimizer that ``recipe`` names, over the model's parameters; see :func:`make_optimizer`."""
    how = {"rate": recipe.rate, "momentum": recipe.momentum, "weight_decay": recipe.weight_decay}
    return make_optimizer(model, recipe.optimizer, **how, relative=relative)


def _lay_out(optimizer: Optimizer) -> None:
    """Give loaded state the memory layout of its parameter: fused kernels go by memory, not by index."""
    for parameter, entries in optimizer.state.items():
        for name, value in entries.items():
            if torch.is_tensor(value) and value.shape == parameter.shape:
                entries[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
