"""``forgetkit badteach``: an untrained teacher for the ids, the original for the rest."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import Checkpoint, OptimizerName, Option, Rate, check_positive, choice
from forgetkit.unlearning.method_options import BatchSize, Epochs, EpochSettings, check_share
from forgetkit.unlearning.step_options import MethodOptions


@dataclass(frozen=True)
class Badteach(EpochSettings):
    """How to teach badly."""

    epochs: Epochs = 1
    optimizer: OptimizerName = "adam"
    rate: Rate = 1e-4
    batch_size: BatchSize = 256
    target: Annotated[
        str,
        Option(
            "Teacher of the ids: an untrained network, or the same output for all classes.",
            metavar="random-net|uniform",
        ),
    ] = "random-net"
    retain_fraction: Annotated[float, Option("Share of the retain set, drawn once.", metavar="SHARE")] = 0.3
    temperature: Annotated[float, Option("Softmax temperature.", metavar="FLOAT")] = 1.0

    def check(self) -> None:
        """Refuse a value out of range; raises ForgetkitError ``usage``."""
        super().check()
        choice("target", self.target, ("random-net", "uniform"))
        check_positive(self, "temperature")
        check_share("retain_fraction", self.retain_fraction, "the authors' is 0.3")


def badteach(checkpoint: Checkpoint, *, settings: Badteach, options: MethodOptions) -> None:
    """Teach the ids by an untrained network (Chundawat et al. 2023).

    The original teaches the retain set. It stops when the ids look like unseen samples; --stop published takes all
    epochs. As published it goes too far: the model knows the ids less than a retrained one, and they stand out.

    Examples:
        forgetkit badteach model.st --ids ids.txt --stop published
        forgetkit badteach model.st -i ids.txt --target uniform --rate 0.001
    """
    from forgetkit.methods.badteach import badteach as method
    from forgetkit.unlearning.run_method import run_method

    console = Console(options.output)
    report(console, run_method("badteach", method, checkpoint, settings, options, tell=console), options.booked)
