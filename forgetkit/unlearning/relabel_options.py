"""The settings of ``relabel``, and of ``random-labels``, the other methods of random labels. Without torch."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    DETAILS,
    KeepOptimizer,
    Momentum,
    OptimizerName,
    Option,
    UtilityMargin,
    check_positive,
    choice,
    refuse_given,
)
from forgetkit.training.recipe import check_optimizer
from forgetkit.unlearning.method_options import BatchSize, EpochSettings, IdsPerStep, WeightDecay

ForgetWeight = Annotated[float, Option("Weight of the ids in a joint step.", metavar="FLOAT", panel=DETAILS)]
LabelsPerId = Annotated[str, Option("Labels drawn for each id (the paper's k').", metavar="all|N", panel=DETAILS)]
REPLAY = 128
"""Retained samples in a joint step."""


@dataclass(frozen=True)
class Relabel:
    """How to relabel (Li & Ghosh 2023)."""

    optimizer: OptimizerName = "adadelta"
    rate: Annotated[str, Option("Learning rate; auto searches for it.", metavar="auto|FLOAT")] = "auto"
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = 0.0
    mix: Annotated[
        str,
        Option(
            "One id a step, as published, or ids and retained samples in one batch; auto tries both.",
            metavar="auto|per-id|joint",
        ),
    ] = "auto"
    labels_per_id: LabelsPerId = "all"
    order: Annotated[str, Option("Order of the ids.", metavar="file|shuffle", panel=DETAILS)] = "file"
    replay: Annotated[
        int,
        Option(
            "Retained samples of the same class after each id; in a joint step, of any class (0: 128).",
            "N",
            min=0,
            panel=DETAILS,
        ),
    ] = 0
    ids_per_step: Annotated[int, Option("Ids in a joint step.", metavar="N", min=1, panel=DETAILS)] = 64
    forget_weight: ForgetWeight = 0.1
    utility_margin: UtilityMargin = 0.02
    keep_optimizer: KeepOptimizer = False
    allow_unforgotten: Annotated[
        bool,
        Option(
            "Write the result of a fixed rate even if the ids are still recognisable or accuracy is lost.",
            panel=DETAILS,
        ),
    ] = False

    def check(self) -> None:
        """Refuse a value out of range; raises ForgetkitError ``usage``."""
        choice("order", self.order, ("file", "shuffle"))
        choice("mix", self.mix, ("auto", "per-id", "joint"))
        check_positive(self, "forget_weight", "utility_margin")
        check_optimizer(self.optimizer, 1.0 if self.fixed is None else self.fixed, self.momentum)
        if self.fixed is None or self.kind != "per-id":
            refuse_given(self, ("allow_unforgotten",), "needs a fixed --rate, and steps per id", "give --rate FLOAT")
        if self.kind == "per-id":
            refuse_given(self, ("ids_per_step", "forget_weight"), "not with steps per id", "add --mix joint")

    @property
    def fixed(self) -> float | None:
        """The rate, if it is given.

        Raises:
            ForgetkitError: ``usage`` for what is not a number.
        """
        if self.rate == "auto":
            return None
        try:
            return float(self.rate)
        except ValueError:
            message = f"'{self.rate}' is neither 'auto' nor a number"
            raise ForgetkitError("usage", message, "for example --rate 0.01", option="rate") from None

    @property
    def kind(self) -> str:
        """The kind of steps; with a fixed rate, ``auto`` is ``per-id``."""
        return "per-id" if self.fixed is not None and self.mix == "auto" else self.mix

    @property
    def searched(self) -> list[str]:
        """The options that the step finds by itself."""
        auto = self.kind == "auto"
        wanted = {
            "mix": auto,
            "rate": self.fixed is None,
            "joint_steps": self.kind != "per-id",
            "norm_statistics": auto,
        }
        return [name for name, is_wanted in wanted.items() if is_wanted]

    @property
    def retained_per_step(self) -> int:
        """Retained samples in a joint step."""
        return self.replay or REPLAY

    def labels(self, classes: int) -> int:
        """Return the number of wrong labels for each id; raises ForgetkitError ``usage``."""
        return labels_of(self.labels_per_id, classes - 1, classes)

    def options(self, classes: int, state: str | None) -> dict[str, Any]:
        """Return what the record holds of it, as far as it is known before the step.

        Args:
            classes: number of classes.
            state: digest of the optimizer state that the step continues with, if any.
        """
        options = asdict(self)
        del options["allow_unforgotten"]
        if self.weight_decay == Relabel.weight_decay:
            del options["weight_decay"]  # records before there was one stay comparable
        known = {"mix": self.kind, "rate": self.fixed, "labels_per_id": self.labels(classes), "optimizer_state": state}
        return {**options, **known, "joint_steps": None}


@dataclass(frozen=True)
class RandomLabels(EpochSettings):
    """How to train with random labels (Fan et al. 2024, Graves et al. 2021)."""

    rate: Annotated[float, Option("Learning rate.", metavar="FLOAT")] = 0.013
    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4
    batch_size: BatchSize = 256
    mix: Annotated[
        str,
        Option("In each epoch the ids, then the retain set, or both in each step.", metavar="forget-then-retain|joint"),
    ] = "forget-then-retain"
    targets: Annotated[
        str,
        Option("Wrong labels, any, or the class that the original finds least similar.", metavar="wrong|any|contrast"),
    ] = "wrong"
    redraw: Annotated[str, Option("Draw labels once, or anew in each epoch.", metavar="once|epoch")] = "epoch"
    labels_per_id: LabelsPerId = "1"
    ids_per_step: IdsPerStep = 256
    forget_weight: ForgetWeight = 0.1

    def check(self) -> None:
        """Refuse a value out of range, and settings that exclude each other; raises ForgetkitError ``usage``."""
        super().check()
        choice("mix", self.mix, ("forget-then-retain", "joint"))
        choice("targets", self.targets, ("wrong", "any", "contrast"))
        choice("redraw", self.redraw, ("once", "epoch"))
        check_positive(self, "forget_weight")
        if self.targets == "contrast":
            hint = "each id has one contrastive label"
            refuse_given(self, ("labels_per_id", "redraw"), "not with --targets contrast", hint)
        if self.labels_per_id == "all":
            refuse_given(self, ("redraw",), "not with --labels-per-id all", "there is nothing to draw")
        if self.mix != "joint":
            hint = "no step has both ids and retained samples: add --mix joint"
            refuse_given(self, ("forget_weight",), "not with --mix forget-then-retain", hint)

    def options(self, classes: int) -> dict[str, Any]:
        """Return the settings as the method takes them; raises ForgetkitError ``usage``."""
        most = classes if self.targets == "any" else classes - 1
        return {**super().options(classes), "labels_per_id": labels_of(self.labels_per_id, most, classes)}


def labels_of(text: str, most: int, classes: int) -> int:
    """Return a number of labels, ``all`` being ``most``; raises ForgetkitError ``usage``."""
    if text == "all":
        return most
    if not text.isdecimal() or not 1 <= int(text) <= most:
        message = f"'{text}' does not fit {classes} classes"
        raise ForgetkitError("usage", message, f"'all', or a number from 1 to {most}", option="labels_per_id")
    return int(text)
