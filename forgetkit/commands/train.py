"""``forgetkit train``: the original, the reference, and everything trained on from there."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    COMPUTE,
    INPUT,
    METHOD,
    Compute,
    IdColumn,
    KeepOptimizer,
    Log,
    Output,
    Source,
    Strict,
    Training,
)


def train(
    *,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="convnet, resnet50 or torchvision:NAME.", rich_help_panel=METHOD),
    ] = None,
    model_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the model. Repeat for more.", rich_help_panel=METHOD),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="Ids to leave out; they count as forgotten. Repeat for more.", rich_help_panel=INPUT
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="FILE", help="Train on these ids and no others.", rich_help_panel=INPUT)
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Model, data, trained set and recipe of this one, from nothing.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="CHECKPOINT", help="Go on from these weights.", rich_help_panel=INPUT),
    ] = None,
    training: Training,
    keep_optimizer: KeepOptimizer = False,
    replicas: Annotated[
        int, typer.Option(metavar="K", min=1, help="Train K models; {n} in --out is the seed.", rich_help_panel=COMPUTE)
    ] = 1,
    log: Log = None,
    id_column: IdColumn = "id",
    strict: Strict = False,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Seed.", rich_help_panel=COMPUTE),
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
    from forgetkit.compute import available_cores, set_up
    from forgetkit.plan import carry_out, carry_out_all, make_plans, start_model
    from forgetkit.results import Written, document, report_done, report_written, up_to_date
    from forgetkit.storage import check_target
    from forgetkit.training_set import choose, open_base

    console = Console(as_json=output.as_json, quiet=output.quiet)
    _check_together(output.out, like, from_, bool(model or model_option), replicas)
    base = open_base(like, from_)
    chosen = choose(base, source, console, exclude=exclude or [], only=only, column=id_column, strict=strict)
    machine = set_up(compute.device, compute.precision, 1 if replicas > 1 else compute.threads)
    plans = make_plans(
        base,
        chosen,
        machine,
        model=(model or "convnet", dict(_option(text) for text in model_option or [])),
        training=training,
        keep_optimizer=keep_optimizer,
        seed=seed,
        targets=(output.out or "", replicas),
        log=log,
    )
    finished = {plan.target: record for plan in plans if (record := up_to_date(plan.target, plan.step))}
    missing = [plan for plan in plans if plan.target not in finished]
    for plan in missing:
        for path in filter(None, (plan.target, plan.log)):
            check_target(path, force=output.force, inputs=(base.path,) if base else ())
    for path, record in finished.items():
        report_done(console, "train", path, record, output, alone=replicas == 1)
    if missing:
        console.note(f"train: {len(chosen.rows)} samples of {chosen.dataset.name}, {missing[0].says()}")
    if output.dry_run:
        for plan in missing[:1]:
            start_model(plan)
        console.note("dry run: nothing was computed or written")
        return
    if replicas == 1:
        for plan in missing:
            report_written(console, carry_out(plan, chosen.dataset, console))
        return
    written: dict[Path, Written] = {}

    def told(done: Written) -> None:
        written[done.path] = done
        console.note(f"train: wrote {done.path}  sha256:{done.record.digest[:16]}  in {done.seconds:.1f} s")

    if missing:
        carry_out_all(missing, compute.threads or available_cores(), told)
    entries = [
        document(
            "train",
            plan.target,
            finished.get(plan.target) or written[plan.target].record,
            up_to_date=plan.target in finished,
        )
        for plan in plans
    ]
    console.result([str(plan.target) for plan in plans], _joined(entries))


def _check_together(out: str | None, like: str | None, from_: str | None, model: bool, replicas: int) -> None:
    """Refuse options that do not go together."""
    if not out:
        raise ForgetkitError("usage", "train needs --out", "for example: -o model.st")
    if like is not None and from_ is not None:
        raise ForgetkitError("usage", "--like begins from nothing, --from goes on", "give one of them")
    if model and (like is not None or from_ is not None):
        raise ForgetkitError(
            "usage", "--model does not go with --like or --from", "the checkpoint says which model it is"
        )
    if replicas > 1 and "{n}" not in out:
        raise ForgetkitError(
            "usage", "--replicas needs {n} in --out, where the seed goes", "for example: -o refs/{n}.st"
        )


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
