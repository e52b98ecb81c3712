"""``forgetkit forget-ids``: choose, check and combine ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    DETAILS,
    INPUT,
    METHOD,
    OUTPUT,
    Argument,
    Attributes,
    ListForm,
    Option,
    Output,
    Seed,
    Source,
)

if TYPE_CHECKING:
    from forgetkit.files.id_list import IdList


Several = list[str] | None


def _option(
    *flags: str, help: str, metavar: str | None = None, panel: str = METHOD, least: int | None = None, unset: str = ""
) -> Option:
    return Option(help, metavar=metavar, flags=flags, min=least, unset=unset, panel=panel)


@dataclass(frozen=True)
class Choice:
    """The options that choose ids."""

    class_: Annotated[
        Several,
        _option(
            "--class",
            metavar="NAME",
            help="A class, by name (by index only if no name is a number). Repeat for any of several.",
        ),
    ] = None
    where: Annotated[
        Several,
        _option(
            "--where",
            "--by",
            metavar="COLUMN=VALUE",
            help="A value of an attribute, of the data or of --attributes FILE.csv. Repeat for any of several values.",
        ),
    ] = None
    where_file: Annotated[
        Several, _option(metavar="COLUMN=FILE", help="As --where, with values from a file, one a line.", panel=DETAILS)
    ] = None
    ids: Annotated[
        Several, _option("--ids", "-i", metavar="FILE", help="ID list; - is stdin. Repeat for more.", panel=INPUT)
    ] = None
    intersect: Annotated[Several, _option(metavar="FILE", help="Keep only ids in this list.")] = None
    minus: Annotated[Several, _option(metavar="FILE", help="Remove ids in this list.")] = None
    count: Annotated[int | None, _option(metavar="N", help="Draw this many of the ids.", least=1)] = None
    fraction: Annotated[float | None, _option(metavar="SHARE", help="Draw this share of the ids.")] = None
    canaries: Annotated[
        bool, _option(help="Add the canaries in the training, whose --seed is given.", panel=DETAILS)
    ] = False
    with_duplicates: Annotated[
        str,
        _option(metavar="add|warn|ignore", help="Exact copies of chosen images among other samples.", panel=DETAILS),
    ] = "warn"
    near_duplicates: Annotated[
        bool, _option(help="Count images with nearly the same hash as copies.", panel=DETAILS)
    ] = False
    attributes: Attributes = None
    check_only: Annotated[bool, _option("--check", help="Only check options and lists; print no ids.")] = False

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that the options name, which no output may replace."""
        values = [text.partition("=")[2] for text in self.where_file or []]
        named = (self.attributes, *values, *(self.ids or []), *(self.intersect or []), *(self.minus or []))
        return tuple(Path(name) for name in named if name and name != "-")


@dataclass(frozen=True)
class ListOutput(Output):
    """What is written, and what is said."""

    out: Annotated[str | None, _option("--out", "-o", metavar="FILE", help="Output.", panel=OUTPUT, unset="stdout")] = (
        None
    )


def forget_ids(
    checkpoint: Annotated[
        str | None, Argument("Choose from its retain set; without it, give --dataset.", "CHECKPOINT")
    ] = None,
    *,
    chooser: Choice,
    form: ListForm,
    seed: Seed = 0,
    source: Source,
    output: ListOutput,
) -> None:
    """Choose training samples, or check and combine ID lists.

    Samples must meet all choosers; then --intersect and --minus apply, and last --count or --fraction draws from what
    remains. Draws are stable: with the same seed, a smaller draw is part of a larger one. The list is sorted, one id
    per line. --canaries adds all canaries of a training to the ids chosen from the other samples.

    Examples:
        forgetkit forget-ids model.st --class 3 -o threes.txt
        forgetkit forget-ids model.st --count 65 --seed 7 -o ids.txt
        forgetkit forget-ids --dataset digits --fraction 0.05
        forgetkit forget-ids model.st --ids ids.txt --check
    """
    from forgetkit.data.attributes import parse_where
    from forgetkit.data.select import forget_ids as choose
    from forgetkit.files.header import no_checkpoint

    if checkpoint == "":
        raise no_checkpoint()
    if checkpoint is None and not source.dataset:
        raise ForgetkitError("usage", "no checkpoint and no data set given", "name one: --dataset digits")
    if output.out and chooser.check_only:
        raise ForgetkitError("usage", "not with --check, which writes nothing", "leave one of them out", option="out")
    console = Console(output)
    ids = choose(
        Path(checkpoint) if checkpoint is not None else source.dataset or "",
        classes=chooser.class_ or (),
        where=parse_where(chooser.where or (), chooser.where_file or ()),
        attributes=chooser.attributes,
        ids=_read(chooser.ids, form),
        intersect=_read(chooser.intersect, form),
        minus=_read(chooser.minus, form),
        count=chooser.count,
        fraction=chooser.fraction,
        canaries=chooser.canaries,
        with_duplicates=chooser.with_duplicates,
        near_duplicates=chooser.near_duplicates,
        seed=seed,
        data=source,
        tell=console,
    )
    inputs = (*chooser.inputs, *((Path(checkpoint),) if checkpoint else ()))
    _write(ids, inputs, checkpoint or "CHECKPOINT", console, output, check=chooser.check_only)


def _read(files: Several, form: ListForm) -> "list[IdList] | None":
    from forgetkit.files.id_list import read_ids

    return [read_ids(file, column=form.id_column, strict=form.strict) for file in files] if files else None


def _write(
    ids: list[str], inputs: tuple[Path, ...], checkpoint: str, console: Console, output: Output, *, check: bool
) -> None:
    """Write or print the sorted ids; ``checkpoint`` is for the hint of what to do next."""
    from forgetkit.files.id_list import digest_of
    from forgetkit.files.publish import check_target, claimed, publish_text

    if output.out and not ids and Path(output.out).exists():
        raise ForgetkitError("output-exists", f"{output.out} exists, but no ids are left to write", "remove the file")
    text = "".join(f"{id_}\n" for id_ in ids)
    target = Path(output.out) if output.out and ids and not check else None
    done = target is not None and target.is_file() and target.read_bytes() == text.encode()
    if target and not done:
        check_target(target, force=output.force, inputs=inputs)
    if target and not done and not output.dry_run:
        with claimed((target,), force=output.force):
            publish_text(target, text)
        console.note(f"next: forgetkit forget {checkpoint} --ids {target}")
    if done:
        console.note(f"forget-ids: {target} is up to date")
    document = {
        "ok": True,
        "command": "forget-ids",
        "outputs": [str(target)] if target else [],
        "digest": digest_of(ids),
        "up_to_date": done,
        "metrics": {"count": len(ids)},
        "record": None,
    }
    if output.dry_run:
        console.note(f"dry run: nothing was written to {target or 'stdout'}")
    if check or target:
        console.result([str(target)] if target else [], document)
    else:
        console.result(ids, {**document, "ids": ids})
