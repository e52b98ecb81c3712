"""``forgetkit train``: the original, the reference, and everything trained on from there."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report, report_replicas
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    COMPUTE,
    INPUT,
    LARGEST_SEED,
    Compute,
    KeepOptimizer,
    ListForm,
    Log,
    Mask,
    Option,
    ResumableOutput,
    Source,
    Training,
    choice,
)

if TYPE_CHECKING:
    from forgetkit.training.training_set import TrainingSet


@dataclass(frozen=True)
class Start:
    """What to train, from where, on what."""

    model: Annotated[
        str | None,
        Option("convnet, resnet50 or torchvision:NAME.", metavar="NAME"),
    ] = None
    model_option: Annotated[
        list[str] | None,
        Option("An option of the model. Repeat for more.", metavar="KEY=VALUE"),
    ] = None
    exclude: Annotated[
        list[str] | None,
        Option("Ids to leave out; they count as forgotten. Repeat for more.", metavar="FILE", panel=INPUT),
    ] = None
    only: Annotated[str | None, Option("Train on these ids and no others.", metavar="FILE", panel=INPUT)] = None
    like: Annotated[
        str | None,
        Option("Model, data, trained set and recipe of this one, from nothing.", metavar="CHECKPOINT", panel=INPUT),
    ] = None
    from_: Annotated[
        str | None,
        Option("Go on from these weights.", metavar="CHECKPOINT", flags=("--from",), panel=INPUT),
    ] = None
    mask: Mask = None

    def check(self) -> None:
        """Refuse options that do not go together; raises ForgetkitError ``usage``."""
        if self.like is not None and self.from_ is not None:
            raise ForgetkitError("usage", "--like begins from nothing, --from goes on", "give one of them")
        if (self.model or self.model_option) and (self.like is not None or self.from_ is not None):
            message = "--model does not go with --like or --from"
            raise ForgetkitError("usage", message, "the checkpoint says which model it is")
        if self.mask is not None and self.from_ is None:
            message = "--mask goes with --from: a new model has no weights to keep"
            raise ForgetkitError("usage", message, "for example: --from model.st --mask mask.st")

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that it names; no output may replace one."""
        named = (self.like, self.from_, self.mask, self.only, *(self.exclude or []))
        return tuple(Path(name) for name in named if name and name != "-")


@dataclass(frozen=True)
class Planting:
    """Canaries: samples that a coin puts in or leaves out."""

    canaries: Annotated[
        int | None,
        Option("Put in or leave out M samples on the flip of a coin, for the audit.", metavar="M", min=8),
    ] = None
    canary_kind: Annotated[
        str | None,
        Option("Labels of canaries: mislabelled (a wrong one, the default) or natural (their own).", metavar="NAME"),
    ] = None

    def check(self, start: Start, seeds: "Seeds") -> None:
        """Refuse options that do not go together; raises ForgetkitError ``usage``."""
        from forgetkit.data.canaries import KINDS

        choice("--canary-kind", self.kind, KINDS)
        if self.canaries is None and self.canary_kind:
            raise ForgetkitError("usage", "--canary-kind is given, but no --canaries", "for example: --canaries 1000")
        if self.canaries is not None and start.from_ is not None:
            message = "--canaries does not go with --from: that model has seen its samples"
            raise ForgetkitError("usage", message, "train one with canaries from nothing")
        if self.canaries is not None and seeds.replicas > 1:
            message = "--canaries does not go with --replicas: the coins of each would differ"
            raise ForgetkitError("usage", message, "train one with canaries, then replicas --like it")

    @property
    def kind(self) -> str:
        """How canaries are labelled."""
        return self.canary_kind or "mislabelled"


@dataclass(frozen=True)
class Seeds:
    """How many models, from which seed on."""

    replicas: Annotated[
        int,
        Option("Train K models; {n} in --out is the seed.", metavar="K", min=1, max=10_000, panel=COMPUTE),
    ] = 1
    seed: Annotated[
        int | None,
        Option(
            "Seed of everything random: 0; with --like, the recorded one + 1.",
            metavar="N",
            min=0,
            max=LARGEST_SEED,
            panel=COMPUTE,
        ),
    ] = None


def train(
    *,
    start: Start,
    training: Training,
    planting: Planting,
    keep_optimizer: KeepOptimizer = False,
    seeds: Seeds,
    log: Log = None,
    form: ListForm,
    source: Source,
    compute: Compute,
    output: ResumableOutput,
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
    start.check()
    planting.check(start, seeds)
    _check_out(output.out, log, seeds.replicas)
    if seeds.replicas > 1:
        from forgetkit.processes import prepare

        prepare("forgetkit.training.replicas")  # while this process imports torch, too

    from forgetkit.models.factory import parse_options
    from forgetkit.training.device import set_up
    from forgetkit.training.job import make_plans
    from forgetkit.training.replicas import finish
    from forgetkit.training.training_set import choose, open_base

    console = Console(output)
    base = open_base(start.like, start.from_)
    chosen = choose(base, source, console, exclude=start.exclude or [], only=start.only, form=form)
    first = seeds.seed if seeds.seed is not None else base.first_seed() if base else 0
    if planting.canaries is not None:
        chosen = _planted(chosen, planting.canaries, planting.kind, first, console)
    plans = make_plans(
        base,
        chosen,
        set_up(compute.device, compute.precision, 1 if seeds.replicas > 1 else compute.threads),
        model=(start.model or "convnet", parse_options(start.model_option or [])),
        training=training,
        keep_optimizer=keep_optimizer,
        mask=Path(start.mask) if start.mask is not None else None,
        seeds=range(first, first + seeds.replicas),
        targets=(output.out or "", log),
    )
    found = finish(plans, chosen.dataset, start.inputs, console, output, workers=compute.threads)
    if len(plans) > 1 and not output.dry_run:
        report_replicas(console, found)
    else:
        report(console, found[0] if found else None)


def _planted(chosen: "TrainingSet", count: int, kind: str, seed: int, console: Console) -> "TrainingSet":
    """Return the training set with canaries, and say what that many can show."""
    from forgetkit.statistics.canary_guesses import prospects
    from forgetkit.training.training_set import with_canaries

    planted = with_canaries(chosen, count=count, kind=kind, seed=seed)
    withheld = len(chosen.rows) - len(planted.rows)
    console.note(f"train: {count:,} canaries, {kind}: {count - withheld:,} included, {withheld:,} withheld")
    console.note(f"  {prospects(count)}")
    return planted


def _check_out(out: str | None, log: str | None, replicas: int) -> None:
    """Refuse a missing output, or one that all replicas would share."""
    if not out:
        raise ForgetkitError("usage", "train needs --out", "for example: forgetkit train --dataset digits -o model.st")
    if replicas > 1 and "{n}" not in out:
        message = "--replicas needs {n} in --out, where the seed goes"
        raise ForgetkitError("usage", message, "for example: -o refs/{n}.st")
    if replicas > 1 and log and "{n}" not in log:
        raise ForgetkitError("usage", "--replicas needs {n} in --log too", "for example: --log logs/{n}.jsonl")
