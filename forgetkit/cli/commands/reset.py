"""``forgetkit reset``: reset some of the convolutions, then train on the retain set."""

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
    Option,
    Rate,
    Seed,
    Source,
    choice,
)
from forgetkit.unlearning.method_options import BatchSize, Epochs, Steps

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from forgetkit.unlearning.run_method import Task


@dataclass(frozen=True)
class Method(Steps):
    """How to reset."""

    kind: Annotated[
        str,
        Option("Transpose all kernels, or draw those weights anew that matter least.", metavar="ct|msg"),
    ] = "ct"
    epochs: Epochs = 3
    rate: Rate = 0.001
    batch_size: BatchSize = 64
    share: Annotated[
        float,
        Option("Of the convolutions' weights to draw anew (msg).", metavar="F"),
    ] = 0.3
    others: Annotated[
        float,
        Option("What the other weights' gradients are multiplied by (msg).", metavar="F", min=0),
    ] = 0.1

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        super().check()
        choice("--kind", self.kind, ("ct", "msg"))
        if not 0 < self.share <= 1:
            raise ForgetkitError("usage", f"--share: {self.share} is not in (0, 1]", "the authors' is 0.3")


def reset(
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
    """Reset some of the convolutions, then train on the retain set (NeurIPS 2023 challenge, CT and MSG).

    It takes all the epochs, and keeps the look at which the ids are most like data never seen; --stop published takes
    the last. It needs convolutions of more than 1x1. MSG as published: --kind msg --epochs 5 --momentum 0.9.

    Examples:
        forgetkit reset model.st --ids ids.txt --stop published
        forgetkit reset model.st -i ids.txt --kind msg --epochs 5 --momentum 0.9 --stop published
    """
    from forgetkit.methods.reset import begin_reset, tuned
    from forgetkit.unlearning.run_method import run_method

    method.check()

    def begin(task: "Task") -> "tuple[Optimizer, Iterator[object]]":
        optimizer = task.optimizer()
        chosen = begin_reset(task.model, task.forget, task.retain, kind=method.kind, share=method.share, seed=task.seed)
        return optimizer, tuned(
            task.model,
            task.retain,
            optimizer=optimizer,
            rate=method.rate,
            kind=method.kind,
            chosen=chosen,
            others=method.others,
            epochs=method.epochs,
            batch_size=method.batch_size,
            seed=task.seed,
            done=task.done,
        )

    console = Console(output)
    written = run_method(
        "reset",
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
