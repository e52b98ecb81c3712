"""``forgetkit forget``: the operator's one line."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report_answers
from forgetkit.options import Checkpoint
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.step_options import QueueOptions, StepOptions


def forget(checkpoint: Checkpoint, *, settings: Forget, options: QueueOptions) -> None:
    """Forget ids the cheapest way that works, or else retrain.

    A second teacher, trained briefly without the ids, shows what a model says of them that never saw them. The model is
    trained to say the same, and keeps to the labels on the retain set. If the result still knows the ids or has lost
    accuracy on unseen samples, or beyond the budget, a model is trained from scratch without the ids.

    Shadow models (train --shadows) take the place of the second teacher, at about a tenth of a retraining. Those that
    saw the ids take the same step afterwards, so that audit --shadows can judge it.

    --requests answers several requests in turn, each from the output of the one before.

    Examples:
        forgetkit forget model.st --ids ids.txt
        forgetkit forget model.st -i ids.txt --budget 30%
        forgetkit forget-ids model.st --count 20 | forgetkit forget model.st -i -
        forgetkit forget model.st --requests queue
    """
    from forgetkit.training.outputs import Written
    from forgetkit.unlearning.forget import forget as run

    console = Console(options.output)

    def answer(path: str, given: StepOptions) -> Written | None:
        """Answer one request."""
        return run(path, None, settings, given, tell=console)

    report_answers(console, "forget", checkpoint, options, answer)
