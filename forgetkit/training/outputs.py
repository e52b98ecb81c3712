"""Where a command writes, and whether that is done already. Without torch."""

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
        command: its name.
        path: the checkpoint.
        record: the checkpoint's record.
        seconds: how long it took.
        source: the checkpoint that it started from, or trained like, if any.
        state: whether it was written now, was there already, or no id was left to forget: then ``path`` is the input.
    """

    command: str
    path: Path
    record: Record
    seconds: float
    source: Path | None = None
    state: Literal["written", "up to date", "nothing left"] = "written"


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


def done_already(command: str, path: Path, record: Record, beside: Iterable[Path] = ()) -> Written:
    """Return what an earlier run of the same command wrote; what a killed process left beside it is removed."""
    for one in (path, *beside):
        tidy(one)
        sync_folder(one)
    return Written(command, path, record, 0.0, state="up to date")


def next_training(path: Path) -> str:
    """Return the command that trains a checkpoint whose head is new."""
    return f"forgetkit train --from {path} -o {path.with_name(f'{path.stem}.trained{path.suffix}')}"


def ids_entry(ids: Iterable[str]) -> dict[str, Any] | None:
    """Return what a step records of the ids it used, or None where there are none."""
    ids = list(ids)
    return {"count": len(ids), "digest": digest_of(ids)} if ids else None
