"""``forgetkit relabel``: Li & Ghosh 2023, one step towards all wrong labels for each id."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    METHOD,
    Checkpoint,
    Compute,
    KeepOptimizer,
    Lists,
    Momentum,
    OptimizerName,
    Output,
    Rate,
    Seed,
    Source,
    check_optimizer,
    choice,
)


@dataclass(frozen=True, kw_only=True)
class Method:
    """How to relabel."""

    rate: Rate
    optimizer: OptimizerName = "adadelta"
    momentum: Momentum = 0.0
    labels_per_id: Annotated[
        str,
        typer.Option(metavar="all|N", help="Wrong labels drawn for each id (the paper's k').", rich_help_panel=METHOD),
    ] = "all"
    order: Annotated[str, typer.Option(metavar="file|shuffle", help="Order of the ids.", rich_help_panel=METHOD)] = (
        "file"
    )
    replay: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Retained samples of the same class to train on after each id.",
            rich_help_panel=METHOD,
        ),
    ] = 0
    keep_optimizer: KeepOptimizer = False


def relabel(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    method: Method,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: Output,
) -> None:
    """Forget each id by one training step towards all its wrong labels (Li & Ghosh 2023).

    The rate decides everything: too low and nothing is forgotten, too high and the model is lost. Read the figures
    that the command prints, and audit the result.

    Examples:
        forgetkit relabel model.st --ids ids.txt --optimizer adadelta --rate 0.1
        forgetkit forget-ids model.st --class 3 | forgetkit relabel model.st --ids - --rate 0.1
        forgetkit relabel model.st -i ids.txt --optimizer sgd --rate 0.0001 --replay 8
    """
    from torch.optim import Optimizer

    from forgetkit.checkpoint import find_optimizer, load_optimizer, optimizer_path, save_optimizer
    from forgetkit.compute import set_up
    from forgetkit.ids import draw
    from forgetkit.methods.relabel import relabel as steps_of
    from forgetkit.record import Step
    from forgetkit.request import begin
    from forgetkit.results import ids_entry, output_path, report_written
    from forgetkit.steps import Samples, carry_out, take
    from forgetkit.training import Classifier, make_optimizer

    choice("--order", method.order, ("file", "shuffle"))
    check_optimizer(method.optimizer, method.rate, method.momentum)
    console = output.console()
    request = begin("relabel", checkpoint, lists.ids, lists, source=source, console=console)
    if request is None:
        return
    if method.order == "shuffle":
        request = replace(request, ids=draw(request.ids, len(request.ids), seed))
    machine = set_up(compute.device, "float32" if compute.precision == "auto" else compute.precision, compute.threads)
    found = find_optimizer(request.path, request.record.digest, method.optimizer) if method.keep_optimizer else None
    count = _labels_per_id(method.labels_per_id, len(request.record.classes))
    kept = {"labels_per_id": count, "optimizer_state": found[1] if found else None}
    step = Step(
        "relabel",
        {**asdict(method), **kept, **machine.options()},
        seed,
        request.record.digest,
        ids_entry(request.ids),
        {},
    )
    target = output_path(request.path, "relabel", output.out)
    moved_by: list[Optimizer] = []

    def work(classifier: Classifier, tune: Samples) -> dict[str, Any]:
        optimizer = make_optimizer(classifier, method.optimizer, rate=method.rate, momentum=method.momentum)
        if found:
            load_optimizer(found[0], optimizer)
        moved_by.append(optimizer)
        images, labels = take(request.dataset.train, request.forget_rows, machine.device)
        steps = steps_of(
            classifier,
            images,
            labels,
            optimizer=optimizer,
            classes=len(request.record.classes),
            labels_per_id=count,
            replay=method.replay,
            retain=take(request.dataset.train, request.retain_rows, machine.device) if method.replay else None,
            seed=seed,
        )
        return {"steps": len(list(console.progress(steps, "relabel", len(labels) * (2 if method.replay else 1))))}

    beside = (optimizer_path(target),) if method.keep_optimizer else ()
    written = carry_out(request, step, machine, console=console, output=output, beside=beside, work=work)
    if written is None:
        return
    if method.keep_optimizer:
        save_optimizer(target, moved_by[0], name=method.optimizer, digest=written.record.digest)
    warn_unmoved(console, written.record.steps[-1].metrics)
    report_written(console, written)


def warn_unmoved(console: Console, metrics: dict[str, Any]) -> None:
    """Say so when the step left the forget set as it was.

    That is: as many are right as before, and mean φ fell by less than a quarter of its spread on unseen samples.
    """
    fall = metrics["forget_phi_before"] - metrics["forget_phi"]
    as_right = metrics["forget_accuracy"] >= metrics["forget_accuracy_before"]
    if as_right and fall < 0.25 * metrics["tune_phi_sd_before"]:
        text = (
            f"this moved nothing: {metrics['forget_accuracy']:.2%} of the ids are right as before, mean φ "
            f"{metrics['forget_phi_before']:.2f} → {metrics['forget_phi']:.2f}, "
            f"weights by {metrics['weight_change']:.2%}; whatever was remembered still is; raise --rate"
        )
        console.warn("unmoved", text)


def _labels_per_id(text: str, classes: int) -> int:
    if text == "all":
        return classes - 1
    if not text.isdecimal() or not 1 <= int(text) < classes:
        hint = f"'all', or a number from 1 to {classes - 1}"
        raise ForgetkitError("usage", f"--labels-per-id: '{text}' does not fit {classes} classes", hint)
    return int(text)
