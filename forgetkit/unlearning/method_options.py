"""The options that every method of steps has: what moves the weights, how long, and where to stop. Without torch."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from forgetkit.options import (
    MOST,
    Momentum,
    OptimizerName,
    Option,
    Rate,
    UtilityMargin,
    check_optimizer,
    choice,
    positive,
)

Stop = Annotated[
    str,
    Option(
        "Stop where the ids look like data never seen; or take all the epochs, as published.",
        metavar="unseen|published",
    ),
]
Epochs = Annotated[int, Option("Passes over the data.", metavar="N", min=1, max=MOST)]
BatchSize = Annotated[int, Option("Samples in a step.", metavar="N", min=2, max=MOST)]
WeightDecay = Annotated[float, Option("Weight decay.", metavar="FLOAT", min=0)]


@dataclass(frozen=True)
class Steps:
    """How steps are taken."""

    stop: Stop = "unseen"
    epochs: Epochs = 10
    optimizer: OptimizerName = "sgd"
    rate: Rate = 0.01
    momentum: Momentum = 0.0
    weight_decay: WeightDecay = 0.0
    batch_size: BatchSize = 128
    utility_margin: UtilityMargin = 0.02

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        choice("--stop", self.stop, ("unseen", "published"))
        self.check_steps()

    def check_steps(self) -> None:
        """Refuse an optimizer, a rate or a margin that is not to be had; raises ForgetkitError ``usage``."""
        positive("--utility-margin", self.utility_margin)
        check_optimizer(self.optimizer, self.rate, self.momentum)

    def options(self) -> dict[str, Any]:
        """Return what the record holds of it."""
        return asdict(self)
