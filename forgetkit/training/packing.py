"""The state of a model and its optimizer as tensors with names, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def pack(model: nn.Module, optimizer: Optimizer | None = None, *, name: str = "") -> dict[str, Tensor]:
    """Return the tensors of a model, and of an optimizer with its rates, by names that begin with ``name``."""
    found = {f"{name}model.{key}": _whole(value) for key, value in model.state_dict().items()}
    if optimizer is not None:
        found |= pack_optimizer(optimizer.state_dict(), name=name)
    return found


def pack_optimizer(state: Mapping[str, Any], *, name: str = "") -> dict[str, Tensor]:
    """Return the tensors of an optimizer's state, and its rates."""
    rates = torch.tensor([group["lr"] for group in state["param_groups"]], dtype=torch.float64)
    return {f"{name}rates": rates} | {
        f"{name}optimizer.{row}.{key}": _whole(torch.as_tensor(value))
        for row, entries in state["state"].items()
        for key, value in entries.items()
        if value is not None
    }


def unpack(tensors: Mapping[str, Tensor], model: nn.Module, optimizer: Optimizer | None = None) -> None:
    """Put what :func:`pack` took into a model and an optimizer."""
    state = model.state_dict()
    state.update(part(tensors, "model."))
    model.load_state_dict(state)
    if optimizer is None:
        return
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in part(tensors, "optimizer.").items():
        row, _, kind = key.partition(".")
        entries.setdefault(int(row), {})[kind] = value
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
    for group, rate in zip(optimizer.param_groups, tensors["rates"].tolist(), strict=True):
        group["lr"] = rate


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with ``name``, without it."""
    return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}


def _whole(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
