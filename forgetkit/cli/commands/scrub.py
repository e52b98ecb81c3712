"""``forgetkit scrub``: away from the original on the ids, back to it on the retain set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from forgetkit.options import (
    METHOD,
    Booked,
    Checkpoint,
    Compute,
    Lists,
    Log,
    LongRun,
    Mask,
    OptimizerName,
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
        typer.Option(
            metavar="unseen|rewind|published",
            help="The best look; the epoch whose forget error is nearest to the unseen error; or the last epoch.",
            rich_help_panel=METHOD,
        ),
    ] = "unseen"
    optimizer: OptimizerName = "adam"
    rate: Rate = 5e-4
    batch_size: BatchSize = 64
    away_epochs: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Epochs that begin with a pass away from the original.", rich_help_panel=METHOD
        ),
    ] = 3
    ids_per_step: Annotated[int, typer.Option(metavar="N", min=1, help="Ids in a step.", rich_help_panel=METHOD)] = 32
    ce_weight: Annotated[
        float,
        typer.Option(metavar="FLOAT", min=0, help="Weight of the labels of retained samples.", rich_help_panel=METHOD),
    ] = 1.0
    kl_weight: Annotated[
        float,
        typer.Option(metavar="FLOAT", min=0, help="Weight of the original's word on them.", rich_help_panel=METHOD),
    ] = 0.5
    temperature: Annotated[float, typer.Option(metavar="T", help="Softens both outputs.", rich_help_panel=METHOD)] = 2.0

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

    run_method(
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
    )
