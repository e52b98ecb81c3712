"""How to relabel, but for the rate: the paper's steps, one for each id, and joint steps beside retained samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.checkpoint import load_optimizer
from forgetkit.compute import generator_for
from forgetkit.methods.joint import joint
from forgetkit.methods.relabel import relabel, wrong_label_targets
from forgetkit.steps import Samples
from forgetkit.training import make_optimizer

REPLAY = 128
"""Retained samples in a joint step."""


@dataclass(frozen=True, kw_only=True)
class Relabeling:
    """How to relabel, but for the rate; the fields are options of the command.

    Attributes:
        classes: number of classes.
        margin: accuracy on unseen samples that may be lost.
        most_steps: joint steps at the most.
        state: optimizer state to go on with, if any.
    """

    optimizer: str
    momentum: float
    classes: int
    labels_per_id: int
    replay: int
    ids_per_step: int
    forget_weight: float
    margin: float
    most_steps: int
    seed: int
    state: Path | None = None

    def per_id(
        self, model: nn.Module, forget: Samples, retain: Samples | None, rate: float, *, done: int = 0
    ) -> tuple[Optimizer, Iterator[Tensor]]:
        """Return an optimizer, and the paper's steps: one for each id, less the first ``done``."""
        optimizer = self._optimizer(model, rate)
        steps = relabel(
            model,
            *forget,
            optimizer=optimizer,
            classes=self.classes,
            labels_per_id=self.labels_per_id,
            replay=self.replay,
            retain=retain if self.replay else None,
            seed=self.seed,
            done=done,
        )
        return optimizer, steps

    def joint(
        self, model: nn.Module, forget: Samples, retain: Samples, rate: float, *, done: int = 0
    ) -> tuple[Optimizer, Iterator[Tensor]]:
        """Return an optimizer, and joint steps, less the first ``done``."""
        optimizer, labels = self._optimizer(model, rate), forget[1].cpu()

        def targets(number: int) -> Tensor:
            generator = generator_for(self.seed, "relabel joint", number)
            drawn = wrong_label_targets(labels, self.classes, count=self.labels_per_id, generator=generator)
            return drawn.to(forget[1].device)

        steps = joint(
            model,
            forget[0],
            targets,
            retain,
            optimizer=optimizer,
            forget_weight=self.forget_weight,
            forget_batch=self.ids_per_step,
            retain_batch=self.replay or REPLAY,
            seed=self.seed,
            done=done,
        )
        return optimizer, steps

    def _optimizer(self, model: nn.Module, rate: float) -> Optimizer:
        optimizer = make_optimizer(model, self.optimizer, rate=rate, momentum=self.momentum)
        if self.state:
            load_optimizer(self.state, optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate
        return optimizer
