"""``forgetkit badteach``: the original teaches what is retained, one that knows nothing what is forgotten."""

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
    OptimizerName,
    Option,
    Rate,
    Seed,
    Source,
    choice,
    positive,
)
from forgetkit.unlearning.method_options import BatchSize, Epochs, Steps

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from forgetkit.unlearning.run_method import Task


@dataclass(frozen=True)
class Method(Steps):
    """How to teach badly."""

    epochs: Epochs = 1
    optimizer: OptimizerName = "adam"
    rate: Rate = 1e-4
    batch_size: BatchSize = 256
    target: Annotated[
        str,
        Option(
            "Who teaches the ids: an untrained network, or nobody: all classes alike.", metavar="random-net|uniform"
        ),
    ] = "random-net"
    retain_fraction: Annotated[
        float,
        Option("Share of the retain set that takes part, drawn once.", metavar="F"),
    ] = 0.3
    temperature: Annotated[float, Option("Softens both outputs.", metavar="T")] = 1.0

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        super().check()
        choice("--target", self.target, ("random-net", "uniform"))
        positive("--temperature", self.temperature)
        if not 0 < self.retain_fraction <= 1:
            message = f"--retain-fraction: {self.retain_fraction} is not in (0, 1]"
            raise ForgetkitError("usage", message, "the authors' is 0.3")


def badteach(
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
    """Teach the ids by a network that knows nothing, the rest by the original (Chundawat et al. 2023).

    It stops where the ids look like data never seen; --stop published takes all the epochs.
    As published it goes below what a retrained model is: the ids stand out.

    Examples:
        forgetkit badteach model.st --ids ids.txt --stop published
        forgetkit badteach model.st -i ids.txt --target uniform --rate 0.001
    """
    from forgetkit.methods.badteach import bad_teacher
    from forgetkit.methods.badteach import badteach as steps
    from forgetkit.unlearning.run_method import run_method

    method.check()

    def begin(task: "Task") -> "tuple[Optimizer, Iterator[object]]":
        optimizer = task.optimizer()
        taught = bad_teacher(task.record, task.forget[0], kind=method.target, seed=task.seed, like=task.model)
        return optimizer, steps(
            task.model,
            task.forget[0],
            taught,
            task.retain[0],
            optimizer=optimizer,
            retain_fraction=method.retain_fraction,
            epochs=method.epochs,
            batch_size=method.batch_size,
            temperature=method.temperature,
            seed=task.seed,
            done=task.done,
        )

    console = Console(output)
    written = run_method(
        "badteach",
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
