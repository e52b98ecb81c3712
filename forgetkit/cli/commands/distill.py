"""``forgetkit distill``: Kim & Woo 2022, stage 2."""

from dataclasses import dataclass, field
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import INPUT, Checkpoint, Option
from forgetkit.training.train_options import Training
from forgetkit.unlearning.method_options import Distill
from forgetkit.unlearning.step_options import MethodOptions


@dataclass(frozen=True, kw_only=True)
class DistillOptions(MethodOptions):
    """The options of a step that needs no ids."""

    ids: Annotated[
        list[str],
        Option(
            "More ids to leave out; - is stdin. Repeat for more.", metavar="FILE", flags=("--ids", "-i"), panel=INPUT
        ),
    ] = field(default_factory=list)


def distill(
    checkpoint: Checkpoint,
    *,
    teacher: Annotated[str, Option("The original model.", metavar="CHECKPOINT", panel=INPUT)],
    forget_teacher: Annotated[
        str | None,
        Option(
            "A model that never saw the ids, or shadow models, whose outputs on them the student imitates.",
            metavar="FILE-or-FOLDER",
            panel=INPUT,
        ),
    ] = None,
    settings: Distill,
    training: Training,
    options: DistillOptions,
) -> None:
    """Retrain on the retain set with the original as teacher (Kim & Woo 2022, stage 2).

    Samples that the record lists as forgotten are left out, as are those in --ids. The teacher did see the forgotten
    samples: compare the membership AUC before and after, and audit the result. Without other options the training
    follows the recorded recipe, with half its epochs.

    With --forget-teacher, a model that never saw the ids (a short training is enough), the ids are distilled as well,
    towards its outputs, in --steps whose rate falls to 0. --rate is then relative to the size of each tensor (0.02 by
    default). The result is refused if the student still recognises the ids better than that model, or lost accuracy.

    Examples:
        forgetkit distill model.neutralize.st --teacher model.st
        forgetkit distill model.neutralize.st --teacher model.st --epochs 5 --log epochs.jsonl
        forgetkit train --like model.st --exclude ids.txt --epochs 3 --batch-size 32 -o proxy.st
        forgetkit distill model.st --teacher model.st --forget-teacher proxy.st --ids ids.txt
    """
    from forgetkit.unlearning.distill import distill as run

    console = Console(options.output)
    written = run(
        checkpoint, teacher, None, settings, options, training=training, forget_teacher=forget_teacher, tell=console
    )
    report(console, written)
