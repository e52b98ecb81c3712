"""``forgetkit relabel``: Li & Ghosh 2023, one step towards all wrong labels for each id."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.limits import Limits
from forgetkit.options import (
    METHOD,
    Booked,
    Checkpoint,
    Compute,
    KeepOptimizer,
    Lists,
    LongRun,
    Mask,
    Momentum,
    OptimizerName,
    Seed,
    Source,
    UtilityMargin,
    check_optimizer,
    choice,
    positive,
)

if TYPE_CHECKING:
    from forgetkit.compute import Machine
    from forgetkit.request import Request


@dataclass(frozen=True)
class Method:
    """How to relabel."""

    optimizer: OptimizerName = "adadelta"
    rate: Annotated[
        str, typer.Option(metavar="auto|FLOAT", help="Learning rate; auto searches for it.", rich_help_panel=METHOD)
    ] = "auto"
    momentum: Momentum = 0.0
    mix: Annotated[
        str,
        typer.Option(
            metavar="auto|per-id|joint",
            help="A step for each id (the paper's), or joint steps with retained samples; auto: what works.",
            rich_help_panel=METHOD,
        ),
    ] = "auto"
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
            help="Retained samples of the same class after each id; or in a joint step (0: 128).",
            rich_help_panel=METHOD,
        ),
    ] = 0
    ids_per_step: Annotated[
        int, typer.Option(metavar="N", min=1, help="Ids in a joint step.", rich_help_panel=METHOD)
    ] = 64
    forget_weight: Annotated[
        float, typer.Option(metavar="W", help="Weight of the ids in a joint step.", rich_help_panel=METHOD)
    ] = 0.1
    utility_margin: UtilityMargin = 0.02
    keep_optimizer: KeepOptimizer = False
    allow_unforgotten: Annotated[
        bool,
        typer.Option(
            "--allow-unforgotten",
            help="Write a result at a fixed rate although the ids are as recognisable as before.",
            rich_help_panel=METHOD,
        ),
    ] = False

    def check(self) -> None:
        """Refuse a value that is not to be had; raises ForgetkitError ``usage``."""
        choice("--order", self.order, ("file", "shuffle"))
        choice("--mix", self.mix, ("auto", "per-id", "joint"))
        positive("--forget-weight", self.forget_weight)
        positive("--utility-margin", self.utility_margin)
        check_optimizer(self.optimizer, 1.0 if self.fixed is None else self.fixed, self.momentum)

    @property
    def fixed(self) -> float | None:
        """The rate, where it is given."""
        if self.rate == "auto":
            return None
        try:
            return float(self.rate)
        except ValueError:
            message = f"--rate: '{self.rate}' is neither 'auto' nor a number"
            raise ForgetkitError("usage", message, "for example --rate 0.01") from None

    @property
    def aim(self) -> tuple[str, float | None, bool]:
        """Kind of steps, fixed rate if any, and whether a step that changed nothing is allowed."""
        mix = "per-id" if self.fixed is not None and self.mix == "auto" else self.mix
        return mix, self.fixed, self.allow_unforgotten

    @property
    def searched(self) -> list[str]:
        """The options that the step finds by itself."""
        mix, rate, _ = self.aim
        wanted = {"mix": mix == "auto", "rate": rate is None, "joint_steps": mix != "per-id"}
        return [name for name, is_wanted in wanted.items() if is_wanted]

    def options(self, labels_per_id: int, state: str | None) -> dict[str, Any]:
        """Return what the record holds of it, as far as it is known beforehand."""
        options = {name: value for name, value in asdict(self).items() if name != "allow_unforgotten"}
        known = {"mix": self.aim[0], "rate": self.fixed, "labels_per_id": labels_per_id, "optimizer_state": state}
        return {**options, **known, "joint_steps": None}


def relabel(
    checkpoint: Checkpoint,
    *,
    lists: Lists,
    booked: Booked,
    method: Method,
    limits: Limits,
    mask: Mask = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    output: LongRun,
) -> None:
    """Forget each id by one training step towards all its wrong labels (Li & Ghosh 2023).

    The rate decides everything: too low and nothing is forgotten, too high and the model is lost. By default it is
    searched for: where the ids look like data never seen, and accuracy holds. Where no rate does both, joint steps
    with retained samples are tried. --rate FLOAT is the paper as published.

    Examples:
        forgetkit relabel model.st --ids ids.txt --optimizer adadelta
        forgetkit forget-ids model.st --class 3 | forgetkit relabel model.st --ids - --rate 0.1
        forgetkit relabel model.st -i ids.txt --optimizer adam --mix joint
        forgetkit relabel model.st -i ids.txt --optimizer sgd --rate 0.0001 --replay 8
    """
    from forgetkit.compute import set_up
    from forgetkit.ids import draw
    from forgetkit.request import begin
    from forgetkit.results import output_path
    from forgetkit.streams import retraining

    method.check()
    limits.check()
    console, booking = output.console(), booked.booking()
    request = begin("relabel", checkpoint, lists.ids, lists, source=source, console=console, booking=booking)
    if request is None:
        return
    if method.order == "shuffle":
        request = replace(request, ids=draw(request.ids, len(request.ids), seed))
    machine = set_up(compute.device, "float32" if compute.precision == "auto" else compute.precision, compute.threads)
    fallback = None
    if limits.on_limit == "retrain":
        fallback = retraining(request, machine, output_path(request.path, "relabel", output.out))
    if fallback and fallback.done:
        fallback.carry_out(console, output)
        return
    try:
        limits.check_sequence(request)
        _relabel(request, method, limits, seed, machine, console, output, mask)
    except NotReached as reached:
        if fallback is None:
            raise
        console.warn("retraining", f"{reached.message}: retraining")
        fallback.carry_out(console, output)


def _relabel(
    request: "Request",
    method: Method,
    limits: Limits,
    seed: int,
    machine: "Machine",
    console: Console,
    output: LongRun,
    mask: str | None,
) -> None:
    """Relabel, write and report; raises NotReached, and what :func:`forgetkit.steps.carry_out` raises."""
    from forgetkit.checkpoint import find_optimizer, optimizer_path, save_optimizer
    from forgetkit.limits import open_references
    from forgetkit.record import Step
    from forgetkit.relabeler import Relabeling
    from forgetkit.relabeling import Aimed, most_joint_steps, unlearn
    from forgetkit.results import ids_entry, output_path, report_written
    from forgetkit.resume import Bookmark
    from forgetkit.steps import Outcome, Samples, carry_out, warn_unmoved
    from forgetkit.streams import check_limits
    from forgetkit.training import Classifier

    record, target = request.record, output_path(request.path, "relabel", output.out)
    found = find_optimizer(request.path, record.digest, method.optimizer) if method.keep_optimizer else None
    references = open_references(limits.reference or [], request)
    count = _labels_per_id(method.labels_per_id, len(record.classes))
    options = {
        **method.options(count, found[1] if found else None),
        **limits.options([reference.digest for _, reference in references]),
        **machine.options(),
        "searched": method.searched + limits.searched,
    }
    step = Step("relabel", options, seed, record.digest, ids_entry(request.ids), {})
    how = Relabeling(
        optimizer=method.optimizer,
        momentum=method.momentum,
        classes=len(record.classes),
        labels_per_id=count,
        replay=method.replay,
        ids_per_step=method.ids_per_step,
        forget_weight=method.forget_weight,
        margin=method.utility_margin,
        most_steps=most_joint_steps(record, len(request.retain_rows), method.ids_per_step, method.replay),
        seed=seed,
        state=found[0] if found else None,
    )
    ended: list[Aimed] = []

    def work(classifier: Classifier, tune: Samples, bookmark: Bookmark) -> Outcome:
        found = unlearn(classifier, tune, request, machine, how, aim=method.aim, console=console, bookmark=bookmark)
        ended.append(found)
        judged = check_limits(classifier, tune, request, machine, limits, references)
        bound = {"max_divergence": judged["divergence_bound"]} if "divergence_bound" in judged else {}
        outcome = ended[0].outcome
        return Outcome({**outcome.metrics, **judged}, {**outcome.resolved, **bound})

    def keep(_: Path, bookmark: Bookmark, digest: str) -> None:
        save_optimizer(target, ended[0].optimizer, name=method.optimizer, digest=digest)

    beside = {optimizer_path(target): keep} if method.keep_optimizer else {}
    others = tuple(path for path, _ in references)
    written = carry_out(
        request, step, machine, console=console, output=output, others=others, beside=beside, mask=mask, work=work
    )
    if written is None:
        return
    if method.aim[0] == "per-id" and method.fixed is not None:
        warn_unmoved(console, written.record.steps[-1].metrics, "raise --rate, or leave it to be found")
    report_written(console, written)


def _labels_per_id(text: str, classes: int) -> int:
    if text == "all":
        return classes - 1
    if not text.isdecimal() or not 1 <= int(text) < classes:
        hint = f"'all', or a number from 1 to {classes - 1}"
        raise ForgetkitError("usage", f"--labels-per-id: '{text}' does not fit {classes} classes", hint)
    return int(text)
