"""``forgetkit relabel``: Li & Ghosh 2023, one step towards all wrong labels for each id."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report_answers
from forgetkit.options import Checkpoint, Mask
from forgetkit.unlearning.relabel_options import Relabel
from forgetkit.unlearning.step_options import QueueOptions, StepOptions
from forgetkit.unlearning.stream_limits import Limits


def relabel(
    checkpoint: Checkpoint, *, settings: Relabel, limits: Limits, mask: Mask = None, options: QueueOptions
) -> None:
    """Train each id towards all its wrong labels (Li & Ghosh 2023).

    An id takes one step. Its learning rate decides everything: too low and nothing is forgotten, too high and the model
    is ruined. By default it is searched for: the ids must look like unseen samples, and accuracy must not drop. If no
    rate achieves both, joint steps with retained samples are tried. --rate FLOAT runs the published method.

    --requests answers several requests in turn, each from the output of the one before.

    Examples:
        forgetkit relabel model.st --ids ids.txt --optimizer adadelta
        forgetkit forget-ids model.st --class 3 | forgetkit relabel model.st --ids -
        forgetkit relabel model.st -i ids.txt --optimizer adam --mix joint
        forgetkit relabel model.st -i ids.txt --optimizer sgd --rate 0.0001
        forgetkit relabel model.st --requests queue --rate 0.01 -o answered/{n}.st
    """
    from forgetkit.training.outputs import Written
    from forgetkit.unlearning.relabel import relabel as run

    console = Console(options.output)

    def answer(path: str, given: StepOptions) -> Written | None:
        """Answer one request."""
        return run(path, None, settings, given, limits=limits, mask=mask, tell=console)

    report_answers(console, "relabel", checkpoint, options, answer)
