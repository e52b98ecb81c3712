"""``forgetkit shadows``: the shadow models of a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forgetkit.cli.console import Console
from forgetkit.cli.help import show_help
from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, Argument, Compute, Fresh, ListForm, Option, Say, Seed, Source, positive

if TYPE_CHECKING:
    from forgetkit.data.dataset import Dataset
    from forgetkit.training.shadows import Shadows

Folder = Annotated[str, Argument("The folder of shadow models.", "FOLDER")]


@dataclass(frozen=True, kw_only=True)
class Ids(ListForm):
    """ID lists, if any."""

    ids: Annotated[
        list[str], Option("ID list; - is stdin. Repeat for more.", metavar="FILE", flags=("--ids", "-i"), panel=INPUT)
    ] = field(default_factory=list)


def shadows(context: typer.Context) -> None:
    """Show shadow models, or make them forget.

    Shadow models are trained like the model, each on a random half of its samples: train --shadows. They hold personal
    data as the model does, so a request reaches them, too.

        forgetkit shadows show model.shadows
        forgetkit shadows show model.shadows --ids ids.txt
        forgetkit shadows refresh model.shadows --ids ids.txt
    """
    show_help(context)


def show(folder: Folder, *, lists: Ids, source: Source, say: Say) -> None:
    """Show what each shadow model holds and has forgotten.

    With --ids, also how many never saw each id.

    Examples:
        forgetkit shadows show model.shadows
        forgetkit shadows show model.shadows --ids ids.txt --json
    """
    from forgetkit.training.shadows import open_shadows

    console, found = Console(say), open_shadows(Path(folder))
    ids = _read(found, lists, source, console)[1] if lists.ids else []
    entries = [
        {
            "path": str(one.path),
            "digest": one.record.digest,
            "trained": len(one.record.trained or ()),
            "forgotten": len(one.record.forgotten),
            "steps": len(one.record.unlearning),
            "held": int(one.holds(ids).sum()),
        }
        for one in found.members
    ]
    never = found.never_saw(ids).sum(0).tolist() if ids else []
    lines = [f"{folder}: {len(found)} shadow models of sha256:{found.of[:16]}, halves by {found.group or 'id'}"]
    for one in entries:
        held = f", holds {one['held']:,} of {len(ids):,} ids" if ids else ""
        lines.append(f"  {one['path']}  {one['trained']:,} samples, {one['forgotten']:,} forgotten{held}")
    if never:
        lines.append(f"  each id has {min(never)} to {max(never)} shadow models that never saw it")
    shown = {"ok": True, "command": "shadows show", "of": found.of, "group": found.group, "shadows": entries}
    fewest = {"count": len(ids), "never_saw": {"least": min(never), "most": max(never)}} if never else None
    console.result(lines, {**shown, "ids": fewest})


def refresh(
    folder: Folder,
    *,
    lists: Ids,
    exactly: Annotated[bool, Option("Retrain those that hold ids, instead of taking the same step as forget.")] = False,
    rate: Annotated[
        float | None,
        Option("Rate of the steps, which forget prints.", metavar="FLOAT", unset="that of a first request"),
    ] = None,
    seed: Seed = 0,
    source: Source,
    compute: Compute,
    fresh: Fresh = False,
    say: Say,
) -> None:
    """Make the shadow models that hold some of the ids forget them.

    Each takes the step of forget, with shadow models of other pairs as teachers, or is retrained: --exactly. A file is
    replaced when its successor is complete, so an interrupted refresh is continued by the same command.

    Examples:
        forgetkit shadows refresh model.shadows --ids ids.txt
        forgetkit shadows refresh model.shadows --ids ids.txt --exactly
    """
    from forgetkit.training.device import machine_for
    from forgetkit.training.shadows import open_shadows
    from forgetkit.unlearning.refresh import Refresh

    console, found = Console(say), open_shadows(Path(folder))
    if rate is not None:
        positive("rate", rate)
    if not lists.ids:
        raise ForgetkitError("usage", "missing option '--ids' / '-i'", "name what they are to forget: --ids ids.txt")
    dataset, ids = _read(found, lists, source, console)
    stale = found.stale(ids)
    if say.dry_run:
        console.note(f"dry run: {len(stale)} of {len(found)} shadow models would be replaced")
        return
    steps = {"rate": rate} if rate is not None else {}
    run = Refresh(Path(folder), dataset, machine_for(compute), seed, console, **steps, fresh=fresh)
    written = run.carry_out(ids, exactly=exactly)
    console.note(f"shadows: {len(written)} of {len(found)} refreshed")
    paths = [str(one.path) for one in written]
    console.result(paths, {"ok": True, "command": "shadows refresh", "outputs": paths, "shadows": len(found)})


def _read(found: "Shadows", lists: Ids, source: Source, console: Console) -> "tuple[Dataset, Sequence[str]]":
    """Return the data set and the ids."""
    from forgetkit.data.of_checkpoint import dataset_of, read_lists

    first = found.members[0]
    dataset = dataset_of(first.path, first.record, source, console)
    return dataset, read_lists(lists.ids, lists, dataset, console, forgotten=first.record.forgotten)


COMMANDS = (show, refresh)
