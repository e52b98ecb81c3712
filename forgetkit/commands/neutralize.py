"""``forgetkit neutralize``: Kim & Woo 2022, stage 1."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from forgetkit.console import Console
from forgetkit.errors import NotReached
from forgetkit.options import (
    METHOD,
    Checkpoint,
    Compute,
    IdColumn,
    Ids,
    Log,
    Momentum,
    OptimizerName,
    Output,
    Rate,
    Seed,
    Source,
    Strict,
    choice,
    momentum_fits,
    positive,
)


def neutralize(
    checkpoint: Checkpoint,
    *,
    ids: Ids,
    labels: Annotated[
        str,
        typer.Option(
            metavar="minimum|maximum", help="The class to train towards: least or most like.", rich_help_panel=METHOD
        ),
    ] = "minimum",
    average: Annotated[
        str, typer.Option(metavar="logits|probabilities", help="What to average for it.", rich_help_panel=METHOD)
    ] = "logits",
    stop: Annotated[
        str,
        typer.Option(
            metavar="chance|zero", help="Stop at an accuracy on the ids of 1/classes, or of 0.", rich_help_panel=METHOD
        ),
    ] = "chance",
    check: Annotated[
        str, typer.Option(metavar="often|epoch", help="Look 20 times an epoch, or once.", rich_help_panel=METHOD)
    ] = "often",
    max_epochs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Give up after so many.", rich_help_panel=METHOD)
    ] = 500,
    optimizer: OptimizerName = "adam",
    rate: Rate = 0.001,
    momentum: Momentum = 0.0,
    batch_size: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Samples in a step; 0: a 20th of the ids, 8 to 128.", rich_help_panel=METHOD
        ),
    ] = 0,
    log: Log = None,
    id_column: IdColumn = "id",
    strict: Strict = False,
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
    from forgetkit.methods import neutralize as method
    from forgetkit.recipe import OPTIMIZERS
    from forgetkit.record import Step
    from forgetkit.request import begin
    from forgetkit.results import ids_entry, report_written
    from forgetkit.steps import Samples, carry_out, take
    from forgetkit.storage import publish_text
    from forgetkit.training import Classifier, make_optimizer, predict

    choice("--labels", labels, ("minimum", "maximum"))
    choice("--average", average, ("logits", "probabilities"))
    choice("--stop", stop, ("chance", "zero"))
    choice("--check", check, ("often", "epoch"))
    choice("--optimizer", optimizer, OPTIMIZERS)
    positive("--rate", rate)
    momentum_fits(optimizer, momentum)
    console = Console(as_json=output.as_json, quiet=output.quiet, dry_run=output.dry_run)
    request = begin("neutralize", checkpoint, ids, source=source, console=console, column=id_column, strict=strict)
    if request is None:
        return
    machine = set_up(compute.device, compute.precision, compute.threads)
    batch_size = batch_size or min(128, max(8, len(request.ids) // 20))
    options = {
        "labels": labels,
        "average": average,
        "stop": stop,
        "check": check,
        "max_epochs": max_epochs,
        "optimizer": optimizer,
        "rate": rate,
        "momentum": momentum,
        "batch_size": batch_size,
        **machine.options(),
    }
    step = Step("neutralize", options, seed, request.record.digest, ids_entry(request.ids), {})
    classes = len(request.record.classes)
    goal = 1 / classes if stop == "chance" else 0.0
    looks: list[method.Look] = []

    def work(classifier: Classifier, tune: Samples) -> dict[str, Any]:
        images, truth = take(request.dataset.train, request.forget_rows, machine.device)
        outputs = predict(classifier, images)
        contrast = method.mislabel(outputs if average == "logits" else outputs.softmax(1), truth, kind=labels)
        for look in method.neutralize(
            classifier,
            images,
            truth,
            contrast=contrast,
            optimizer=make_optimizer(classifier, optimizer, rate=rate, momentum=momentum),
            batch_size=batch_size,
            epochs=console.progress(range(1, max_epochs + 1), "neutralize", max_epochs),
            looks_per_epoch=20 if check == "often" else 1,
            seed=seed,
        ):
            looks.append(look)
            if look.accuracy <= goal:
                named = {
                    request.record.classes[source]: request.record.classes[target]
                    for source, target in contrast.items()
                }
                return {"steps": look.step, "epochs": look.epoch, "contrast": named}
        message = f"after {max_epochs} epochs {looks[-1].accuracy:.2%} of the forget set is right, above {goal:.2%}"
        raise NotReached(message, "raise --max-epochs or --rate")

    beside = (Path(log),) if log else ()
    written = carry_out(request, step, machine, console=console, output=output, beside=beside, work=work)
    if written is None:
        return
    if log:
        publish_text(Path(log), "".join(json.dumps(look.__dict__) + "\n" for look in looks))
    report_written(console, written)
