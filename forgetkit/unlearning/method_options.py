"""Settings of the methods, as plain dataclasses; without torch. Those of simple methods are beside their commands."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    DETAILS,
    MOST,
    Momentum,
    OptimizerName,
    Option,
    Rate,
    UtilityMargin,
    check_positive,
    choice,
    refuse_given,
)
from forgetkit.training.recipe import check_optimizer

Stop = Annotated[
    str, Option("When the ids look like unseen samples, or after all epochs, as published.", metavar="unseen|published")
]
Epochs = Annotated[int, Option("Passes over the data.", metavar="N", min=1, max=MOST)]
BatchSize = Annotated[int, Option("Samples in a step.", metavar="N", min=2, max=MOST)]
IdsPerStep = Annotated[int, Option("Ids in a step.", metavar="N", min=1)]
WeightDecay = Annotated[float, Option("Weight decay.", metavar="FLOAT", min=0, panel=DETAILS)]


@dataclass(frozen=True)
class StepSettings:
    """How a method trains, whichever it is; ``stops`` are the values of ``stop``."""

    stops: ClassVar[tuple[str, ...]] = ("unseen", "published")
    stop: Stop = "unseen"
    optimizer: OptimizerName = "sgd"
    rate: Rate = 0.01
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = 0.0
    utility_margin: UtilityMargin = 0.02

    def check(self) -> None:
        """Refuse a value out of range.

        Raises:
            ForgetkitError: ``usage``, with the setting's name.
        """
        choice("stop", self.stop, self.stops)
        check_positive(self, "utility_margin")
        if self.stop != "unseen":
            refuse_given(self, ("utility_margin",), f"not with --stop {self.stop}", "accuracy is not judged then")
        check_optimizer(self.optimizer, self.rate, self.momentum, usual=type(self).momentum)

    @property
    def uses_retained(self) -> bool:
        """Whether there are steps on retained samples, which are taken in train mode."""
        return True

    def options(self, classes: int) -> dict[str, Any]:
        """Return the settings as a method takes them and a record holds them, for a number of classes."""
        return {**asdict(self), "momentum": self.momentum if self.optimizer == "sgd" else 0.0}


@dataclass(frozen=True)
class EpochSettings(StepSettings):
    """How a method trains that makes passes over the data."""

    epochs: Epochs = 10
    batch_size: BatchSize = 128


@dataclass(frozen=True)
class Neutralize:
    """How to neutralize (Kim & Woo 2022, stage 1)."""

    labels: Annotated[
        str, Option("Train towards the class with the least, or greatest other, output.", metavar="minimum|maximum")
    ] = "minimum"
    match: Annotated[
        str | None,
        Option(
            "Match classes one to one, or take each by itself.",
            metavar="one-to-one|each",
            unset="one-to-one with minimum, each with maximum",
            panel=DETAILS,
        ),
    ] = None
    average: Annotated[
        str, Option("Outputs that are averaged for --labels.", metavar="logits|probabilities", panel=DETAILS)
    ] = "logits"
    stop: Annotated[
        str,
        Option(
            "When the ids look like unseen samples, or, as published, at that accuracy on them.",
            metavar="unseen|chance|zero",
        ),
    ] = "unseen"
    check_at: Annotated[
        str, Option("Evaluate 20 times an epoch, or once.", "often|epoch", flags=("--check",), panel=DETAILS)
    ] = "often"
    max_epochs: Annotated[int, Option("Give up after this many epochs.", metavar="N", min=1)] = 500
    optimizer: OptimizerName = "adam"
    rate: Rate = 0.001
    momentum: Momentum = 0.0
    utility_margin: UtilityMargin = 0.02
    batch_size: Annotated[
        int, Option("Samples in a step; 0: a 20th of the ids, 8 to 128.", "N", min=0, max=MOST, panel=DETAILS)
    ] = 0

    def check(self, *, limited: bool = False) -> None:
        """Refuse a value out of range; raises ForgetkitError ``usage``.

        Args:
            limited: whether a limit of divergence is given, which judges accuracy as well.
        """
        choice("labels", self.labels, ("minimum", "maximum"))
        choice("match", self.matching, ("one-to-one", "each"))
        choice("average", self.average, ("logits", "probabilities"))
        choice("stop", self.stop, ("unseen", "chance", "zero"))
        check_positive(self, "utility_margin")
        choice("check", self.check_at, ("often", "epoch"))
        check_optimizer(self.optimizer, self.rate, self.momentum)
        if self.stop != "unseen" and not limited:
            refuse_given(self, ("utility_margin",), f"not with --stop {self.stop}", "accuracy is not judged then")

    @property
    def matching(self) -> str:
        """How classes are matched: as Algorithm 2 has it for the minimum mislabel, as section 5.2 for the maximum."""
        return self.match or ("one-to-one" if self.labels == "minimum" else "each")

    def samples_per_step(self, ids: int) -> int:
        """Return the batch size for a number of ids."""
        return self.batch_size or min(128, max(8, ids // 20))

    @property
    def evaluations_per_epoch(self) -> int:
        """How often an epoch is evaluated."""
        return 20 if self.check_at == "often" else 1

    def options(self, ids: int) -> dict[str, Any]:
        """Return what the record holds of it for a number of ids."""
        options = {**asdict(self), "batch_size": self.samples_per_step(ids), "match": self.matching}
        options["check"] = options.pop("check_at")
        return options


@dataclass(frozen=True)
class Distill:
    """How to distil (Kim & Woo 2022, stage 2), and how a second teacher teaches the ids."""

    retain_fraction: Annotated[float, Option("Share of the retain set in an epoch, drawn anew.", metavar="SHARE")] = 0.5
    alpha: Annotated[float, Option("Weight of the cross-entropy.", metavar="FLOAT", min=0)] = 1.1
    beta: Annotated[float, Option("Weight of the distillation loss.", metavar="FLOAT", min=0)] = 0.9
    temperature: Annotated[float, Option("Softmax temperature.", metavar="FLOAT")] = 4.0
    distill_epochs: Annotated[
        int, Option("Epochs with the teacher before plain cross-entropy.", metavar="N", min=0)
    ] = 10
    forget_weight: Annotated[
        float, Option("With both teachers, weight of the ids beside the retain set.", metavar="FLOAT", panel=DETAILS)
    ] = 2.0
    steps: Annotated[
        int, Option("Steps with both teachers; 0: 17 % of a training.", metavar="N", min=0, panel=DETAILS)
    ] = 0
    ids_per_step: Annotated[int, Option("Ids in a step with both teachers.", metavar="N", min=1, panel=DETAILS)] = 16
    replay: Annotated[
        int, Option("Retained samples in a step with both teachers.", metavar="N", min=1, panel=DETAILS)
    ] = 16
    allow_unforgotten: Annotated[
        bool,
        Option(
            "With both teachers, write the result even if the ids are still recognisable or accuracy is lost.",
            panel=DETAILS,
        ),
    ] = False
    utility_margin: UtilityMargin = 0.02

    def options(self, *, second_teacher: bool) -> dict[str, Any]:
        """Return what the record holds of it; the settings of a second teacher only if there is one."""
        options = asdict(self)
        both = ("forget_weight", "steps", "ids_per_step", "replay", "utility_margin")
        unused = ("allow_unforgotten", *(("retain_fraction", "distill_epochs") if second_teacher else both))
        return {name: value for name, value in options.items() if name not in unused}

    def check(self, *, second_teacher: bool) -> None:
        """Refuse a value out of range, and settings that would not be used; raises ForgetkitError ``usage``."""
        check_positive(self, "forget_weight", "utility_margin")
        check_share("retain_fraction", self.retain_fraction, "the paper's is 0.5")
        check_positive(self, "temperature")
        if second_teacher:
            why = "not with --forget-teacher"
            refuse_given(self, ("distill_epochs",), why, "both teachers teach to the end: leave it out")
            refuse_given(self, ("retain_fraction",), why, "a step has --replay retained samples: leave it out")
        else:
            both = ("forget_weight", "ids_per_step", "replay", "steps", "allow_unforgotten", "utility_margin")
            refuse_given(self, both, "needs --forget-teacher", "one teacher does not teach the ids: leave it out")
        if self.allow_unforgotten:
            refuse_given(self, ("utility_margin",), "not with --allow-unforgotten", "accuracy is not judged then")
        if not (second_teacher or self.distill_epochs):
            why = "not with --distill-epochs 0"
            refuse_given(self, ("alpha", "beta", "temperature"), why, "no epoch has a teacher then")
        if not self.beta:
            refuse_given(self, ("temperature",), "not with --beta 0", "the distillation loss has no weight then")


@dataclass(frozen=True)
class Dampen:
    """How to dampen (Foster et al. 2024)."""

    alpha: Annotated[
        float,
        Option(
            "Dampen weights at least this many times more important for the ids than for all data.",
            metavar="FLOAT",
            min=0,
        ),
    ] = 10.0
    strength: Annotated[float, Option("Lower values shrink weights more.", metavar="FLOAT", min=0)] = 1.0

    def check(self) -> None:
        """Refuse a value out of range; raises ForgetkitError ``usage``."""
        check_positive(self, "alpha", "strength")


def check_share(name: str, value: float, hint: str) -> None:
    """Refuse a share that is not in (0, 1]; raises ForgetkitError ``usage``."""
    if not 0 < value <= 1:
        raise ForgetkitError("usage", f"{value} is not in (0, 1]", hint, option=name)
