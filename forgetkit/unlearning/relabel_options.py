"""The options of ``relabel``: the paper's, and those that make other methods of random labels of it. Without torch."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    MOST,
    KeepOptimizer,
    Momentum,
    OptimizerName,
    Option,
    UtilityMargin,
    check_optimizer,
    choice,
    positive,
)
from forgetkit.unlearning.method_options import Stop, WeightDecay

EPOCHS = 10
"""Passes over retained samples: SalUn's."""
VARIANTS = ("weight_decay", "targets", "redraw", "stop", "epochs")
"""Options that a record names only where they are not the paper's: else it says what it said before there were any."""


@dataclass(frozen=True)
class Method:
    """How to relabel."""

    optimizer: OptimizerName = "adadelta"
    rate: Annotated[str, Option("Learning rate; auto searches for it.", metavar="auto|FLOAT")] = "auto"
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = 0.0
    mix: Annotated[
        str,
        Option(
            "A step for each id (the paper's), or with retained samples, beside or in turn; auto: what works.",
            metavar="auto|per-id|joint|forget-then-retain",
        ),
    ] = "auto"
    targets: Annotated[
        str,
        Option(
            "Wrong labels (the paper's); labels of all classes alike; or the class least like theirs.",
            metavar="wrong|any|contrast",
        ),
    ] = "wrong"
    redraw: Annotated[
        str,
        Option(
            "Draw labels once, anew in each pass over retained samples, or whenever an id has its turn.",
            metavar="once|epoch|step",
        ),
    ] = "step"
    labels_per_id: Annotated[
        str,
        Option("Labels drawn for each id (the paper's k').", metavar="all|N"),
    ] = "all"
    order: Annotated[str, Option("Order of the ids.", metavar="file|shuffle")] = "file"
    replay: Annotated[
        int,
        Option("Retained samples of the same class after each id; or in a step beside (0: 128).", metavar="N", min=0),
    ] = 0
    ids_per_step: Annotated[int, Option("Ids in a step, but for per-id.", metavar="N", min=1)] = 64
    forget_weight: Annotated[float, Option("Weight of the ids in a joint step.", metavar="W")] = 0.1
    stop: Stop = "unseen"
    epochs: Annotated[
        int | None,
        Option(
            "Passes over retained samples: 10; joint steps, until unseen: a fifth of a retraining.",
            metavar="N",
            min=1,
            max=MOST,
        ),
    ] = None
    utility_margin: UtilityMargin = 0.02
    keep_optimizer: KeepOptimizer = False
    allow_unforgotten: Annotated[
        bool,
        Option(
            "Write a result at a fixed rate although the ids are as recognisable as before.",
            flags=("--allow-unforgotten",),
        ),
    ] = False

    def check(self) -> None:
        """Refuse a value that is not to be had, and what does not go together; raises ForgetkitError ``usage``."""
        choice("--order", self.order, ("file", "shuffle"))
        choice("--mix", self.mix, ("auto", "per-id", "joint", "forget-then-retain"))
        choice("--targets", self.targets, ("wrong", "any", "contrast"))
        choice("--redraw", self.redraw, ("once", "epoch", "step"))
        choice("--stop", self.stop, ("unseen", "published"))
        positive("--forget-weight", self.forget_weight)
        positive("--utility-margin", self.utility_margin)
        check_optimizer(self.optimizer, 1.0 if self.fixed is None else self.fixed, self.momentum)
        self._check_draws()
        self._check_stop()

    def _check_draws(self) -> None:
        if self.targets == "contrast" and self.labels_per_id != "all":
            _refuse("--labels-per-id does not go with --targets contrast", "each id has one contrastive label")
        if self.redraw != "step" and self.aim[0] == "per-id":
            _refuse(f"--redraw {self.redraw} does not go with steps per id", "each id has one step: add --mix joint")
        if self.redraw != "step" and (self.targets == "contrast" or self.labels_per_id == "all"):
            _refuse(f"--redraw {self.redraw}: nothing is drawn", "for example: --targets wrong --labels-per-id 1")
        if self.mix == "forget-then-retain" and self.forget_weight != Method.forget_weight:
            _refuse("--forget-weight does not go with --mix forget-then-retain", "no step has both ids and retained")

    def _check_stop(self) -> None:
        if self.stop == "published" and self.fixed is None:
            _refuse("--stop published needs a --rate", "for example: --rate 0.01")
        if self.epochs is not None and self.aim[0] in {"auto", "per-id"}:
            _refuse("--epochs goes with --mix joint or forget-then-retain", "steps per id are one for each id")

    @property
    def published(self) -> bool:
        """Whether all the passes over retained samples are taken; steps per id take no passes."""
        return self.stop == "published" and self.aim[0] != "per-id"

    @property
    def passes(self) -> int:
        """The passes over retained samples that are taken at the most; 0 where nothing says so."""
        return self.epochs or (EPOCHS if self.published or self.mix == "forget-then-retain" else 0)

    @property
    def fixed(self) -> float | None:
        """The rate, where it is given."""
        if self.rate == "auto":
            return None
        try:
            return float(self.rate)
        except ValueError:
            message = f"--rate: '{self.rate}' is neither 'auto' nor a number"
            raise ForgetkitError("usage", message, "for example --rate 0.01") from None

    @property
    def aim(self) -> tuple[str, float | None, bool]:
        """Kind of steps, fixed rate if any, and whether a step that changed nothing is allowed."""
        mix = "per-id" if self.fixed is not None and self.mix == "auto" else self.mix
        return mix, self.fixed, self.allow_unforgotten

    @property
    def searched(self) -> list[str]:
        """The options that the step finds by itself."""
        mix, rate, _ = self.aim
        stops = mix in {"auto", "joint"} and not self.published
        wanted = {"mix": mix == "auto", "rate": rate is None, "joint_steps": stops}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def options(self, labels_per_id: int, state: str | None) -> dict[str, Any]:
        """Return what the record holds of it, as far as it is known beforehand; variants where they are wanted only."""
        given = {**asdict(self), "stop": "published" if self.published else "unseen", "epochs": self.passes or None}
        unsaid = {name for name in VARIANTS if given[name] == getattr(Method, name)} | {"allow_unforgotten"}
        options = {name: value for name, value in given.items() if name not in unsaid}
        known = {"mix": self.aim[0], "rate": self.fixed, "labels_per_id": labels_per_id, "optimizer_state": state}
        return {**options, **known, "joint_steps": None}

    def count(self, classes: int) -> int:
        """Return how many labels an id is trained towards; raises ForgetkitError ``usage``."""
        if self.targets == "contrast":
            return 1
        text, most = self.labels_per_id, classes if self.targets == "any" else classes - 1
        if text == "all":
            return most
        if not text.isdecimal() or not 1 <= int(text) <= most:
            hint = f"'all', or a number from 1 to {most}"
            raise ForgetkitError("usage", f"--labels-per-id: '{text}' does not fit {classes} classes", hint)
        return int(text)


def _refuse(message: str, hint: str) -> None:
    raise ForgetkitError("usage", message, hint)
