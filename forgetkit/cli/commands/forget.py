"""``forgetkit forget``: the operator's one line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.options import (
    Booked,
    Checkpoint,
    Compute,
    Lists,
    LongRun,
    Option,
    Seed,
    Source,
    UtilityMargin,
    choice,
    positive,
)

if TYPE_CHECKING:
    from forgetkit.training.device import Machine
    from forgetkit.unlearning.forget import Forgetting
    from forgetkit.unlearning.inputs import Request


@dataclass(frozen=True)
class Method:
    """How to forget."""

    budget: Annotated[
        str,
        Option("Work to spend before a retraining, as a share of one: 0.5 or 50%.", metavar="F"),
    ] = "50%"
    utility_margin: UtilityMargin = 0.02
    otherwise: Annotated[
        str,
        Option("What to do where no way forgets.", metavar="retrain|stop"),
    ] = "retrain"

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        positive("--utility-margin", self.utility_margin)
        choice("--otherwise", self.otherwise, ("retrain", "stop"))

    @property
    def share(self) -> float:
        """The budget as a share of a retraining."""
        text, percent = self.budget.strip().removesuffix("%"), self.budget.strip().endswith("%")
        try:
            share = float(text) / (100 if percent else 1)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            message = f"--budget: '{self.budget}' is no share of a retraining"
            raise ForgetkitError("usage", message, "from 0 to 1, or 0% to 100%; 0 retrains at once")
        return share


def forget(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    booked: Booked,
    method: Method,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Forget the ids in the cheapest way that works, or retrain: one line for those who do not choose a method.

    Ways are tried in turn, each from the checkpoint, the cheapest first. Each is judged on the tune half: the ids must
    look as they do to a model that never saw them, and accuracy must hold. Where none does within the budget, the
    model is trained again without them. The record names every attempt.

    Examples:
        forgetkit forget model.st --ids ids.txt
        forgetkit forget model.st -i ids.txt --budget 30%
        forgetkit forget-ids model.st --class 3 --count 20 | forgetkit forget model.st --ids -
    """
    from forgetkit.training.device import set_up
    from forgetkit.training.outputs import Written, output_path
    from forgetkit.unlearning.fallback import retraining
    from forgetkit.unlearning.forget import Forgetting
    from forgetkit.unlearning.inputs import begin

    method.check()
    console, share = Console(output), method.share
    request = begin(
        "forget", checkpoint, lists.ids, lists, source=source, tell=console, dry_run=output.dry_run, booked=booked
    )
    if isinstance(request, Written):
        report(console, request)
        return
    request.check_retained()
    machine = set_up(compute.device, compute.precision, compute.threads)
    how = Forgetting(share, method.utility_margin, seed)
    fallback = None
    if method.otherwise == "retrain":
        fallback = retraining(request, machine, output_path(request.path, "forget", output.out))
    if fallback and fallback.done:
        report(console, fallback.carry_out(console, output))
        return
    try:
        _forget(request, how, machine, console, output)
    except NotReached as reached:
        if fallback is None:
            raise
        console.warn("retraining", f"{reached.message}: retraining")
        report(console, fallback.carry_out(console, output, how.attempts))


def _forget(request: "Request", how: "Forgetting", machine: "Machine", console: Console, output: LongRun) -> None:
    """Try every way, write and report; raises NotReached, and what ``carry_out`` raises."""
    from forgetkit.files.record import Step
    from forgetkit.training.classifier import Classifier, Samples
    from forgetkit.training.outputs import ids_entry
    from forgetkit.training.resume import Bookmark
    from forgetkit.unlearning.forget import WAYS
    from forgetkit.unlearning.step import Outcome, carry_out

    options: dict[str, Any] = {"budget": how.budget, "utility_margin": how.margin, "way": None, "searched": ["way"]}
    options |= {"ways": [way.name for way in WAYS], **machine.options()}
    step = Step("forget", options, how.seed, request.record.digest, ids_entry(request.ids), {})

    def work(classifier: Classifier, tune: Samples, _: Bookmark) -> Outcome:
        return how.forget(classifier, tune, request, machine, WAYS, console)

    written = carry_out(request, step, machine, tell=console, output=output, work=work)
    report(console, written)
