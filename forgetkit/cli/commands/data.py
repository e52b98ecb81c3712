"""``forgetkit data``: images decoded ahead of time, and the packs that keep them."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.cli.console import Console
from forgetkit.cli.help import show_help
from forgetkit.cli.option_groups import requires
from forgetkit.errors import ForgetkitError
from forgetkit.events import progress
from forgetkit.options import INPUT, Option, Plugins, Say, Source

if TYPE_CHECKING:
    from pathlib import Path

    from forgetkit.data.dataset import Dataset

Stale = Annotated[bool, Option("Remove only packs whose data are gone or have changed.", panel=INPUT)]


def data(context: typer.Context) -> None:
    """Decode images ahead of time, into packs.

    Image files and large arrays are decoded once into a pack, a file in the cache that every command maps into memory.
    A command that needs a pack makes it. These commands make packs beforehand, list them and remove them.
    """
    show_help(context)


@requires("dataset")
def pack(*, source: Source, say: Say) -> None:
    """Decode the images of a data set into the cache.

    An existing pack is compared with its checksum, and made again if it is damaged.

    Examples:
        forgetkit data pack --dataset table:pets.csv
        forgetkit data pack --dataset table:pets.csv --dry-run
    """
    from forgetkit.data.open import data_root, find_source, open_dataset, unread_of
    from forgetkit.data.pack import pack_path, read_note
    from forgetkit.data.readers.table import columns_of

    if source.dataset_changed:
        raise ForgetkitError("usage", "--dataset-changed: a pack belongs to no checkpoint", "leave the option out")
    console, root, name = Console(say), data_root(source.data_root), source.dataset or ""
    console.note(f"data pack: reading {name}")
    unseen, columns = source.unseen, columns_of(source.column)
    found, note, place = find_source(name, root, download=source.download, unseen=unseen, columns=columns)
    unread = unread_of(found)
    if unread is None:
        console.note(f"nothing to decode: {note.name} is small, and read as it is")
        console.result([], {**_document("data pack", []), "up_to_date": True})
        return
    path = pack_path(place, note.key)
    done = _intact(path, note.key)
    if say.dry_run:
        console.note(f"  {len(unread):,} images, {'decoded already' if done else 'to be decoded'} → {path}")
        console.note("dry run: nothing was written")
        return
    if not done:
        with suppress(OSError):  # whether the cache can be written shows below
            path.unlink(missing_ok=True)
    dataset = open_dataset(name, root, unseen=unseen, columns=columns, tell=console)
    written = read_note(path)
    if written is None or not path.exists():
        hint = "free some space, or name a folder for the cache: export XDG_CACHE_HOME=DIR"
        raise ForgetkitError("output-unwritable", f"{path}: no pack could be written", hint)
    _report(path, written.sha256, dataset, console, done=done)


def _intact(path: "Path", key: str) -> bool:
    """Say whether a pack exists and has its checksum."""
    from forgetkit.data.pack import checksum, read_note, sound

    note = read_note(path)
    return note is not None and sound(path, key) is not None and checksum(path) == note.sha256


def _report(path: "Path", sha256: str, dataset: "Dataset", console: Console, *, done: bool) -> None:
    """Describe the pack, then print its path."""
    size, samples = path.stat().st_size, len(dataset.train) + len(dataset.test)
    shape = "×".join(str(length) for length in dataset.shape)
    console.note(f"  {samples:,} images of {shape}, {_size(size)}, fingerprint {dataset.fingerprint[:16]}")
    console.note(f"data pack: {path} {'is up to date' if done else f'written  sha256:{sha256[:16]}'}")
    metrics = {"samples": samples, "bytes": size, "fingerprint": dataset.fingerprint}
    document = {**_document("data pack", [str(path)]), "digest": sha256, "up_to_date": done, "metrics": metrics}
    console.result([str(path)], document)


def info(*, plugins: Plugins, say: Say) -> None:
    """List the packs in the cache: data, size, checksum, and whether the data have changed.

    Examples:
        forgetkit data info
        forgetkit data info --json
    """
    from forgetkit.data.pack_inventory import entries, kept_packs

    console, packs = Console(say), kept_packs()
    found = list(progress(entries(packs), "checking packs", len(packs), console))
    if not found:
        console.note("data info: no packs")
    console.result(_table(found), {**_document("data info", []), "packs": found})


def clean(*, stale: Stale = False, plugins: Plugins, say: Say) -> None:
    """Remove packs, finished or not, from the cache. The next command that needs a pack makes it again.

    Examples:
        forgetkit data clean --dry-run
        forgetkit data clean --stale
    """
    from forgetkit.data.pack_inventory import CHANGED, GONE, kept_packs, source_of

    console, packs = Console(say), kept_packs()
    chosen = [kept for kept in packs if not stale or kept.note is None or source_of(kept) in {CHANGED, GONE}]
    freed = sum(kept.bytes for kept in chosen)
    for kept in chosen:
        name = f"{kept.note.name} in {kept.note.root}" if kept.note else kept.path.name
        console.note(f"  {'would remove' if say.dry_run else 'removed'} {name}, {_size(kept.bytes)}")
        if not say.dry_run:
            kept.remove()
    console.note(f"data clean: {len(chosen)} of {len(packs)} packs, {_size(freed)}")
    paths = [str(kept.path) for kept in chosen]
    console.result(paths, {**_document("data clean", paths), "metrics": {"removed": len(paths), "bytes": freed}})


COMMANDS = (pack, info, clean)


def _document(command: str, outputs: list[str]) -> dict[str, Any]:
    empty: dict[str, Any] = {"digest": None, "up_to_date": False, "metrics": {}, "record": None}
    return {"ok": True, "command": command, "outputs": outputs, **empty}


def _table(found: list[dict[str, Any]]) -> list[str]:
    """Return packs in lines for people."""
    if not found:
        return []
    rows = [("data set", "samples", "shape", "size", "checksum", "data", "fingerprint", "place")]
    for entry in found:
        shape = "×".join(str(length) for length in entry["shape"] or [])
        samples = "" if entry["samples"] is None else f"{entry['samples']:,}"
        told = (entry["name"] or "?", samples, shape, _size(entry["bytes"]), entry["checksum"], entry["source"])
        rows.append((*told, (entry["fingerprint"] or "")[:16], entry["place"] or entry["path"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _size(count: int) -> str:
    """Return a number of bytes with its unit."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
