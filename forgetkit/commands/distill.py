"""``forgetkit distill``: Kim & Woo 2022, stage 2."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    INPUT,
    METHOD,
    Checkpoint,
    Compute,
    IdColumn,
    Log,
    Output,
    Seed,
    Source,
    Strict,
    Training,
    positive,
)


def distill(
    checkpoint: Checkpoint,
    *,
    teacher: Annotated[str, typer.Option(metavar="CHECKPOINT", help="The original model.", rich_help_panel=INPUT)],
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--ids",
            "-i",
            metavar="FILE",
            help="More ids to leave out; - is stdin. Repeat for more.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    retain_fraction: Annotated[
        float,
        typer.Option(metavar="F", help="Share of the retain set in an epoch, drawn anew.", rich_help_panel=METHOD),
    ] = 0.5,
    alpha: Annotated[
        float, typer.Option(metavar="FLOAT", min=0, help="Weight of the cross-entropy.", rich_help_panel=METHOD)
    ] = 1.1,
    beta: Annotated[
        float, typer.Option(metavar="FLOAT", min=0, help="Weight of the distillation.", rich_help_panel=METHOD)
    ] = 0.9,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Softens both outputs.", rich_help_panel=METHOD)
    ] = 4.0,
    distill_epochs: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Epochs with the teacher; then plain cross-entropy.", rich_help_panel=METHOD
        ),
    ] = 10,
    training: Training,
    log: Log = None,
    id_column: IdColumn = "id",
    strict: Strict = False,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: Output,
) -> None:
    """Retrain on the retain set with the original as teacher (Kim & Woo 2022, stage 2).

    Everything that the record says was forgotten is left out, and --ids too. The teacher did see the forgotten
    samples: look at the membership AUC before and after, and audit the result. Without other options
    the training is the recorded recipe, with half its epochs.

    Examples:
        forgetkit distill model.neutralize.st --teacher model.st
        forgetkit distill model.neutralize.st --teacher model.st --epochs 5 --log epochs.jsonl
    """
    import numpy as np

    from forgetkit.checkpoint import load_model
    from forgetkit.compute import set_up
    from forgetkit.methods import distill as method
    from forgetkit.recipe import halved, recipe_of, resolve_recipe
    from forgetkit.record import Step
    from forgetkit.request import begin, open_checkpoint
    from forgetkit.results import ids_entry, report_written
    from forgetkit.steps import Samples, carry_out, on_machine, take
    from forgetkit.storage import publish_text
    from forgetkit.training import Classifier, optimizer_of

    if not 0 < retain_fraction <= 1:
        raise ForgetkitError("usage", f"--retain-fraction: {retain_fraction} is not in (0, 1]", "the paper's is 0.5")
    positive("--temperature", temperature)
    console = Console(as_json=output.as_json, quiet=output.quiet, dry_run=output.dry_run)
    teacher_path, teacher_record = open_checkpoint(teacher)
    request = begin("distill", checkpoint, ids or [], source=source, console=console, column=id_column, strict=strict)
    if request is None:
        return
    if len(request.retain_rows) == 0:
        raise ForgetkitError("ids-empty", "no retained samples are left to train on", "forget fewer ids")
    if teacher_record.dataset["fingerprint"] != request.dataset.fingerprint:
        raise ForgetkitError("checkpoint-mismatch", f"{teacher_path}: the teacher was trained on another data set")
    recipe = resolve_recipe(halved(recipe_of(request.record.recipe)), training)
    machine = set_up(compute.device, compute.precision, compute.threads)
    options = {
        **asdict(recipe),
        "teacher": teacher_record.digest,
        "retain_fraction": retain_fraction,
        "alpha": alpha,
        "beta": beta,
        "temperature": temperature,
        "distill_epochs": distill_epochs,
        **machine.options(),
    }
    step = Step("distill", options, seed, request.record.digest, ids_entry(request.ids), {})
    seen: list[dict[str, Any]] = []

    def work(classifier: Classifier, tune: Samples) -> dict[str, Any]:
        images, labels = take(request.dataset.train, request.retain_rows, machine.device)
        history = method.distill(
            classifier,
            on_machine(load_model(teacher_path, teacher_record), teacher_record, machine),
            images,
            labels,
            recipe=recipe,
            optimizer=optimizer_of(classifier, recipe),
            tune=tune,
            retain_fraction=retain_fraction,
            distill_epochs=distill_epochs,
            alpha=alpha,
            beta=beta,
            temperature=temperature,
            seed=seed,
            epochs=console.progress(range(1, recipe.epochs + 1), "distill", recipe.epochs),
            watch=seen.append,
        )
        return {"epochs": recipe.epochs, "best_epoch": history.best_epoch, "loss": history.epochs[-1]["loss"]}

    gone = np.flatnonzero(request.forgotten.contains(request.dataset.train.ids))
    written = carry_out(
        request,
        step,
        machine,
        console=console,
        output=output,
        others=(teacher_path,),
        beside=(Path(log),) if log else (),
        measured=gone,
        work=work,
    )
    if written is None:
        return
    if log:
        publish_text(Path(log), "".join(json.dumps(entry) + "\n" for entry in seen))
    report_written(console, written)
