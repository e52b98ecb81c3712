"""``forgetkit dampen``: shrink the weights that the ids depend on much more than the rest does (SSD)."""

from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import INPUT, OUTPUT, Checkpoint, Option
from forgetkit.unlearning.method_options import Dampen
from forgetkit.unlearning.step_options import StepOptions


def dampen(
    checkpoint: Checkpoint,
    *,
    settings: Dampen,
    importance: Annotated[
        str | None, Option("File of --importance-out; saves a pass over all data.", "FILE", panel=INPUT)
    ] = None,
    importance_out: Annotated[
        str | None, Option("Write the importance of all weights here.", metavar="FILE", panel=OUTPUT)
    ] = None,
    options: StepOptions,
) -> None:
    """Shrink weights that the ids depend on (Foster et al. 2024).

    They are those that matter much more for the ids than for all samples. There is no training: one pass over the ids
    and one over all samples, whose result can be kept and used again. It does not stop by itself: raise --alpha if
    accuracy is lost, lower it if nothing is forgotten.

    Examples:
        forgetkit dampen model.st --ids ids.txt --importance-out importance.st
        forgetkit dampen model.st -i ids.txt --alpha 5
    """
    from forgetkit.unlearning.dampen import dampen as run

    console = Console(options.output)
    written = run(
        checkpoint, None, settings, options, importance=importance, importance_out=importance_out, tell=console
    )
    report(console, written, options.booked)
