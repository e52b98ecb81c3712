"""``forgetkit forget-ids``: choose, check and combine ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, METHOD, ListForm, Output, Seed, Source, data_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from forgetkit.choose import Mask
    from forgetkit.data.dataset import Dataset


@dataclass(frozen=True)
class Choice:
    """How to choose."""

    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="NAME", help="A class, by name or index. Repeat: any of them.", rich_help_panel=METHOD
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="An attribute. Repeat: any value of a column, all columns.",
            rich_help_panel=METHOD,
        ),
    ] = None
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--ids", "-i", metavar="FILE", help="ID list; - is stdin. Repeat: any of them.", rich_help_panel=INPUT
        ),
    ] = None
    intersect: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Keep only the ids in this list.", rich_help_panel=METHOD)
    ] = None
    minus: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Take out the ids in this list.", rich_help_panel=METHOD)
    ] = None
    count: Annotated[int | None, typer.Option(metavar="N", min=1, help="Draw N of them.", rich_help_panel=METHOD)] = (
        None
    )
    fraction: Annotated[
        float | None, typer.Option(metavar="F", help="Draw this share of them.", rich_help_panel=METHOD)
    ] = None
    attributes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv", help="Table with a column id and attributes for --where.", rich_help_panel=INPUT
        ),
    ] = None
    check_only: Annotated[
        bool, typer.Option("--check", help="Check the lists, print nothing.", rich_help_panel=METHOD)
    ] = False

    def check(self) -> None:
        """Refuse options that choose nothing or do not go together; raises ForgetkitError ``usage``."""
        if not any([self.class_, self.where, self.ids, self.count, self.fraction is not None]):
            hint = "give --class, --where, --ids, --count or --fraction"
            raise ForgetkitError("usage", "nothing chooses the ids", hint)
        if self.count is not None and self.fraction is not None:
            raise ForgetkitError("usage", "--count and --fraction are both given", "give one of them")
        if self.attributes is not None and not self.where:
            raise ForgetkitError("usage", "--attributes is given, but no --where", "for example: --where writer=w2154")

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that it names; no output may replace one."""
        named = (self.attributes, *(self.ids or []), *(self.intersect or []), *(self.minus or []))
        return tuple(Path(name) for name in named if name and name != "-")


def forget_ids(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT", help="Choose from its retain set; else give --dataset.", show_default=False
        ),
    ] = None,
    *,
    choice: Choice,
    form: ListForm,
    seed: Seed = 0,
    source: Source,
    output: Output,
) -> None:
    """Choose training samples, or check and combine ID lists.

    Different choosers mean all of them; then --intersect, --minus, and last the draw of --count or --fraction,
    which is stable: a smaller draw with the same seed is part of a larger one. The list is sorted, one id a line.

    Examples:
        forgetkit forget-ids model.st --class 3 -o threes.txt
        forgetkit forget-ids model.st --count 65 --seed 7 -o ids.txt
        forgetkit forget-ids --dataset digits --fraction 0.05
        forgetkit forget-ids model.st --ids ids.txt --check
    """
    import numpy as np

    from forgetkit.choose import drawn
    from forgetkit.data.find import open_dataset
    from forgetkit.request import dataset_of, leave_out, open_checkpoint, read_lists

    choice.check()
    if checkpoint is None and not source.dataset:
        raise ForgetkitError("usage", "no checkpoint and no data set given", "name one: --dataset digits")
    console = output.console()
    record = None
    if checkpoint is not None:
        path, record = open_checkpoint(checkpoint)
        dataset = dataset_of(path, record, source)
    else:
        dataset = open_dataset(source.dataset or "", data_root(source), download=source.download)
    train = dataset.train

    def listed(files: list[str]) -> "Mask":
        mask: Mask = np.zeros(len(train), dtype=bool)
        mask[[train.row_of[id_] for id_ in read_lists(files, form, dataset, console)]] = True
        return mask

    chosen = listed(choice.ids) if choice.ids else np.ones(len(train), dtype=bool)
    asked = train.ids_at(np.flatnonzero(chosen))
    done = bool(record and choice.ids and not leave_out(asked, record, console))
    chosen &= _mask(choice, dataset, listed)
    matching = int(chosen.sum())
    if record:
        chosen &= record.retains(train.ids)
    gone = matching - int(chosen.sum())
    if gone and not choice.ids:
        console.note(f"forget-ids: {gone} of {matching} matching samples are forgotten already or never trained on")
    left = train.ids_at(np.flatnonzero(chosen))
    if not left and not done:
        hint = "they are forgotten already or never trained on" if gone else "choose by fewer conditions"
        raise ForgetkitError("ids-empty", "no training sample is left to choose", hint)
    if left:
        left = sorted(drawn(left, count=choice.count, fraction=choice.fraction, seed=seed))
    console.note(f"forget-ids: {len(left)} ids of {dataset.name}" if left else "forget-ids: nothing left to do")
    inputs = (*choice.inputs, *((path,) if record else ()))
    _write(left, inputs, checkpoint or "CHECKPOINT", console, output, check=choice.check_only)


def _mask(choice: Choice, dataset: "Dataset", listed: "Callable[[list[str]], Mask]") -> "Mask":
    """Return which training samples meet every condition but ``--ids``."""
    import numpy as np

    from forgetkit.choose import in_classes, with_attributes

    mask: Mask = np.ones(len(dataset.train), dtype=bool)
    if choice.class_:
        mask &= in_classes(dataset, choice.class_)
    if choice.where:
        mask &= with_attributes(dataset, choice.where, choice.attributes)
    if choice.intersect:
        mask &= listed(choice.intersect)
    if choice.minus:
        mask &= ~listed(choice.minus)
    return mask


def _write(
    ids: list[str], inputs: tuple[Path, ...], checkpoint: str, console: Console, output: Output, *, check: bool
) -> None:
    """Write or print the sorted ids; ``checkpoint`` is for the hint of what to do next."""
    from forgetkit.ids import digest_of
    from forgetkit.storage import check_target, publish_text

    if output.out and not ids and Path(output.out).exists():
        raise ForgetkitError("output-exists", f"{output.out} exists, and there is nothing to write there", "remove it")
    text = "".join(f"{id_}\n" for id_ in ids)
    target = Path(output.out) if output.out and ids and not check else None
    done = target is not None and target.is_file() and target.read_bytes() == text.encode()
    if target and not done:
        check_target(target, force=output.force, inputs=inputs)
    if target and not done and not output.dry_run:
        publish_text(target, text)
        console.note(f"next: forgetkit relabel {checkpoint} --ids {target} --rate 0.1")
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
        console.note("dry run: nothing was written")
    if check or target:
        console.result([str(target)] if target else [], document)
    else:
        console.result(ids, {**document, "ids": ids})
