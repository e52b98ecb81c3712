"""``forgetkit scrub``: away from the original on the ids, back to it on the retain set."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import Checkpoint, OptimizerName, Option, Rate, check_positive, refuse_given
from forgetkit.unlearning.method_options import BatchSize, EpochSettings, IdsPerStep
from forgetkit.unlearning.step_options import MethodOptions


@dataclass(frozen=True)
class Scrub(EpochSettings):
    """How to scrub."""

    stops: ClassVar[tuple[str, ...]] = ("unseen", "rewind", "published")
    stop: Annotated[
        str,
        Option(
            "Keep the best evaluation, the epoch whose error on the ids is nearest to that on unseen samples, or the "
            "last epoch.",
            metavar="unseen|rewind|published",
        ),
    ] = "unseen"
    optimizer: OptimizerName = "adam"
    rate: Rate = 5e-4
    batch_size: BatchSize = 64
    away_epochs: Annotated[int, Option("Epochs that begin with a pass away from the original.", metavar="N", min=0)] = 3
    ids_per_step: IdsPerStep = 32
    ce_weight: Annotated[float, Option("Weight of the cross-entropy on retained samples.", metavar="FLOAT", min=0)] = (
        1.0
    )
    kl_weight: Annotated[
        float, Option("Weight of the divergence from the original on retained samples.", metavar="FLOAT", min=0)
    ] = 0.5
    temperature: Annotated[float, Option("Softmax temperature.", metavar="FLOAT")] = 2.0

    def check(self) -> None:
        """Refuse a value out of range, or without effect; raises ForgetkitError ``usage``."""
        super().check()
        check_positive(self, "temperature")
        if self.away_epochs > self.epochs:
            refuse_given(self, ("away_epochs",), f"there are {self.epochs} epochs", "raise --epochs")
        if not self.away_epochs:
            refuse_given(self, ("ids_per_step",), "not with --away-epochs 0", "no step has ids then")
        if not (self.away_epochs or self.kl_weight):
            why = "not with --away-epochs 0 --kl-weight 0"
            refuse_given(self, ("temperature",), why, "the original does not teach then")


def scrub(checkpoint: Checkpoint, *, settings: Scrub, options: MethodOptions) -> None:
    """Move away from the original on ids (Kurmanji et al. 2023).

    Then back to it on the retain set: SCRUB. It takes all epochs and keeps the evaluation at which the ids look
    most like unseen samples. --stop rewind is the authors' way to choose an epoch, --stop published takes the last one.

    Examples:
        forgetkit scrub model.st --ids ids.txt --stop rewind
        forgetkit scrub model.st -i ids.txt --epochs 5 --away-epochs 2
    """
    from forgetkit.methods.scrub import scrub as method
    from forgetkit.unlearning.run_method import run_method

    console = Console(options.output)
    report(
        console, run_method("scrub", method, checkpoint, settings, options, onward=True, tell=console), options.booked
    )
