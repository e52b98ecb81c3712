"""``forgetkit reset``: reset some of the convolutions, then train on the retain set."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import Checkpoint, Option, Rate, choice, refuse_given
from forgetkit.unlearning.method_options import BatchSize, Epochs, EpochSettings, check_share
from forgetkit.unlearning.step_options import MethodOptions


@dataclass(frozen=True)
class Reset(EpochSettings):
    """How to reset."""

    kind: Annotated[
        str,
        Option("Transpose all convolution kernels, or draw anew the weights that matter least.", metavar="ct|msg"),
    ] = "ct"
    epochs: Epochs = 3
    rate: Rate = 0.001
    batch_size: BatchSize = 64
    share: Annotated[float, Option("Convolution weights to draw anew (msg).", metavar="SHARE")] = 0.3
    others: Annotated[float, Option("Factor of the other weights' gradients (msg).", metavar="FLOAT", min=0)] = 0.1

    def check(self) -> None:
        """Refuse a value out of range, or without effect; raises ForgetkitError ``usage``."""
        super().check()
        choice("kind", self.kind, ("ct", "msg"))
        check_share("share", self.share, "the authors' is 0.3")
        if self.kind == "ct":
            hint = "ct transposes all kernels and changes no gradient"
            refuse_given(self, ("share", "others"), "needs --kind msg", hint)
        elif self.optimizer != "sgd" and self.others not in {0, 1}:
            message = f"{self.optimizer} undoes the factor of --others: its steps do not grow with the gradients"
            raise ForgetkitError("usage", message, "use --optimizer sgd, or --others 1", option="optimizer")


def reset(checkpoint: Checkpoint, *, settings: Reset, options: MethodOptions) -> None:
    """Reset convolutions, then train on (NeurIPS 2023 challenge).

    CT transposes kernels, MSG draws weights anew; then it trains on the retain set. It takes all epochs and keeps the
    evaluation at which the ids look most like unseen samples; --stop published keeps the last. It needs convolutions
    larger than 1x1. MSG as published: --kind msg --epochs 5 --momentum 0.9.

    Examples:
        forgetkit reset model.st --ids ids.txt --stop published
        forgetkit reset model.st -i ids.txt --kind msg --epochs 5 --momentum 0.9 --stop published
    """
    from forgetkit.methods.reset import reset as method
    from forgetkit.unlearning.run_method import run_method

    console = Console(options.output)
    report(
        console, run_method("reset", method, checkpoint, settings, options, onward=True, tell=console), options.booked
    )
