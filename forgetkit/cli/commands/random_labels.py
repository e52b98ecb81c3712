"""``forgetkit random-labels``: train the ids towards random labels together with the retain set."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import Checkpoint
from forgetkit.unlearning.relabel_options import RandomLabels
from forgetkit.unlearning.step_options import MethodOptions


def random_labels(checkpoint: Checkpoint, *, settings: RandomLabels, options: MethodOptions) -> None:
    """Train ids towards random labels (Graves et al. 2021, SalUn).

    The retain set keeps its own labels. These are the methods of random labels besides Li & Ghosh's, which is relabel.
    SalUn (Fan et al. 2024) draws labels of all classes anew in each epoch and uses a mask; Graves et al. 2021 draw
    wrong labels once. Joint steps stop when the ids look like unseen samples. Passes in turn overshoot and come back:
    they take all epochs, and the best evaluation is kept. --stop published ends after the last epoch.

    Examples:
        forgetkit random-labels model.st --ids ids.txt
        forgetkit mask model.st -i ids.txt -o mask.st
        forgetkit random-labels model.st -i ids.txt --mask mask.st --targets any
        forgetkit random-labels model.st -i ids.txt --redraw once --stop published
        forgetkit random-labels model.st -i ids.txt --mix joint --ids-per-step 64
    """
    from forgetkit.methods.random_labels import random_labels as method
    from forgetkit.unlearning.run_method import run_method

    console, onward = Console(options.output), settings.mix == "forget-then-retain"
    report(
        console,
        run_method("random-labels", method, checkpoint, settings, options, onward=onward, tell=console),
        options.booked,
    )
