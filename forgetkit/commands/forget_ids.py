"""``forgetkit forget-ids``: choose, check and combine ids."""

from pathlib import Path
from typing import Annotated

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, METHOD, IdColumn, Output, Seed, Source, Strict, data_root


def forget_ids(
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT", help="Choose from its retain set; else give --dataset.", show_default=False
        ),
    ] = None,
    *,
    class_: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="NAME", help="A class, by name or index. Repeat: any of them.", rich_help_panel=METHOD
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="An attribute. Repeat: any value of a column, all columns.",
            rich_help_panel=METHOD,
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--ids", "-i", metavar="FILE", help="ID list; - is stdin. Repeat: any of them.", rich_help_panel=INPUT
        ),
    ] = None,
    intersect: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Keep only the ids in this list.", rich_help_panel=METHOD)
    ] = None,
    minus: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Take out the ids in this list.", rich_help_panel=METHOD)
    ] = None,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Draw N of them.", rich_help_panel=METHOD)
    ] = None,
    fraction: Annotated[
        float | None, typer.Option(metavar="F", help="Draw this share of them.", rich_help_panel=METHOD)
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.csv", help="Table with a column id and attributes for --where.", rich_help_panel=INPUT
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the lists, print nothing.", rich_help_panel=METHOD)
    ] = False,
    id_column: IdColumn = "id",
    strict: Strict = False,
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

    from forgetkit.choose import drawn, in_classes, with_attributes
    from forgetkit.data.find import open_dataset
    from forgetkit.request import dataset_of, leave_out, open_checkpoint, read_lists

    console = Console(as_json=output.as_json, quiet=output.quiet, dry_run=output.dry_run)
    if not any([class_, where, ids, count, fraction is not None]):
        raise ForgetkitError("usage", "nothing chooses the ids", "give --class, --where, --ids, --count or --fraction")
    if count is not None and fraction is not None:
        raise ForgetkitError("usage", "--count and --fraction are both given", "give one of them")
    if checkpoint is None and not source.dataset:
        raise ForgetkitError("usage", "no checkpoint and no data set given", "name one: --dataset digits")
    if attributes is not None and not where:
        raise ForgetkitError("usage", "--attributes is given, but no --where", "for example: --where writer=w2154")
    record = None
    if checkpoint is not None:
        path, record = open_checkpoint(checkpoint)
        dataset = dataset_of(path, record, source)
    else:
        dataset = open_dataset(source.dataset or "", data_root(source), download=source.download)
    train = dataset.train

    def listed(files: list[str]) -> list[str]:
        return read_lists(files, dataset, console, column=id_column, strict=strict)

    def in_lists(files: list[str]) -> "np.typing.NDArray[np.bool_]":
        mask = np.zeros(len(train), dtype=bool)
        mask[[train.row_of[id_] for id_ in listed(files)]] = True
        return mask

    chosen = np.ones(len(train), dtype=bool)
    if ids:
        chosen = in_lists(ids)
        if record:
            leave_out(train.ids_at(np.flatnonzero(chosen)), record, console)
    if record:
        chosen &= record.retains(train.ids)
    if class_:
        chosen &= in_classes(dataset, class_)
    if where:
        chosen &= with_attributes(dataset, where, attributes)
    if intersect:
        chosen &= in_lists(intersect)
    if minus:
        chosen &= ~in_lists(minus)
    left = drawn(train.ids_at(np.flatnonzero(chosen)), count=count, fraction=fraction, seed=seed)
    if not left and not (ids and record):
        raise ForgetkitError("ids-empty", "no training sample is chosen", "choose by fewer conditions")
    console.note(f"forget-ids: {len(left)} ids of {dataset.name}" if left else "forget-ids: nothing left to do")
    files = [checkpoint, attributes, *(ids or []), *(intersect or []), *(minus or [])]
    inputs = tuple(Path(file) for file in files if file and file != "-")
    _write(sorted(left), inputs, checkpoint or "CHECKPOINT", console, output, check=check)


def _write(
    ids: list[str], inputs: tuple[Path, ...], checkpoint: str, console: Console, output: Output, *, check: bool
) -> None:
    """Write or print the sorted ids; ``checkpoint`` is for the hint of what to do next."""
    from forgetkit.ids import digest_of
    from forgetkit.storage import check_target, publish_text

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
    if check or target:
        console.result([str(target)] if target else [], document)
    else:
        console.result(ids, {**document, "ids": ids})
