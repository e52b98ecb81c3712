"""``forgetkit forget``: the operator's one line."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report_answers
from forgetkit.options import Checkpoint
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.step_options import QueueOptions, StepOptions


def forget(checkpoint: Checkpoint, *, settings: Forget, options: QueueOptions) -> None:
    """Forget the ids with a second teacher, or else retrain; no method to choose.

    A short training without the ids, a fifth of the original's epochs, shows what a model that never saw them says of
    them. The model is then trained towards that on the ids, and towards the labels on the retain set. The result is
    checked on the tune half of the unseen samples: the ids must look as they do to the second teacher, and accuracy
    must not drop. If not, or beyond the budget, the model is trained again without the ids.

    --requests answers several requests in one process, each from the output of the one before.

    With shadow models (train --shadows), no teacher is trained, and a request costs about a tenth of a retraining. The
    shadow models that saw the ids take the same step afterwards, so that audit --shadows can judge it.

    Examples:
        forgetkit forget model.st --ids ids.txt
        forgetkit forget model.st -i ids.txt --budget 30%
        forgetkit forget-ids model.st --class 3 --count 20 | forgetkit forget model.st --ids -
        forgetkit forget model.st --requests queue
    """
    from forgetkit.training.outputs import Written
    from forgetkit.unlearning.forget import forget as run

    console = Console(options.output)

    def answer(path: str, given: StepOptions) -> Written | None:
        """Answer one request."""
        return run(path, None, settings, given, tell=console)

    report_answers(console, "forget", checkpoint, options, answer)
