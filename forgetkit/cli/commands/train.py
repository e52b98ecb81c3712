"""``forgetkit train``: train the original, a reference, or further from a checkpoint."""

from forgetkit.cli.console import Console
from forgetkit.cli.option_groups import requires
from forgetkit.cli.results import report, report_replicas
from forgetkit.training.train_options import TrainOptions


@requires("out")
def train(*, options: TrainOptions) -> None:
    """Train a model from scratch, by another's recipe, or further.

    The defaults are Kim & Woo's: Adam, rate 0.001, batches of 128, 20 epochs. A reference, with which unlearned models
    are compared, is trained by the original's recipe without the ids: the second example.

    Shadow models (--shadows) are trained once, into model.shadows/, at the cost of half a training each. With them,
    forget costs a tenth of a retraining, and audit needs no references.

    Examples:
        forgetkit train --dataset digits -o model.st
        forgetkit train --like model.st --exclude ids.txt -o reference.st
        forgetkit train --like model.st --exclude ids.txt --replicas 3 -o refs/{n}.st
        forgetkit train --dataset digits --shadows 8 -o model.st
        forgetkit train --like model.st --shadows 8 -o model.shadows/{n}.st
        forgetkit train --from model.st --only new.txt --epochs 2 -o model.more.st
    """
    from forgetkit.training.train import train_all

    console = Console(options.output)
    found = train_all(options, tell=console)
    if len(found) > 1:
        report_replicas(console, found)
    else:
        report(console, found[0] if found else None)
