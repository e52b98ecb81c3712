"""What a method makes of a model, and the files that a step reads and writes besides its checkpoint."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.files.publish import publish_lines
from forgetkit.files.record import Record
from forgetkit.models.optimizer_state import optimizer_path, save_optimizer
from forgetkit.training.importance import publish_importance
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.sets import Sets


@dataclass(frozen=True)
class Outcome:
    """What a method made of a model.

    Attributes:
        metrics: what it measured.
        resolved: values of the options that it searched for.
        optimizer: as it ended, if it may be kept.
        importance: of each weight for all samples, by name, if it was computed.
    """

    metrics: dict[str, Any]
    resolved: dict[str, Any] = field(default_factory=dict)
    optimizer: Optimizer | None = None
    importance: dict[str, Tensor] | None = None


Work = Callable[[nn.Module, Sets, Bookmark], Outcome]
"""Changes the model in place; may use the sets, and keep its state with the bookmark."""


@dataclass(frozen=True)
class Beside:
    """The files that a step writes beside its checkpoint.

    Attributes:
        log: JSON lines of its evaluations or epochs.
        optimizer: whether to keep the state of the optimizer.
        importance: the importance of the weights.
    """

    log: str | None = None
    optimizer: bool = False
    importance: str | None = None

    def paths(self, target: Path) -> tuple[Path, ...]:
        """Return the files beside the checkpoint at ``target``."""
        named = tuple(Path(name) for name in (self.log, self.importance) if name is not None)
        return (*named, optimizer_path(target)) if self.optimizer else named

    def write(self, target: Path, outcome: Outcome, bookmark: Bookmark, written: Record, parent: Record) -> None:
        """Write them."""
        if self.log is not None:
            publish_lines(Path(self.log), bookmark.log)
        if self.importance is not None and outcome.importance is not None:
            publish_importance(Path(self.importance), outcome.importance, parent)
        if self.optimizer and outcome.optimizer is not None:
            name = written.steps[-1].options["optimizer"]
            save_optimizer(target, outcome.optimizer, name=name, digest=written.digest)


@dataclass(frozen=True)
class Inputs:
    """Files that a step reads besides its checkpoint and ID lists; no output may replace one.

    Attributes:
        models: further checkpoints.
        mask: which weights may change.
        others: all else.
    """

    models: tuple[Path, ...] = ()
    mask: str | None = None
    others: tuple[Path, ...] = ()
