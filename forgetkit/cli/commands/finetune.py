"""``forgetkit finetune``: train on the retain set alone, if wanted into sparse weights."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    Booked,
    Checkpoint,
    Compute,
    Lists,
    Log,
    LongRun,
    Mask,
    Momentum,
    Option,
    Seed,
    Source,
)
from forgetkit.unlearning.method_options import BatchSize, Steps, WeightDecay

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from forgetkit.unlearning.run_method import Task


@dataclass(frozen=True)
class Method(Steps):
    """How to fine-tune."""

    momentum: Momentum = 0.9
    weight_decay: WeightDecay = 5e-4
    batch_size: BatchSize = 256
    l1: Annotated[
        float,
        Option("Weight of the sum of the absolute weights; falls to 0.", metavar="FLOAT", min=0),
    ] = 0.0
    free_epochs: Annotated[int, Option("Epochs at the end without --l1.", metavar="N", min=0)] = 0

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        super().check()
        if self.free_epochs >= self.epochs:
            message = f"--free-epochs: {self.free_epochs} is not below the {self.epochs} epochs"
            raise ForgetkitError("usage", message, "for example --free-epochs 2")


def finetune(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    booked: Booked,
    method: Method,
    mask: Mask = None,
    log: Log = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Train on the retain set alone, and let the ids fade; --l1 drives weights to 0 (Jia et al. 2023).

    It stops where the ids look like data never seen; --stop published takes all the epochs.
    It forgets little: what was memorised strongly stays.

    Examples:
        forgetkit finetune model.st --ids ids.txt --stop published
        forgetkit finetune model.st -i ids.txt --l1 0.0005 --free-epochs 2
    """
    from forgetkit.methods.finetune import finetune as steps
    from forgetkit.unlearning.run_method import run_method

    method.check()

    def begin(task: "Task") -> "tuple[Optimizer, Iterator[object]]":
        optimizer = task.optimizer()
        return optimizer, steps(
            task.model,
            task.retain,
            optimizer=optimizer,
            epochs=method.epochs,
            batch_size=method.batch_size,
            l1=method.l1,
            free=method.free_epochs,
            seed=task.seed,
            done=task.done,
        )

    console = Console(output)
    written = run_method(
        "finetune",
        checkpoint,
        method,
        begin,
        lists=lists,
        booked=booked,
        mask=mask,
        log=log,
        seed=seed,
        source=source,
        compute=compute,
        output=output,
        tell=console,
    )
    report(console, written)
