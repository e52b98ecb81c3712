"""``forgetkit forget``: the operator's one line."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import Checkpoint
from forgetkit.unlearning.method_options import Forget
from forgetkit.unlearning.step_options import StepOptions


def forget(checkpoint: Checkpoint, *, settings: Forget, options: StepOptions) -> None:
    """Forget the ids with the cheapest strategy that works, or else retrain; no method to choose.

    Strategies are tried in turn, each from the checkpoint, the cheapest first. Each is evaluated on the tune half
    of the unseen samples: the ids must look as they do to a model that never saw them, and accuracy must not drop. If
    none succeeds within the budget, the model is trained again without the ids. The record lists every attempt.

    Examples:
        forgetkit forget model.st --ids ids.txt
        forgetkit forget model.st -i ids.txt --budget 30%
        forgetkit forget-ids model.st --class 3 --count 20 | forgetkit forget model.st --ids -
    """
    from forgetkit.unlearning.forget import forget as run

    console = Console(options.output)
    report(console, run(checkpoint, None, settings, options, tell=console))
