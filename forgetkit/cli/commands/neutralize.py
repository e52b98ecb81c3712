"""``forgetkit neutralize``: Kim & Woo 2022, stage 1."""

from dataclasses import asdict, dataclass
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import (
    MOST,
    Booked,
    Checkpoint,
    Compute,
    Lists,
    Log,
    LongRun,
    Mask,
    Momentum,
    OptimizerName,
    Option,
    Rate,
    Seed,
    Source,
    UtilityMargin,
    check_optimizer,
    choice,
    positive,
)


@dataclass(frozen=True)
class Method:
    """How to neutralize."""

    labels: Annotated[
        str,
        Option("The class to train towards: least or most like.", metavar="minimum|maximum"),
    ] = "minimum"
    average: Annotated[str, Option("What to average for it.", metavar="logits|probabilities")] = "logits"
    stop: Annotated[
        str,
        Option(
            "Stop where the ids look like data never seen; or at 1/classes right, or none (the paper).",
            metavar="unseen|chance|zero",
        ),
    ] = "unseen"
    check_at: Annotated[
        str,
        Option("Look 20 times an epoch, or once.", metavar="often|epoch", flags=("--check",)),
    ] = "often"
    max_epochs: Annotated[int, Option("Give up after so many.", metavar="N", min=1)] = 500
    optimizer: OptimizerName = "adam"
    rate: Rate = 0.001
    momentum: Momentum = 0.0
    utility_margin: UtilityMargin = 0.02
    batch_size: Annotated[
        int,
        Option("Samples in a step; 0: a 20th of the ids, 8 to 128.", metavar="N", min=0, max=MOST),
    ] = 0

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        choice("--labels", self.labels, ("minimum", "maximum"))
        choice("--average", self.average, ("logits", "probabilities"))
        choice("--stop", self.stop, ("unseen", "chance", "zero"))
        positive("--utility-margin", self.utility_margin)
        choice("--check", self.check_at, ("often", "epoch"))
        check_optimizer(self.optimizer, self.rate, self.momentum)


def neutralize(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    booked: Booked,
    method: Method,
    mask: Mask = None,
    log: Log = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Train the ids towards contrastive labels (Kim & Woo 2022, stage 1).

    It stops where the ids look like data never seen. --stop chance is the paper: the model is at chance on the ids,
    which gives them away, and has lost accuracy; go on with distill.

    Examples:
        forgetkit neutralize model.st --ids ids.txt
        forgetkit neutralize model.st -i ids.txt --stop chance
        forgetkit neutralize model.st -i ids.txt --stop zero --check epoch --log looks.jsonl
    """
    from forgetkit.files.record import Step
    from forgetkit.training.classifier import Classifier, Samples
    from forgetkit.training.device import set_up
    from forgetkit.training.outputs import Written, ids_entry
    from forgetkit.training.resume import Bookmark
    from forgetkit.unlearning.inputs import begin
    from forgetkit.unlearning.neutralize import Neutralizing, neutralized
    from forgetkit.unlearning.step import Outcome, carry_out, log_beside

    method.check()
    console = Console(output)
    request = begin(
        "neutralize", checkpoint, lists.ids, lists, source=source, tell=console, dry_run=output.dry_run, booked=booked
    )
    if isinstance(request, Written):
        report(console, request)
        return
    machine = set_up(compute.device, compute.precision, compute.threads)
    batch_size = method.batch_size or min(128, max(8, len(request.ids) // 20))
    options = {**asdict(method), "batch_size": batch_size, **machine.options()}
    options["check"] = options.pop("check_at")
    step = Step("neutralize", options, seed, request.record.digest, ids_entry(request.ids), {})
    how = Neutralizing(
        labels=method.labels,
        average=method.average,
        stop=method.stop,
        looks_per_epoch=20 if method.check_at == "often" else 1,
        max_epochs=method.max_epochs,
        optimizer=method.optimizer,
        rate=method.rate,
        momentum=method.momentum,
        margin=method.utility_margin,
        batch_size=batch_size,
        seed=seed,
        logged=log is not None,
    )

    def work(classifier: Classifier, tune: Samples, bookmark: Bookmark) -> Outcome:
        return neutralized(classifier, tune, request, machine, how, tell=console, bookmark=bookmark)

    beside = log_beside(log)
    written = carry_out(request, step, machine, tell=console, output=output, beside=beside, mask=mask, work=work)
    if written and written.state == "written":
        if written.record.steps[-1].metrics["steps"] == 0:
            console.warn("unmoved", "the model was at the goal before the first step: its weights are unchanged")
        report(console, written)
