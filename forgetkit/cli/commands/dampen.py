"""``forgetkit dampen``: shrink the weights that the ids depend on much more than the rest does (SSD)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import (
    INPUT,
    OUTPUT,
    Booked,
    Checkpoint,
    Compute,
    Lists,
    LongRun,
    Option,
    Source,
    positive,
)


@dataclass(frozen=True)
class Method:
    """How to dampen."""

    alpha: Annotated[float, Option("How much more, to be dampened.", metavar="FLOAT", min=0)] = 10.0
    strength: Annotated[float, Option("The lower, the more.", metavar="FLOAT", min=0)] = 1.0

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        positive("--alpha", self.alpha)
        positive("--strength", self.strength)


def dampen(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    booked: Booked,
    method: Method,
    importance: Annotated[
        str | None,
        Option("Written by --importance-out: saves reading all.", metavar="FILE", panel=INPUT),
    ] = None,
    importance_out: Annotated[
        str | None,
        Option("Keep the importance of all weights here.", metavar="FILE", panel=OUTPUT),
    ] = None,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Shrink the weights that matter much more for the ids than for all samples (SSD, Foster et al. 2024).

    No training: one look at the ids, and one at everything, which can be kept and used again. It has no stop: raise
    --alpha where accuracy is lost, lower it where nothing is forgotten.

    Examples:
        forgetkit dampen model.st --ids ids.txt --importance-out importance.st
        forgetkit dampen model.st -i ids.txt --alpha 5
    """
    from forgetkit.files.record import Step
    from forgetkit.training.classifier import Classifier, Samples
    from forgetkit.training.device import set_up
    from forgetkit.training.outputs import Written, ids_entry
    from forgetkit.training.resume import Bookmark
    from forgetkit.unlearning.dampen import dampened, keep_importance, read_importance
    from forgetkit.unlearning.inputs import begin
    from forgetkit.unlearning.step import Outcome, carry_out

    method.check()
    console = Console(output)
    request = begin(
        "dampen", checkpoint, lists.ids, lists, source=source, tell=console, dry_run=output.dry_run, booked=booked
    )
    if isinstance(request, Written):
        report(console, request)
        return
    machine = set_up(compute.device, compute.precision, compute.threads)
    known = read_importance(Path(importance), request.record) if importance is not None else None
    options = {**asdict(method), "importance": known[1] if known else None, **machine.options()}
    step = Step("dampen", options, 0, request.record.digest, ids_entry(request.ids), {})
    found = []

    def work(classifier: Classifier, tune: Samples, bookmark: Bookmark) -> Outcome:
        of_all, share = dampened(classifier, request, machine, method.alpha, method.strength, known and known[0])
        found.append(of_all)
        return Outcome({"dampened": share})

    beside = {}
    if importance_out is not None:
        beside[Path(importance_out)] = lambda path, _, __: keep_importance(path, found[0], request.record)
    others = (Path(importance),) if importance is not None else ()
    written = carry_out(request, step, machine, tell=console, output=output, others=others, beside=beside, work=work)
    report(console, written)
