"""Where a command writes, and whether an earlier run has written it already. Without torch."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from forgetkit import __version__
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import dumps, read_record
from forgetkit.files.id_list import digest_of
from forgetkit.files.lock import tidy
from forgetkit.files.publish import sync_folder
from forgetkit.files.record import Record


@dataclass(frozen=True)
class Written:
    """A checkpoint that a command wrote.

    Attributes:
        command: name of the command.
        path: the checkpoint.
        record: its record.
        seconds: wall-clock time of the command.
        source: the checkpoint that the command started from, or trained like, if any.
        state: whether the checkpoint was written now or earlier, or no id was left to forget: then ``path`` is the
            input.
    """

    command: str
    path: Path
    record: Record
    seconds: float
    source: Path | None = None
    state: Literal["written", "up to date", "nothing left"] = "written"


def output_path(path: Path, command: str, out: str | None) -> Path:
    """Return where a step writes: ``out`` if given, else beside its input: ``model.st`` → ``model.relabel.st``."""
    if out:
        return Path(out)
    stem, _, last = path.stem.rpartition(".")
    if stem and last == command:
        return path.with_name(f"{stem}.{command}-2{path.suffix}")
    if stem and last.startswith(f"{command}-") and last[len(command) + 1 :].isdecimal():
        return path.with_name(f"{stem}.{command}-{int(last[len(command) + 1 :]) + 1}{path.suffix}")
    return path.with_name(f"{path.stem}.{command}{path.suffix}")


def up_to_date(target: Path, expected: Record, beside: tuple[Path, ...] = ()) -> Record | None:
    """Return the record at ``target`` if the file there is what the command would write; else None.

    It is if it has the same steps (except their metrics), the same trained and forgotten sets and the same software,
    is undamaged, and all files that the command writes beside it exist.

    Args:
        target: the output.
        expected: the record that the command would write, without digest and metrics.
        beside: the files that it writes beside the checkpoint.
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
    """Return the digest of the trained set, which may be empty; None for the whole split."""
    return None if record.trained is None else record.trained.digest


def asked_of(expected: Record, beside: tuple[Path, ...] = ()) -> str:
    """Return the SHA-256 of what a command is to write: its record without digest and metrics, and names of files."""
    return hashlib.sha256(dumps(expected).encode() + b"".join(os.fsencode(path.name) for path in beside)).hexdigest()


def software() -> dict[str, str]:
    """Return the versions that a record holds."""
    return {"forgetkit": __version__, "torch": version("torch")}


def done_already(command: str, path: Path, record: Record, beside: Iterable[Path] = ()) -> Written:
    """Return what an earlier run of the same command wrote, and remove what a killed process left beside it."""
    for one in (path, *beside):
        tidy(one)
        sync_folder(one)
    return Written(command, path, record, 0.0, state="up to date")


def next_training(path: Path) -> str:
    """Return the command that trains a checkpoint with a new head."""
    return f"forgetkit train --from {path} -o {path.with_name(f'{path.stem}.trained{path.suffix}')}"


def ids_entry(ids: Iterable[str]) -> dict[str, Any] | None:
    """Return what a step records of the ids it used; None if it used none."""
    ids = list(ids)
    return {"count": len(ids), "digest": digest_of(ids)} if ids else None
