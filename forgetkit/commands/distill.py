"""``forgetkit distill``: Kim & Woo 2022, stage 2."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    INPUT,
    METHOD,
    Checkpoint,
    Compute,
    ListForm,
    Log,
    Output,
    Seed,
    Source,
    Training,
    positive,
)


@dataclass(frozen=True, kw_only=True)
class Lists(ListForm):
    """The ID lists of a step that may do without."""

    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--ids",
            "-i",
            metavar="FILE",
            help="More ids to leave out; - is stdin. Repeat for more.",
            rich_help_panel=INPUT,
        ),
    ] = None


@dataclass(frozen=True)
class Method:
    """How to distil."""

    retain_fraction: Annotated[
        float,
        typer.Option(metavar="F", help="Share of the retain set in an epoch, drawn anew.", rich_help_panel=METHOD),
    ] = 0.5
    alpha: Annotated[
        float, typer.Option(metavar="FLOAT", min=0, help="Weight of the cross-entropy.", rich_help_panel=METHOD)
    ] = 1.1
    beta: Annotated[
        float, typer.Option(metavar="FLOAT", min=0, help="Weight of the distillation.", rich_help_panel=METHOD)
    ] = 0.9
    temperature: Annotated[float, typer.Option(metavar="T", help="Softens both outputs.", rich_help_panel=METHOD)] = 4.0
    distill_epochs: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="Epochs with the teacher; then plain cross-entropy.", rich_help_panel=METHOD
        ),
    ] = 10

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        if not 0 < self.retain_fraction <= 1:
            message = f"--retain-fraction: {self.retain_fraction} is not in (0, 1]"
            raise ForgetkitError("usage", message, "the paper's is 0.5")
        positive("--temperature", self.temperature)


def distill(
    checkpoint: Checkpoint,
    *,
    teacher: Annotated[str, typer.Option(metavar="CHECKPOINT", help="The original model.", rich_help_panel=INPUT)],
    lists: Lists,
    method: Method,
    training: Training,
    log: Log = None,
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
    from forgetkit.checkpoint import load_model
    from forgetkit.compute import set_up
    from forgetkit.methods.distill import distill as train_student
    from forgetkit.recipe import halved, recipe_of, resolve_recipe
    from forgetkit.record import Step
    from forgetkit.request import begin, open_teacher
    from forgetkit.results import ids_entry, report_written
    from forgetkit.steps import Samples, carry_out, on_machine, take
    from forgetkit.storage import publish_text
    from forgetkit.training import Classifier, optimizer_of

    method.check()
    console = output.console()
    request = begin("distill", checkpoint, lists.ids or [], lists, source=source, console=console, needs_ids=False)
    if request is None:
        return
    teacher_path, teacher_record = open_teacher(teacher, request)
    if not len(request.forgotten):
        console.warn("nothing-forgotten", "nothing was forgotten yet and no --ids are given: this is plain training")
    recipe = resolve_recipe(halved(recipe_of(request.record.recipe)), training)
    machine = set_up(compute.device, compute.precision, compute.threads)
    options = {**asdict(recipe), **asdict(method), "teacher": teacher_record.digest, **machine.options()}
    step = Step("distill", options, seed, request.record.digest, ids_entry(request.ids), {})
    seen: list[dict[str, Any]] = []

    def work(classifier: Classifier, tune: Samples) -> dict[str, Any]:
        images, labels = take(request.dataset.train, request.retain_rows, machine.device)
        history = train_student(
            classifier,
            on_machine(load_model(teacher_path, teacher_record), teacher_record, machine),
            images,
            labels,
            recipe=recipe,
            optimizer=optimizer_of(classifier, recipe),
            tune=tune,
            seed=seed,
            epochs=console.progress(range(1, recipe.epochs + 1), "distill", recipe.epochs),
            watch=seen.append,
            **asdict(method),
        )
        return {"epochs": recipe.epochs, "best_epoch": history.best_epoch, "loss": history.epochs[-1]["loss"]}

    written = carry_out(
        request,
        step,
        machine,
        console=console,
        output=output,
        others=(teacher_path,),
        beside=(Path(log),) if log else (),
        measured=request.all_forgotten_rows,
        work=work,
    )
    if written and log:
        publish_text(Path(log), "".join(json.dumps(entry) + "\n" for entry in seen))
    if written:
        report_written(console, written)
