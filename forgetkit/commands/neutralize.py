"""``forgetkit neutralize``: Kim & Woo 2022, stage 1."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from forgetkit.errors import NotReached
from forgetkit.options import (
    METHOD,
    MOST,
    Checkpoint,
    Compute,
    Lists,
    Log,
    Momentum,
    OptimizerName,
    Output,
    Rate,
    Seed,
    Source,
    check_optimizer,
    choice,
)


@dataclass(frozen=True)
class Method:
    """How to neutralize."""

    labels: Annotated[
        str,
        typer.Option(
            metavar="minimum|maximum", help="The class to train towards: least or most like.", rich_help_panel=METHOD
        ),
    ] = "minimum"
    average: Annotated[
        str, typer.Option(metavar="logits|probabilities", help="What to average for it.", rich_help_panel=METHOD)
    ] = "logits"
    stop: Annotated[
        str,
        typer.Option(
            metavar="chance|zero", help="Stop at an accuracy on the ids of 1/classes, or of 0.", rich_help_panel=METHOD
        ),
    ] = "chance"
    check_at: Annotated[
        str,
        typer.Option("--check", metavar="often|epoch", help="Look 20 times an epoch, or once.", rich_help_panel=METHOD),
    ] = "often"
    max_epochs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Give up after so many.", rich_help_panel=METHOD)
    ] = 500
    optimizer: OptimizerName = "adam"
    rate: Rate = 0.001
    momentum: Momentum = 0.0
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            max=MOST,
            help="Samples in a step; 0: a 20th of the ids, 8 to 128.",
            rich_help_panel=METHOD,
        ),
    ] = 0

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        choice("--labels", self.labels, ("minimum", "maximum"))
        choice("--average", self.average, ("logits", "probabilities"))
        choice("--stop", self.stop, ("chance", "zero"))
        choice("--check", self.check_at, ("often", "epoch"))
        check_optimizer(self.optimizer, self.rate, self.momentum)


def neutralize(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    method: Method,
    log: Log = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: Output,
) -> None:
    """Train the ids towards contrastive labels until the model is at chance on them (Kim & Woo 2022, stage 1).

    The result is not meant to be used as it is: it has lost accuracy, and a model at chance on some samples
    gives them away. Go on with distill.

    Examples:
        forgetkit neutralize model.st --ids ids.txt
        forgetkit neutralize model.st -i ids.txt --stop zero --check epoch --log looks.jsonl
    """
    from forgetkit.compute import set_up
    from forgetkit.methods.neutralize import Look, mislabel
    from forgetkit.methods.neutralize import neutralize as looks_of
    from forgetkit.record import Step
    from forgetkit.request import begin
    from forgetkit.results import ids_entry, report_written
    from forgetkit.steps import Samples, carry_out, take
    from forgetkit.storage import publish_text
    from forgetkit.training import Classifier, make_optimizer, predict

    method.check()
    console = output.console()
    request = begin("neutralize", checkpoint, lists.ids, lists, source=source, console=console)
    if request is None:
        return
    machine = set_up(compute.device, compute.precision, compute.threads)
    batch_size = method.batch_size or min(128, max(8, len(request.ids) // 20))
    options = {**asdict(method), "batch_size": batch_size, **machine.options()}
    options["check"] = options.pop("check_at")
    step = Step("neutralize", options, seed, request.record.digest, ids_entry(request.ids), {})
    classes = request.record.classes
    goal = 1 / len(classes) if method.stop == "chance" else 0.0
    looks: list[Look] = []

    def work(classifier: Classifier, tune: Samples) -> dict[str, Any]:
        images, labels = take(request.dataset.train, request.forget_rows, machine.device)
        outputs = predict(classifier, images)
        contrast = mislabel(outputs if method.average == "logits" else outputs.softmax(1), labels, kind=method.labels)
        for look in looks_of(
            classifier,
            images,
            labels,
            contrast=contrast,
            optimizer=make_optimizer(classifier, method.optimizer, rate=method.rate, momentum=method.momentum),
            batch_size=batch_size,
            epochs=console.progress(range(1, method.max_epochs + 1), "neutralize", method.max_epochs),
            looks_per_epoch=20 if method.check_at == "often" else 1,
            seed=seed,
        ):
            looks.append(look)
            if look.accuracy <= goal:
                named = {classes[true]: classes[wrong] for true, wrong in contrast.items()}
                return {"steps": look.step, "epochs": look.epoch, "contrast": named}
        right = f"{looks[-1].accuracy:.2%} of the forget set is right, above {goal:.2%}"
        raise NotReached(f"after {method.max_epochs} epochs {right}", "raise --max-epochs or --rate")

    beside = (Path(log),) if log else ()
    written = carry_out(request, step, machine, console=console, output=output, beside=beside, work=work)
    if written and log:
        publish_text(Path(log), "".join(json.dumps(asdict(look)) + "\n" for look in looks))
    if written:
        if looks[-1].step == 0:
            console.warn("unmoved", "the model was at the goal before the first step: its weights are unchanged")
        report_written(console, written)
