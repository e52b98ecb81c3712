"""What a training measured so far, and how it continues after an interruption."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.training.packing import pack, part, unpack
from forgetkit.training.resume import Bookmark, Place

LOOP = "epochs"


@dataclass
class History:
    """What a training measured.

    Attributes:
        epochs: one entry an epoch: ``epoch``, ``loss`` and, if it was measured, ``tune_accuracy``.
        best_epoch: the epoch with the highest accuracy on the tune half; None if it was not measured.
        best_right: that accuracy, in [0, 1]; -1 before the first.
        best: the weights after that epoch, if they are to be kept.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best_right: float = -1.0
    best: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class Position:
    """An epoch, counted from 1, the number of its steps taken so far, and the sum of their losses, of shape ``()``."""

    epoch: int
    step: int
    total: Tensor


def place_of(history: History, position: Position, model: nn.Module, optimizer: Optimizer) -> Place:
    """Return the state of a training, for :func:`go_on`."""
    tensors = pack(model, optimizer) | {"total": position.total.cpu()}
    tensors |= {f"best.{name}": tensor.cpu().contiguous() for name, tensor in (history.best or {}).items()}
    at = {"epoch": position.epoch, "step": position.step, "epochs": history.epochs}
    return Place({**at, "best": [history.best_epoch, history.best_right]}, tensors)


def go_on(bookmark: Bookmark, history: History, model: nn.Module, optimizer: Optimizer) -> Position | None:
    """Restore model, optimizer and history of an interrupted run; return its position, or None if there is none."""
    place = bookmark.open(LOOP)
    if place is None:
        return None
    unpack(place.tensors, model, optimizer)
    history.epochs[:] = place.at["epochs"]
    history.best_epoch, history.best_right = place.at["best"]
    if kept := part(place.tensors, "best."):
        state = model.state_dict()  # keeps the versions that some modules look for
        state.update({name: tensor.to(state[name].device) for name, tensor in kept.items()})
        history.best = state
    return Position(place.at["epoch"], place.at["step"], place.tensors["total"])
