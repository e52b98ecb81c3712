"""What a training saw so far, and where it stands."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.training.resume import Bookmark, Place, pack, part, unpack

LOOP = "epochs"


@dataclass
class History:
    """What a training saw: one entry an epoch (``epoch``, ``loss``, ``tune_accuracy`` where it looked), and the best.

    ``best_epoch`` is None where no epoch was looked at; ``best`` holds the weights of that epoch where they are to be
    kept.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int | None = None
    best_right: float = -1.0
    best: dict[str, Tensor] | None = None


@dataclass(frozen=True)
class Position:
    """The epoch (counted from 1), how many of its steps were taken, and the sum of their losses, of shape ``()``."""

    epoch: int
    step: int
    total: Tensor


def place_of(history: History, position: Position, model: nn.Module, optimizer: Optimizer) -> Place:
    """Return where a training stands, for :func:`go_on`."""
    tensors = pack(model, optimizer) | {"total": position.total.cpu()}
    tensors |= {f"best.{name}": tensor.cpu().contiguous() for name, tensor in (history.best or {}).items()}
    at = {"epoch": position.epoch, "step": position.step, "epochs": history.epochs}
    return Place({**at, "best": [history.best_epoch, history.best_right]}, tensors)


def go_on(bookmark: Bookmark, history: History, model: nn.Module, optimizer: Optimizer) -> Position | None:
    """Put model, optimizer and history back to where an earlier run stood; return where, or None."""
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
