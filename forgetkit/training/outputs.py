"""Where a command writes, whether that is done already, and how it tells. Without torch."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forgetkit import __version__
from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import dumps, read_record
from forgetkit.files.id_list import digest_of
from forgetkit.files.lock import tidy
from forgetkit.files.publish import sync_folder
from forgetkit.files.record import Record
from forgetkit.options import Output


@dataclass(frozen=True)
class Written:
    """A checkpoint that a command wrote, in how many seconds, and the checkpoint that it began with or trained like."""

    command: str
    path: Path
    record: Record
    seconds: float
    source: Path | None = None


def output_path(path: Path, command: str, out: str | None) -> Path:
    """Return where a step writes: ``out``, else beside its input: ``model.st`` → ``model.relabel.st``."""
    if out:
        return Path(out)
    stem, _, last = path.stem.rpartition(".")
    if stem and last == command:
        return path.with_name(f"{stem}.{command}-2{path.suffix}")
    if stem and last.startswith(f"{command}-") and last[len(command) + 1 :].isdecimal():
        return path.with_name(f"{stem}.{command}-{int(last[len(command) + 1 :]) + 1}{path.suffix}")
    return path.with_name(f"{path.stem}.{command}{path.suffix}")


def up_to_date(target: Path, expected: Record, beside: tuple[Path, ...] = ()) -> Record | None:
    """Return the record at ``target`` if the file there is what the command would write.

    That is: the same steps (but for what they measured), the same trained and forgotten sets, made by this software,
    undamaged, and with all the files that the command writes beside it.

    Args:
        target: the output.
        expected: the record that the command would write, without digest and metrics.
        beside: what it writes beside the checkpoint.
    """
    from forgetkit.models.checkpoint import load_tensors

    if not target.is_file() or not all(path.is_file() for path in beside):
        return None
    try:
        found = read_record(target)
        same = (
            len(found.steps) == len(expected.steps)
            and all(one.same_work(other) for one, other in zip(found.steps, expected.steps, strict=True))
            and found.forgotten.digest == expected.forgotten.digest
            and _trained(found) == _trained(expected)
            and found.software == software()
        )
        if same:
            load_tensors(target, found)
    except ForgetkitError:
        return None
    return found if same else None


def _trained(record: Record) -> str | None:
    """Return the digest of the trained set; None for the whole split. The empty set is not the whole."""
    return None if record.trained is None else record.trained.digest


def asked_of(expected: Record, beside: tuple[Path, ...] = ()) -> str:
    """Return the SHA-256 of what a command was asked to write: the record without digest and metrics, and what else."""
    return hashlib.sha256(dumps(expected).encode() + b"".join(os.fsencode(path.name) for path in beside)).hexdigest()


def software() -> dict[str, str]:
    """Return the versions that a record holds."""
    return {"forgetkit": __version__, "torch": version("torch")}


def document(command: str, path: Path, record: Record, *, up_to_date: bool) -> dict[str, Any]:
    """Return the JSON document of a command that writes one checkpoint."""
    return {
        "ok": True,
        "command": command,
        "outputs": [str(path)],
        "digest": record.digest,
        "up_to_date": up_to_date,
        "metrics": record.steps[-1].metrics if record.steps else {},
        "record": record.to_json(),
    }


def report_done(
    console: Console,
    command: str,
    path: Path,
    record: Record,
    output: Output,
    *,
    beside: Iterable[Path] = (),
    alone: bool = True,
) -> None:
    """Say that the output is there already, made by this very step; print it if it is the command's only one.

    What a killed process left goes, that of files ``beside`` it, too.
    """
    for one in (path, *beside):
        tidy(one)
        sync_folder(one)
    console.note(f"{command}: {path} is up to date")
    if alone and not output.dry_run:
        console.result([str(path)], document(command, path, record, up_to_date=True))


def report_written(console: Console, written: Written) -> None:
    """Say what was written, then print it."""
    path, record = written.path, written.record
    console.note(f"{written.command}: wrote {path}  sha256:{record.digest[:16]}  in {written.seconds:.1f} s")
    console.note(f"next: {next_command(written)}")
    console.result([str(path)], document(written.command, path, record, up_to_date=False))


def next_command(written: Written) -> str:
    """Return the command that a user most likely wants after this one."""
    path, steps = written.path, written.record.steps
    known = written.source and (len(steps) == 1 or steps[-2].trains)
    original = str(written.source) if known else "ORIGINAL.st"
    if written.command == "neutralize":
        return f"forgetkit distill {path} --teacher {original}"
    if written.record.untrained:
        return next_training(path)
    if steps[-1].trains and not len(written.record.forgotten):
        return f"forgetkit forget-ids {path} --count 65 -o ids.txt"
    return f"forgetkit audit {path} --original {original}"


def next_training(path: Path) -> str:
    """Return the command that trains a checkpoint whose head is new."""
    return f"forgetkit train --from {path} -o {path.with_name(f'{path.stem}.trained{path.suffix}')}"


def ids_entry(ids: Iterable[str]) -> dict[str, Any] | None:
    """Return what a step records of the ids it used, or None where there are none."""
    ids = list(ids)
    return {"count": len(ids), "digest": digest_of(ids)} if ids else None
