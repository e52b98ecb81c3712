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
        Option("ID list to leave out, too; - is stdin. Repeat for more.", "FILE", flags=("--ids", "-i"), panel=INPUT),
    ] = field(default_factory=list)


def distill(
    checkpoint: Checkpoint,
    *,
    teacher: Annotated[str, Option("The original model.", metavar="CHECKPOINT", panel=INPUT)],
    forget_teacher: Annotated[
        str | None, Option("Teacher for the ids, which it never saw; or shadow models.", metavar="PATH", panel=INPUT)
    ] = None,
    settings: Distill,
    training: Training,
    options: DistillOptions,
) -> None:
    """Retrain with the original as teacher (Kim & Woo 2022, stage 2).

    The student learns from the retain set, without what the record calls forgotten, by the recorded recipe and half its
    epochs. The teacher did see the forgotten samples: audit the result.

    With --forget-teacher, a model that never saw the ids (trained briefly), the ids are distilled from that one. Its
    --rate is relative to the size of each tensor (0.02). The result is refused if the student knows the ids better than
    that teacher, or lost accuracy.

    Examples:
        forgetkit distill model.neutralize.st --teacher model.st
        forgetkit distill model.neutralize.st --teacher model.st --epochs 5
        forgetkit train --like model.st --exclude ids.txt --epochs 3 -o proxy.st
        forgetkit distill model.st --teacher model.st --forget-teacher proxy.st -i ids.txt
    """
    from forgetkit.unlearning.distill import distill as run

    console = Console(options.output)
    written = run(
        checkpoint, teacher, None, settings, options, training=training, forget_teacher=forget_teacher, tell=console
    )
    report(console, written, options.booked)
