"""``forgetkit ascend``: gradient ascent on the ids, held by the retain set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError
from forgetkit.options import Booked, Checkpoint, Compute, Lists, Log, LongRun, Mask, Option, Seed, Source
from forgetkit.unlearning.method_options import Steps

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from forgetkit.unlearning.run_method import Task


@dataclass(frozen=True)
class Method(Steps):
    """How to ascend."""

    alpha: Annotated[float, Option("Weight of the cross-entropy.", metavar="FLOAT", min=0)] = 0.95
    ids_per_step: Annotated[int, Option("Ids in a step.", metavar="N", min=1)] = 64

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        super().check()
        if not 0 <= self.alpha <= 1:
            raise ForgetkitError("usage", f"--alpha: {self.alpha} is not in [0, 1]", "the authors' is 0.95")


def ascend(
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
    """Raise the loss on the ids while the retain set holds the model (NegGrad+, Kurmanji et al. 2023).

    A step descends alpha times the loss on retained samples less 1 - alpha times that on ids; --alpha 0 is ascent
    alone. It stops where the ids look like data never seen; --stop published takes all the epochs.
    Without a stop it diverges.

    Examples:
        forgetkit ascend model.st --ids ids.txt
        forgetkit ascend model.st -i ids.txt --stop published --epochs 2
    """
    from forgetkit.methods.ascend import ascend as steps
    from forgetkit.unlearning.run_method import run_method

    method.check()

    def begin(task: "Task") -> "tuple[Optimizer, Iterator[object]]":
        optimizer = task.optimizer()
        return optimizer, steps(
            task.model,
            task.forget,
            task.retain,
            optimizer=optimizer,
            alpha=method.alpha,
            epochs=method.epochs,
            batch_size=method.batch_size,
            forget_batch=method.ids_per_step,
            seed=task.seed,
            done=task.done,
        )

    console = Console(output)
    written = run_method(
        "ascend",
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
