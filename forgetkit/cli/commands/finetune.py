"""``forgetkit finetune``: train on the retain set alone, optionally towards sparse weights."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import Checkpoint, Momentum, Option, refuse_given
from forgetkit.unlearning.method_options import BatchSize, EpochSettings, WeightDecay
from forgetkit.unlearning.step_options import MethodOptions


@dataclass(frozen=True)
class Finetune(EpochSettings):
    """How to fine-tune."""

    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4
    batch_size: BatchSize = 256
    l1: Annotated[float, Option("Weight of the sum of the absolute weights; falls to 0.", metavar="FLOAT", min=0)] = 0.0
    free_epochs: Annotated[int, Option("With --l1, epochs at the end without it.", metavar="N", min=0)] = 0

    def check(self) -> None:
        """Refuse a value out of range, or without effect; raises ForgetkitError ``usage``."""
        super().check()
        if not self.l1:
            refuse_given(self, ("free_epochs",), "needs --l1", "for example --l1 0.0005")
        if self.free_epochs >= self.epochs:
            message = f"{self.free_epochs} is not below the {self.epochs} epochs"
            raise ForgetkitError("usage", message, "for example --free-epochs 2", option="free_epochs")


def finetune(checkpoint: Checkpoint, *, settings: Finetune, options: MethodOptions) -> None:
    """Train on the retain set alone, so that the ids fade.

    --l1 also drives weights to 0 (Jia et al. 2023). It stops when the ids look like unseen samples; --stop published
    takes all epochs. It forgets little: what was memorised strongly remains.

    Examples:
        forgetkit finetune model.st --ids ids.txt --stop published
        forgetkit finetune model.st -i ids.txt --l1 0.0005 --free-epochs 2
    """
    from forgetkit.methods.finetune import finetune as method
    from forgetkit.unlearning.run_method import run_method

    console = Console(options.output)
    report(console, run_method("finetune", method, checkpoint, settings, options, tell=console), options.booked)
