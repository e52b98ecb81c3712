"""``forgetkit where-used``: which checkpoints hold these ids?"""

import shlex
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.cli.console import Console, text_width
from forgetkit.errors import listed, shorten
from forgetkit.events import progress
from forgetkit.options import INPUT, LISTS, OUTPUT, Argument, ListForm, Option, Say
from forgetkit.unlearning.step_options import IdFiles

if TYPE_CHECKING:
    from forgetkit.files.checkpoint_tree import Tree
    from forgetkit.files.holdings import Holding
    from forgetkit.files.relations import Relations
    from forgetkit.files.wanted_ids import Wanted

NARROWEST_NOTE = 20
"""Columns that notes need beside the other cells; with fewer, they stand below."""
LONGEST_NAME = 24
"""Most columns of the name of a data set."""
HEADS = ("file", "data set", "holds", "forgot", "note")


@dataclass(frozen=True, kw_only=True)
class Lists(ListForm):
    """ID lists."""

    ids: IdFiles
    strict: Annotated[
        bool,
        Option("Treat an id that is listed twice as an error, and exit 1 if a file cannot be known.", panel=LISTS),
    ] = False


@dataclass(frozen=True)
class Shown:
    """What is looked at, and what is printed of it."""

    dataset: Annotated[
        str | None,
        Option("Only models of this data set: its name, or how its fingerprint begins.", metavar="DATA", panel=INPUT),
    ] = None
    all: Annotated[bool, Option("Also list files that hold none of the ids.", panel=OUTPUT)] = False
    show_ids: Annotated[bool, Option("List single ids in the report.", panel=OUTPUT)] = False


def where_used(
    places: Annotated[list[str], Argument("Checkpoints, and folders to search for them.", "PATH")],
    *,
    lists: Lists,
    shown: Shown,
    say: Say,
) -> None:
    """Find the checkpoints that were trained on these ids, and those that have forgotten them.

    It reads records alone, neither weights nor data. Exit code 0: no checkpoint holds any of the ids; 1: one does. What
    has no record, or does not say what it was trained on, cannot be known: a warning, with --strict exit code 1.

    The same id names another sample in each data set: say with --dataset which is meant.

    Examples:
        forgetkit where-used --ids ids.txt refs
        forgetkit where-used --ids ids.txt model.st refs --dataset digits --json
    """
    from forgetkit.files.checkpoint_tree import Tree
    from forgetkit.files.holdings import of_dataset, with_optimizers
    from forgetkit.files.relations import Relations

    console = Console(say)
    wanted = _read(lists, console, show=shown.show_ids)
    tree = Tree(places)
    if say.dry_run:
        console.note(f"dry run: {len(tree.files)} files would be asked for {len(wanted.ids)} ids")
        return
    found = with_optimizers(_holdings(tree, wanted, console))
    if shown.dataset is not None:
        found = of_dataset(found, shown.dataset)
    _warn(found, console)
    code = 1 if any(one.state == "held" or (lists.strict and _is_open(one)) for one in found) else 0
    document = {"ok": True, "command": "where-used", "exit_code": code, **_document(found, wanted)}
    root = Path(places[0]) if len(places) == 1 and Path(places[0]).is_dir() else None
    related = Relations(found, lambda path: str(path.relative_to(root) if root else path))
    lines = _table(found, related, complete=shown.all)
    console.result([*lines, *_closing(found, len(wanted.ids))], document)
    if command := _next(found, related, lists.ids):
        console.note(f"next: {command}")
    if code:
        raise typer.Exit(code)


def _read(lists: Lists, console: Console, *, show: bool) -> "Wanted":
    from forgetkit.data.of_checkpoint import warn_duplicates
    from forgetkit.files.id_list import read_ids
    from forgetkit.files.wanted_ids import Wanted

    read = [read_ids(source, column=lists.id_column, strict=lists.strict) for source in lists.ids]
    for one in read:
        if one.duplicates:
            warn_duplicates(one, console)
    return Wanted(list(dict.fromkeys(id_ for one in read for id_ in one.lines)), show)


def _holdings(tree: "Tree", wanted: "Wanted", console: Console) -> "list[Holding]":
    """Return what each file says; those that hold ids first."""
    from forgetkit.files.holdings import holding_of, unreadable

    files = progress(tree.files, "where-used", len(tree.files), console)
    found = [holding_of(path, wanted) for path in files]
    return found + [unreadable(folder, why, wanted) for folder, why in tree.unread]


def _is_open(one: "Holding") -> bool:
    return one.state in {"unknown", "unreadable"}


def _warn(found: "Sequence[Holding]", console: Console) -> None:
    from forgetkit.files.holdings import datasets_of

    names = datasets_of(found)
    if len(names) > 1:
        text = (
            f"the ids are those of samples in {len(names)} data sets, {listed(names, 5)}; --dataset says which is meant"
        )
        console.warn("several-datasets", text)
    if count := sum(map(_is_open, found)):
        console.warn("holdings-unknown", f"of {_files(count)} it cannot be known whether they hold the ids")


def _document(found: "Sequence[Holding]", wanted: "Wanted") -> dict[str, Any]:
    from forgetkit.files.holdings import STATES
    from forgetkit.files.relations import Relations

    related = Relations(found, str)
    entries = []
    for one in found:
        entry: dict[str, Any] = {"path": str(one.path), "digest": one.digest}
        entry |= {"dataset": one.dataset, "fingerprint": one.fingerprint}
        entry |= {"ids": one.ids.counts, "named": one.ids.named}
        entries.append({**entry, "state": one.state, "shadow": one.shadow_of is not None, "note": related.note(one)})
    totals = {state: sum(one.state == state for one in found) for state in STATES}
    return {"count": len(wanted.ids), "checkpoints": entries, "totals": totals}


def _table(found: "Sequence[Holding]", related: "Relations", *, complete: bool) -> list[str]:
    """Return the lines of the table: what holds ids, what cannot be known, and, if ``complete``, the rest."""
    from forgetkit.files.holdings import STATES

    order = STATES if complete else ("held", "unknown", "unreadable")
    models_first = sorted(found, key=lambda one: one.shadow_of is not None)
    shown = [one for state in order for one in models_first if one.state == state]
    if not shown:
        return []
    rows = [(related.name(one.path), *_cells(one), related.note(one)) for one in shown]
    widths = [max(len(row[column]) for row in [HEADS, *rows]) for column in range(4)]
    room = text_width()
    widths[0] = max(len(HEADS[0]), min(widths[0], room - sum(widths[1:]) - 8 - NARROWEST_NOTE))
    lines = []
    for row, one in zip([HEADS, *rows], [None, *shown], strict=True):
        lines += _laid_out(row, widths, room)
        lines += _named(one, room) if one else []
    return lines


def _cells(one: "Holding") -> tuple[str, str, str]:
    """Return data set, and how many ids a file holds and has forgotten; a question mark for what cannot be known."""
    data = "–" if one.dataset is None else shorten(one.dataset)
    data = data if len(data) <= LONGEST_NAME else f"{data[: LONGEST_NAME - 1]}…"
    if one.state == "never":
        return data, "never", "–"
    forgotten = f"{one.ids.forgotten:,}" if one.ids.forgotten or not _is_open(one) else "?"
    return data, "?" if _is_open(one) else f"{one.ids.held:,}", forgotten


def _laid_out(row: Sequence[str], widths: Sequence[int], room: int) -> list[str]:
    """Return the lines of a row: a path that is too long has a line of its own, and a note that is goes on below."""
    path, data, held, forgotten, note = row
    lines = [path] if len(path) > widths[0] else []
    first = "" if lines else path
    begun = f"{first:<{widths[0]}}  {data:<{widths[1]}}  {held:>{widths[2]}}  {forgotten:>{widths[3]}}  "
    if room - len(begun) < NARROWEST_NOTE:
        below = textwrap.wrap(note, room, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
        return [*lines, begun.rstrip(), *below]
    notes = textwrap.wrap(note, room - len(begun), break_on_hyphens=False) or [""]
    return [*lines, (begun + notes[0]).rstrip(), *(" " * len(begun) + more for more in notes[1:])]


def _named(one: "Holding", room: int) -> list[str]:
    """Return the lines that list ids, if they are to be listed."""
    lines = []
    for part in ("held", "forgotten"):
        if ids := (one.ids.named or {}).get(part):
            lines += textwrap.wrap(
                f"{part}: {' '.join(ids)}",
                room,
                initial_indent="    ",
                subsequent_indent="    ",
                break_long_words=False,
            )
    return lines


def _closing(found: "Sequence[Holding]", count: int) -> list[str]:
    """Return the line with the totals."""
    of = Counter(one.state for one in found)
    shadows = sum(one.state == "held" and one.shadow_of is not None for one in found)
    own = f" ({shadows:,} shadow models)" if shadows else ""
    open_ = of["unknown"] + of["unreadable"]
    text = f"{_files(len(found))}, {count:,} ids: {of['held']:,} hold some{own}, {open_:,} cannot be known, "
    return textwrap.wrap(f"{text}{of['forgotten']:,} forgot, {of['never']:,} never saw any", text_width())


def _files(count: int) -> str:
    return f"{count:,} file{'s' * (count != 1)}"


def _next(found: "Sequence[Holding]", related: "Relations", lists: Sequence[str]) -> str | None:
    """Return the command that an operator most likely wants: a model that still holds ids and has no answer first."""
    held = [one for one in found if one.state == "held" and one.state_of is None]
    given = " ".join(f"--ids {shlex.quote(name) if name != '-' else 'IDS.txt'}" for name in lists)
    models = [one for one in held if one.shadow_of is None]
    waiting = next((one for one in models if related.answer_to(one) is None), None)
    if waiting:
        return f"forgetkit forget {shlex.quote(str(waiting.path))} {given}"
    if shadows := [one for one in held if one.shadow_of is not None]:
        return f"forgetkit shadows refresh {shlex.quote(str(shadows[0].path.parent))} {given}"
    if models and (answer := related.answer_to(models[0])):
        original = shlex.quote(str(models[0].path))
        return f"forgetkit audit {shlex.quote(str(answer.path))} --original {original} {given}; then delete {original}"
    return None
