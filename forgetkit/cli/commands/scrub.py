"""``forgetkit scrub``: away from the original on the ids, back to it on the retain set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import (
    Booked,
    Checkpoint,
    Compute,
    Lists,
    Log,
    LongRun,
    Mask,
    OptimizerName,
    Option,
    Rate,
    Seed,
    Source,
    choice,
    positive,
)
from forgetkit.unlearning.method_options import BatchSize, Steps

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from forgetkit.unlearning.run_method import Task


@dataclass(frozen=True)
class Method(Steps):
    """How to scrub."""

    stop: Annotated[
        str,
        Option(
            "The best look; the epoch whose forget error is nearest to the unseen error; or the last epoch.",
            metavar="unseen|rewind|published",
        ),
    ] = "unseen"
    optimizer: OptimizerName = "adam"
    rate: Rate = 5e-4
    batch_size: BatchSize = 64
    away_epochs: Annotated[
        int,
        Option("Epochs that begin with a pass away from the original.", metavar="N", min=0),
    ] = 3
    ids_per_step: Annotated[int, Option("Ids in a step.", metavar="N", min=1)] = 32
    ce_weight: Annotated[
        float,
        Option("Weight of the labels of retained samples.", metavar="FLOAT", min=0),
    ] = 1.0
    kl_weight: Annotated[
        float,
        Option("Weight of the original's word on them.", metavar="FLOAT", min=0),
    ] = 0.5
    temperature: Annotated[float, Option("Softens both outputs.", metavar="T")] = 2.0

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        choice("--stop", self.stop, ("unseen", "rewind", "published"))
        self.check_steps()
        positive("--temperature", self.temperature)


def scrub(
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
    """Move away from the original on the ids, and back to it on the retain set (SCRUB, Kurmanji et al. 2023).

    It takes all the epochs, and keeps the look at which the ids are most like data never seen. --stop rewind is the
    authors' way to choose an epoch, --stop published takes the last one.

    Examples:
        forgetkit scrub model.st --ids ids.txt --stop rewind
        forgetkit scrub model.st -i ids.txt --epochs 5 --away-epochs 2
    """
    from forgetkit.methods.scrub import scrub as steps
    from forgetkit.unlearning.run_method import run_method

    method.check()

    def begin(task: "Task") -> "tuple[Optimizer, Iterator[object]]":
        optimizer = task.optimizer()
        return optimizer, steps(
            task.model,
            task.forget,
            task.retain,
            optimizer=optimizer,
            epochs=method.epochs,
            away_epochs=method.away_epochs,
            batch_size=method.batch_size,
            forget_batch=method.ids_per_step,
            ce_weight=method.ce_weight,
            kl_weight=method.kl_weight,
            temperature=method.temperature,
            seed=task.seed,
            done=task.done,
        )

    console = Console(output)
    written = run_method(
        "scrub",
        checkpoint,
        method,
        begin,
        onward=True,
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
