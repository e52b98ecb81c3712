"""``forgetkit forget-ids``: choose, check and combine ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, METHOD, Argument, ListForm, Option, Output, Seed, Source, choice

if TYPE_CHECKING:
    from forgetkit.data.dataset import Dataset
    from forgetkit.data.select import Mask
    from forgetkit.files.record import Record


COPIES = ("add", "warn", "ignore")
Several = list[str] | None


def _option(*flags: str, metavar: str | None = None, help: str, panel: str = METHOD, least: int | None = None) -> Any:  # noqa: ANN401 - Typer's own class
    return Option(help, metavar=metavar, flags=(*flags,), min=least, panel=panel)


@dataclass(frozen=True)
class Choice:
    """How to choose."""

    class_: Annotated[
        Several, _option("--class", metavar="NAME", help="A class, by name or index. Repeat: any of them.")
    ] = None
    where: Annotated[
        Several,
        _option(
            "--where", "--by", metavar="COLUMN=VALUE", help="An attribute. Repeat: any value of a column, all columns."
        ),
    ] = None
    where_file: Annotated[
        Several, _option(metavar="COLUMN=FILE", help="As --where, with each value that stands in a file, one a line.")
    ] = None
    ids: Annotated[
        Several, _option("--ids", "-i", metavar="FILE", help="ID list; - is stdin. Repeat: any of them.", panel=INPUT)
    ] = None
    intersect: Annotated[Several, _option(metavar="FILE", help="Keep only the ids in this list.")] = None
    minus: Annotated[Several, _option(metavar="FILE", help="Take out the ids in this list.")] = None
    count: Annotated[int | None, _option(metavar="N", help="Draw N of them.", least=1)] = None
    fraction: Annotated[float | None, _option(metavar="F", help="Draw this share of them.")] = None
    canaries: Annotated[
        bool, _option("--canaries", help="Add the included canaries; --seed is that of their training.")
    ] = False
    with_duplicates: Annotated[
        str, _option(metavar="NAME", help="Exact copies of chosen images among the other samples: add, warn or ignore.")
    ] = "warn"
    near_duplicates: Annotated[
        bool, _option("--near-duplicates", help="Take images with nearly the same average hash for copies, too.")
    ] = False
    attributes: Annotated[
        str | None, _option(metavar="FILE.csv", help="Table with a column id and attributes for --where.", panel=INPUT)
    ] = None
    check_only: Annotated[bool, _option("--check", help="Check the lists, print nothing.")] = False

    def check(self) -> None:
        """Refuse options that choose nothing or do not go together; raises ForgetkitError ``usage``."""
        if not self.chooses and not self.canaries:
            hint = "give --class, --where, --ids, --count, --fraction or --canaries"
            raise ForgetkitError("usage", "nothing chooses the ids", hint)
        if not self.chooses and (self.intersect or self.minus):
            message = "--intersect and --minus narrow down what other options choose; --canaries comes after them"
            raise ForgetkitError("usage", message, "give --class, --where, --ids, --count or --fraction, too")
        if self.count is not None and self.fraction is not None:
            raise ForgetkitError("usage", "--count and --fraction are both given", "give one of them")
        choice("--with-duplicates", self.with_duplicates, COPIES)
        if self.near_duplicates and self.with_duplicates == "ignore":
            raise ForgetkitError(
                "usage", "--near-duplicates does not go with --with-duplicates ignore", "say warn or add"
            )
        if self.attributes is not None and not self.where and not self.where_file:
            raise ForgetkitError("usage", "--attributes is given, but no --where", "for example: --where writer=w2154")

    @property
    def chooses(self) -> bool:
        """Whether anything but ``--canaries`` chooses."""
        return any([self.class_, self.where, self.where_file, self.ids, self.count, self.fraction is not None])

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that it names; no output may replace one."""
        persons = [text.partition("=")[2] for text in self.where_file or []]
        named = (self.attributes, *persons, *(self.ids or []), *(self.intersect or []), *(self.minus or []))
        return tuple(Path(name) for name in named if name and name != "-")


def forget_ids(
    checkpoint: Annotated[
        str | None,
        Argument("Choose from its retain set; else give --dataset.", "CHECKPOINT"),
    ] = None,
    *,
    chooser: Choice,
    form: ListForm,
    seed: Seed = 0,
    source: Source,
    output: Output,
) -> None:
    """Choose training samples, or check and combine ID lists.

    Different choosers mean all of them; then --intersect, --minus, and last the draw of --count or --fraction,
    which is stable: a smaller draw with the same seed is part of a larger one. The list is sorted, one id a line.
    --canaries adds those that a training included, whole, to whatever else is chosen from the other samples.

    Examples:
        forgetkit forget-ids model.st --class 3 -o threes.txt
        forgetkit forget-ids model.st --count 65 --seed 7 -o ids.txt
        forgetkit forget-ids --dataset digits --fraction 0.05
        forgetkit forget-ids model.st --ids ids.txt --check
    """
    import numpy as np

    from forgetkit.data.duplicates import with_copies
    from forgetkit.data.select import drawn_of

    chooser.check()
    console = Console(output)
    record, dataset = _opened(checkpoint, source, console)
    train = dataset.train
    retained = record.retains(train.ids) if record else np.ones(len(train), dtype=bool)
    canaries = np.zeros(len(train), dtype=bool)
    if chooser.canaries:
        canaries = _canaries(record, dataset, seed, checkpoint) & retained
    chosen, done = _chosen(chooser, form, record, dataset, console)
    gone = int((chosen & ~retained).sum())
    if gone and not chooser.ids:
        text = f"{gone} of {int(chosen.sum())} matching samples are forgotten already or never trained on"
        console.note(f"forget-ids: {text}")
    chosen &= retained & ~canaries
    if not chosen.any() and not canaries.any() and not done:
        hint = "they are forgotten already or never trained on" if gone else "choose by fewer conditions"
        raise ForgetkitError("ids-empty", "no training sample is left to choose", hint)
    left = drawn_of(chosen, train, count=chooser.count, fraction=chooser.fraction, seed=seed) | canaries
    if chooser.with_duplicates != "ignore":
        add = chooser.with_duplicates == "add"
        left = with_copies(left, retained, dataset, add=add, near=chooser.near_duplicates, tell=console)
    ids = sorted(train.ids_at(np.flatnonzero(left)))
    told = f"{len(ids)} ids of {dataset.name}" + (f", {canaries.sum()} of them canaries" if canaries.any() else "")
    console.note(f"forget-ids: {told if ids else 'nothing left to do'}")
    inputs = (*chooser.inputs, *((Path(checkpoint),) if checkpoint else ()))
    _write(ids, inputs, checkpoint or "CHECKPOINT", console, output, check=chooser.check_only)


def _opened(checkpoint: str | None, source: Source, console: Console) -> "tuple[Record | None, Dataset]":
    """Return the checkpoint's record, if one is given, and the data to choose from."""
    from forgetkit.data.of_checkpoint import dataset_of
    from forgetkit.data.open import data_root, open_dataset
    from forgetkit.files.header import open_checkpoint

    if checkpoint is not None:
        path, record = open_checkpoint(checkpoint)
        return record, dataset_of(path, record, source, console)
    if not source.dataset:
        raise ForgetkitError("usage", "no checkpoint and no data set given", "name one: --dataset digits")
    if source.dataset_changed:
        raise ForgetkitError(
            "usage", "--dataset-changed is given, but no checkpoint", "name the one that knew the data"
        )
    root, unseen = data_root(source.data_root), source.unseen
    return None, open_dataset(source.dataset, root, download=source.download, unseen=unseen, tell=console)


def _canaries(record: "Record | None", dataset: "Dataset", seed: int, checkpoint: str | None) -> "Mask":
    """Return which training samples are included canaries; their seed must open what the record commits to."""
    import numpy as np

    from forgetkit.data.canaries import open_canaries

    found = open_canaries(record, dataset, seed) if record else None
    if found is None:
        hint = "a model gets them in its training: forgetkit train --canaries M"
        raise ForgetkitError("usage", f"--canaries: {checkpoint or dataset.name} has none", hint)
    mask: Mask = np.zeros(len(dataset.train), dtype=bool)
    mask[found.included_rows] = True
    return mask


def _chosen(
    chooser: Choice, form: ListForm, record: "Record | None", dataset: "Dataset", console: Console
) -> "tuple[Mask, bool]":
    """Return which training samples the choosers choose, and whether every id listed is done with already."""
    import numpy as np

    from forgetkit.data.of_checkpoint import leave_out, read_lists
    from forgetkit.data.select import conditions_of, in_classes, with_attributes

    def listed(files: list[str]) -> "Mask":
        """Return which training samples the lists name."""
        mask: Mask = np.zeros(len(dataset.train), dtype=bool)
        ids = read_lists(files, form, dataset, console, forgotten=record.forgotten if record else None)
        mask[[dataset.train.row_of[id_] for id_ in ids]] = True
        return mask

    chosen: Mask = listed(chooser.ids) if chooser.ids else np.full(len(dataset.train), chooser.chooses)
    asked = dataset.train.ids_at(np.flatnonzero(chosen))
    done = bool(record and chooser.ids and not leave_out(asked, record, console))
    if chooser.class_:
        chosen &= in_classes(dataset, chooser.class_)
    if chooser.where or chooser.where_file:
        found = conditions_of(dataset, chooser.where or [], chooser.where_file or [], chooser.attributes)
        for text in (text for condition in found for text in condition.says(chosen)):
            console.note(f"forget-ids: {text}")
        chosen &= with_attributes(len(chosen), found)
    if chooser.intersect:
        chosen &= listed(chooser.intersect)
    if chooser.minus:
        chosen &= ~listed(chooser.minus)
    return chosen, done


def _write(
    ids: list[str], inputs: tuple[Path, ...], checkpoint: str, console: Console, output: Output, *, check: bool
) -> None:
    """Write or print the sorted ids; ``checkpoint`` is for the hint of what to do next."""
    from forgetkit.files.id_list import digest_of
    from forgetkit.files.publish import check_target, claimed, publish_text

    if output.out and not ids and Path(output.out).exists():
        raise ForgetkitError("output-exists", f"{output.out} exists, and there is nothing to write there", "remove it")
    text = "".join(f"{id_}\n" for id_ in ids)
    target = Path(output.out) if output.out and ids and not check else None
    done = target is not None and target.is_file() and target.read_bytes() == text.encode()
    if target and not done:
        check_target(target, force=output.force, inputs=inputs)
    if target and not done and not output.dry_run:
        with claimed((target,), force=output.force):
            publish_text(target, text)
        console.note(f"next: forgetkit relabel {checkpoint} --ids {target}")
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
