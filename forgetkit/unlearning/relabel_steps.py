"""How to relabel, but for the rate: a step for each id, as the paper has it, or steps beside retained samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path

from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from forgetkit.files.record import Record
from forgetkit.methods.forget_then_retain import forget_then_retain
from forgetkit.methods.joint import joint
from forgetkit.methods.relabel import relabel, wrong_label_targets
from forgetkit.methods.targets import any_label_targets, contrast_targets
from forgetkit.models.optimizer_state import load_optimizer
from forgetkit.training.classifier import Samples, predict
from forgetkit.training.device import generator_for
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.recipe import recorded_epochs

REPLAY = 128
"""Retained samples in a step beside those to forget."""
SHARE_OF_RETRAINING = 0.2
"""What joint steps at one rate may take of the work of a retraining."""


def most_joint_steps(record: Record, retained: int, ids_per_step: int, replay: int) -> int:
    """Return the joint steps that take a fifth of the work of a retraining.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` where the record's number of epochs is none.
    """
    images = recorded_epochs(record.recipe) * retained
    return max(1, int(SHARE_OF_RETRAINING * images / (ids_per_step + (replay or REPLAY))))


@dataclass(frozen=True, kw_only=True)
class Relabeling:
    """How to relabel, but for the rate; the fields are options of the command.

    Attributes:
        classes: number of classes.
        margin: accuracy on unseen samples that may be lost.
        most_steps: joint steps at the most.
        epochs: passes over the retained samples at the most; 0 where ``most_steps`` says so.
        published: whether to take them all, and not to stop where a retrained model would be.
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
    weight_decay: float = 0.0
    targets: str = "wrong"
    redraw: str = "step"
    epochs: int = 0
    published: bool = False
    state: Path | None = None

    def begin(
        self, mix: str, model: nn.Module, forget: Samples, retain: Samples, rate: float, *, done: int = 0
    ) -> tuple[Optimizer, Iterator[Tensor]]:
        """Return an optimizer, and the steps of a kind, less the first ``done``.

        Args:
            mix: ``per-id``, ``joint`` or ``forget-then-retain``.
            model: in its state before the first step; it is put into that after ``done`` before a step is asked for.
            forget: images and labels of what is to be forgotten.
            retain: images and labels of the retain set.
            rate: learning rate.
            done: steps that were taken before.
        """
        if mix == "per-id":
            return self.per_id(model, forget, retain, rate, done=done)
        return (self.joint if mix == "joint" else self.in_turn)(model, forget, retain, rate, done=done)

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
            targets=self._drawer(model, forget, "relabel")(0),
            replay=self.replay,
            retain=retain if self.replay else None,
            seed=self.seed,
            done=done,
        )
        return optimizer, steps

    def joint(
        self, model: nn.Module, forget: Samples, retain: Samples, rate: float, *, done: int = 0
    ) -> tuple[Optimizer, Iterator[Tensor]]:
        """Return an optimizer, and joint steps, less the first ``done``; without end unless there are ``epochs``."""
        optimizer = self._optimizer(model, rate)
        steps = joint(
            model,
            forget[0],
            self._drawer(model, forget, "relabel joint"),
            retain,
            optimizer=optimizer,
            forget_weight=self.forget_weight,
            forget_batch=self.ids_per_step,
            retain_batch=self.replay or REPLAY,
            by_epoch=self.redraw == "epoch",
            seed=self.seed,
            done=done,
        )
        return optimizer, islice(steps, max(0, self.count("joint", forget, retain) - done)) if self.epochs else steps

    def in_turn(
        self, model: nn.Module, forget: Samples, retain: Samples, rate: float, *, done: int = 0
    ) -> tuple[Optimizer, Iterator[Tensor]]:
        """Return an optimizer, and passes over the forget set and the retain set in turn, less the first ``done``."""
        optimizer = self._optimizer(model, rate)
        steps = forget_then_retain(
            model,
            forget[0],
            self._drawer(model, forget, "relabel turn"),
            retain,
            optimizer=optimizer,
            epochs=self.epochs,
            forget_batch=self.ids_per_step,
            retain_batch=self.replay or REPLAY,
            seed=self.seed,
            done=done,
        )
        return optimizer, steps

    def count(self, mix: str, forget: Samples, retain: Samples) -> int:
        """Return how many steps of a kind there are at the most."""
        if mix == "per-id":
            return len(forget[1]) * (2 if self.replay else 1)
        kept, gone = ceil(len(retain[1]) / (self.replay or REPLAY)), ceil(len(forget[1]) / self.ids_per_step)
        if mix == "joint":
            return self.epochs * kept or self.most_steps
        return self.epochs * (kept + gone)

    def batch(self, mix: str, forget: Samples, retain: Samples) -> int:
        """Return how many samples a step beside retained ones takes: both sets' in a joint step, else on average."""
        if mix == "joint":
            return min(self.ids_per_step, len(forget[1])) + (self.replay or REPLAY)
        return ceil(self.epochs * (len(forget[1]) + len(retain[1])) / self.count(mix, forget, retain))

    def _drawer(self, model: nn.Module, forget: Samples, purpose: str) -> Callable[[int], Tensor]:
        """Return what gives the soft targets of a turn; the model is the original now, but need not be so later."""
        if self.targets == "contrast":
            contrast = contrast_targets(predict(model, forget[0]), forget[1])
            return lambda _: contrast
        labels, draws = forget[1].cpu(), any_label_targets if self.targets == "any" else wrong_label_targets

        def drawn(turn: int) -> Tensor:
            found = draws(labels, self.classes, count=self.labels_per_id, generator=self._generator(purpose, turn))
            return found.to(forget[1].device)

        return drawn

    def _generator(self, purpose: str, turn: int) -> Generator:
        """Return the source of a turn's labels; turn 0 is the only one."""
        return generator_for(self.seed, purpose, *([1 if self.redraw == "once" else turn] if turn else []))

    def _optimizer(self, model: nn.Module, rate: float) -> Optimizer:
        given = {"rate": rate, "momentum": self.momentum, "weight_decay": self.weight_decay}
        optimizer = make_optimizer(model, self.optimizer, **given)
        if self.state:
            load_optimizer(self.state, optimizer)
            for group in optimizer.param_groups:
                group["lr"] = rate
        return optimizer
