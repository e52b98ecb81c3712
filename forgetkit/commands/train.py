"""``forgetkit train``: the original, the reference, and everything trained on from there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    COMPUTE,
    INPUT,
    LARGEST_SEED,
    METHOD,
    Compute,
    KeepOptimizer,
    ListForm,
    Log,
    Output,
    Source,
    Training,
)

if TYPE_CHECKING:
    from forgetkit.plan import Plan
    from forgetkit.record import Record


@dataclass(frozen=True)
class Start:
    """What to train, from where, on what."""

    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="convnet, resnet50 or torchvision:NAME.", rich_help_panel=METHOD),
    ] = None
    model_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the model. Repeat for more.", rich_help_panel=METHOD),
    ] = None
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Ids to leave out; they count as forgotten. Repeat for more.", rich_help_panel=INPUT
        ),
    ] = None
    only: Annotated[
        str | None, typer.Option(metavar="FILE", help="Train on these ids and no others.", rich_help_panel=INPUT)
    ] = None
    like: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Model, data, trained set and recipe of this one, from nothing.",
            rich_help_panel=INPUT,
        ),
    ] = None
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Go on from these weights.", rich_help_panel=INPUT),
    ] = None

    def check(self) -> None:
        """Refuse options that do not go together; raises ForgetkitError ``usage``."""
        if self.like is not None and self.from_ is not None:
            raise ForgetkitError("usage", "--like begins from nothing, --from goes on", "give one of them")
        if (self.model or self.model_option) and (self.like is not None or self.from_ is not None):
            message = "--model does not go with --like or --from"
            raise ForgetkitError("usage", message, "the checkpoint says which model it is")

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that it names; no output may replace one."""
        named = (self.like, self.from_, self.only, *(self.exclude or []))
        return tuple(Path(name) for name in named if name and name != "-")


def train(
    *,
    start: Start,
    training: Training,
    keep_optimizer: KeepOptimizer = False,
    replicas: Annotated[
        int,
        typer.Option(
            metavar="K", min=1, max=10_000, help="Train K models; {n} in --out is the seed.", rich_help_panel=COMPUTE
        ),
    ] = 1,
    log: Log = None,
    form: ListForm,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=LARGEST_SEED,
            help="Seed of everything random: 0; with --like, the recorded one + 1.",
            rich_help_panel=COMPUTE,
        ),
    ] = None,
    source: Source,
    compute: Compute,
    output: Output,
) -> None:
    """Train a model: from nothing, by another one's recipe, or on from a checkpoint.

    A reference, which both papers compare with, is the original's recipe without the forgotten ids:
    the second example. Defaults are Kim & Woo's: Adam, rate 0.001, batches of 128, 20 epochs.

    Examples:
        forgetkit train --dataset digits -o model.st
        forgetkit train --like model.st --exclude ids.txt -o reference.st
        forgetkit train --like model.st --exclude ids.txt --replicas 3 -o refs/{n}.st
        forgetkit train --from model.st --only new.txt --epochs 2 -o model.more.st
    """
    from forgetkit.compute import set_up
    from forgetkit.plan import carry_out, make_plans, start_model
    from forgetkit.results import report_done, report_written, up_to_date
    from forgetkit.training_set import choose, open_base

    start.check()
    _check_out(output.out, log, replicas)
    console = output.console()
    base = open_base(start.like, start.from_)
    chosen = choose(base, source, console, exclude=start.exclude or [], only=start.only, form=form)
    plans = make_plans(
        base,
        chosen,
        set_up(compute.device, compute.precision, 1 if replicas > 1 else compute.threads),
        model=(start.model or "convnet", dict(_option(text) for text in start.model_option or [])),
        training=training,
        keep_optimizer=keep_optimizer,
        seed=seed,
        targets=(output.out or "", replicas),
        log=log,
    )
    finished = {plan.target: record for plan in plans if (record := up_to_date(plan.target, plan.record, plan.beside))}
    missing = [plan for plan in plans if plan.target not in finished]
    _check_targets(missing, start.inputs, force=output.force)
    for path, record in finished.items():
        report_done(console, "train", path, record, output, alone=replicas == 1)
    if missing:
        console.note(f"train: {len(chosen.rows)} samples of {chosen.dataset.name}, {missing[0].says()}")
    if output.dry_run:
        for plan in missing[:1]:
            start_model(plan)
        console.note("dry run: nothing was computed or written")
    elif replicas > 1:
        _train_replicas(plans, missing, finished, workers=compute.threads, console=console)
    elif missing:
        report_written(console, carry_out(missing[0], chosen.dataset, console))


def _check_out(out: str | None, log: str | None, replicas: int) -> None:
    """Refuse a missing output, or one that all replicas would share."""
    if not out:
        raise ForgetkitError("usage", "train needs --out", "for example: -o model.st")
    if replicas > 1 and "{n}" not in out:
        message = "--replicas needs {n} in --out, where the seed goes"
        raise ForgetkitError("usage", message, "for example: -o refs/{n}.st")
    if replicas > 1 and log and "{n}" not in log:
        raise ForgetkitError("usage", "--replicas needs {n} in --log too", "for example: --log logs/{n}.jsonl")


def _check_targets(plans: "list[Plan]", inputs: tuple[Path, ...], *, force: bool) -> None:
    """Refuse outputs that cannot or must not be written, before anything is computed."""
    from forgetkit.storage import check_target

    for plan in plans:
        check_target(plan.target, force=force, inputs=inputs)
        for path in plan.beside:
            check_target(path, force=force, inputs=(*inputs, plan.target))


def _train_replicas(
    plans: "list[Plan]", missing: "list[Plan]", finished: "dict[Path, Record]", *, workers: int, console: Console
) -> None:
    """Train what is missing of several replicas side by side, then print them all."""
    from forgetkit.compute import available_cores
    from forgetkit.plan import carry_out_all
    from forgetkit.results import Written, document

    done = dict(finished)

    def told(written: Written) -> None:
        done[written.path] = written.record
        sha = written.record.digest[:16]
        console.note(f"train: wrote {written.path}  sha256:{sha}  in {written.seconds:.1f} s")

    if missing:
        carry_out_all(missing, workers or available_cores(), told)
    entries = [document("train", plan.target, done[plan.target], up_to_date=plan.target in finished) for plan in plans]
    console.result([str(plan.target) for plan in plans], _joined(entries))


def _option(text: str) -> tuple[str, Any]:
    """Return key and value of ``KEY=VALUE``; the value is a JSON scalar, else a string."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ForgetkitError(
            "usage", f"--model-option: '{text}' is not KEY=VALUE", "for example: --model-option stem=small"
        )
    try:
        parsed = json.loads(value)
    except ValueError:
        return key, value
    return key, value if isinstance(parsed, dict | list) else parsed


def _joined(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one document of several replicas."""
    parts = [{key: entry[key] for key in ("outputs", "digest", "up_to_date", "metrics", "record")} for entry in entries]
    return {
        "ok": True,
        "command": "train",
        "outputs": [path for entry in entries for path in entry["outputs"]],
        "digest": None,
        "up_to_date": all(entry["up_to_date"] for entry in entries),
        "metrics": None,
        "record": None,
        "replicas": parts,
    }
