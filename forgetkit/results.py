"""Where a command writes, whether that is done already, and how it tells. Without torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from forgetkit import __version__
from forgetkit.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.ids import digest_of
from forgetkit.options import Output
from forgetkit.record import Record, Step, read_record


@dataclass(frozen=True)
class Written:
    """A checkpoint that a command wrote, and how many seconds that took."""

    command: str
    path: Path
    record: Record
    seconds: float


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


def up_to_date(target: Path, step: Step) -> Record | None:
    """Return the record at ``target`` if its last step is this very one, made by this software."""
    if not target.is_file():
        return None
    try:
        found = read_record(target)
    except ForgetkitError:
        return None
    same = bool(found.steps) and found.steps[-1].same_work(step) and found.software == software()
    return found if same else None


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
    console: Console, command: str, path: Path, record: Record, output: Output, *, alone: bool = True
) -> None:
    """Say that the output is there already, made by this very step; print it if it is the command's only one."""
    console.note(f"{command}: {path} is up to date")
    if alone and not output.dry_run:
        console.result([str(path)], document(command, path, record, up_to_date=True))


def report_written(console: Console, written: Written) -> None:
    """Say what was written, then print it."""
    path, record = written.path, written.record
    console.note(f"{written.command}: wrote {path}  sha256:{record.digest[:16]}  in {written.seconds:.1f} s")
    console.note(f"next: {next_command(written.command, path)}")
    console.result([str(path)], document(written.command, path, record, up_to_date=False))


def next_command(command: str, path: Path) -> str:
    """Return the command that a user most likely wants after this one."""
    return {
        "train": f"forgetkit forget-ids {path} --count 65 -o ids.txt",
        "neutralize": f"forgetkit distill {path} --teacher ORIGINAL.st",
    }.get(command, f"forgetkit audit {path} --original ORIGINAL.st")


def ids_entry(ids: Iterable[str]) -> dict[str, Any] | None:
    """Return what a step records of the ids it used, or None where there are none."""
    ids = list(ids)
    return {"count": len(ids), "digest": digest_of(ids)} if ids else None
