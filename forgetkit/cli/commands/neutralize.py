"""``forgetkit neutralize``: Kim & Woo 2022, stage 1."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import Checkpoint
from forgetkit.unlearning.method_options import Neutralize
from forgetkit.unlearning.step_options import MethodOptions
from forgetkit.unlearning.stream_limits import Limits


def neutralize(checkpoint: Checkpoint, *, settings: Neutralize, limits: Limits, options: MethodOptions) -> None:
    """Train ids towards contrastive labels (Kim & Woo 2022, stage 1).

    It stops when the ids look like unseen samples. --stop chance is the paper: accuracy on the ids falls to chance,
    which gives them away, and the model loses accuracy elsewhere; continue with distill.

    Examples:
        forgetkit neutralize model.st --ids ids.txt
        forgetkit neutralize model.st -i ids.txt --stop chance
        forgetkit neutralize model.st -i ids.txt --stop zero --log evaluations.jsonl
    """
    from forgetkit.unlearning.neutralize import neutralize as run

    console = Console(options.output)
    written = run(checkpoint, None, settings, options, limits=limits, tell=console)
    if written and written.state == "written" and written.record.steps[-1].metrics.get("steps") == 0:
        console.warn("unmoved", "the model was at the goal before the first step: its weights are unchanged")
    report(console, written, options.booked)
