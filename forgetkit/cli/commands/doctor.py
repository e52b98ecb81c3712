"""``forgetkit doctor``: check this machine."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from forgetkit import __version__
from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError
from forgetkit.files.publish import publish_text
from forgetkit.options import Argument, DataRoot, Device, Say


def doctor(
    folder: Annotated[str, Argument("Folder in which outputs will be written.", "FOLDER")] = ".",
    *,
    data_root: DataRoot = None,
    device: Device = "auto",
    say: Say,
) -> None:
    """Check this machine: versions, device, folders, free space.

    It also checks whether files can be published safely. The exit code is 0 if all is well and 2 if there is a fault.
    It makes a temporary folder in FOLDER, except with --dry-run.

    Examples:
        forgetkit doctor
        forgetkit doctor . --json
    """
    from forgetkit.data.open import data_root as root_of

    found = check_up(Path(folder), root_of(data_root), device, dry_run=say.dry_run)
    marks = {True: "ok", False: "FAULT", None: "note"}
    ok = all(finding.ok is not False for finding in found)
    lines = [f"{marks[finding.ok]:5}  {finding.name:13}  {finding.found}" for finding in found]
    console = Console(say)
    for line in lines if say.dry_run else ():
        console.note(line)
    console.result(lines, {"ok": ok, "command": "doctor", "findings": [asdict(finding) for finding in found]})
    if not ok:
        raise typer.Exit(2)


PACKAGES = ("torch", "torchvision", "safetensors", "numpy", "scipy", "scikit-learn", "pillow", "timm", "pyarrow")
LEAST_SPACE = 1 << 30
"""Bytes of free space below which there is a fault."""
WEAK = {"nfs", "nfs4", "cifs", "smb3", "fuse", "9p", "vboxsf", "sshfs"}
"""File systems whose syncs or locks depend on another machine or program."""


@dataclass(frozen=True)
class Finding:
    """The result of one check: its name, what was found, and whether that is right; None where nobody can tell."""

    name: str
    found: str
    ok: bool | None = True


def check_up(folder: Path, root: Path, device: str, *, dry_run: bool = False) -> list[Finding]:
    """Check everything.

    Args:
        folder: in which outputs will be written.
        root: folder of the data sets.
        device: as for ``--device``.
        dry_run: leave out the checks that write.
    """
    return [*_software(), *_machine(device), _root(root), _cache(), *_folder(folder, dry_run=dry_run)]


def _software() -> list[Finding]:
    found = [Finding("forgetkit", __version__), Finding("python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append(Finding(name, version(name)))
        except PackageNotFoundError:
            found.append(Finding(name, "not installed", None if name in {"timm", "pyarrow"} else False))
    return found


def _machine(device: str) -> list[Finding]:
    from forgetkit.processes import available_cores
    from forgetkit.training.device import set_up

    try:
        machine = set_up(device, "auto", 0)
    except ForgetkitError as problem:
        return [Finding("device", problem.message, False)]
    cores = f"{machine.threads} of {os.cpu_count()} cores, {available_cores()} available"
    return [Finding("device", machine.device), Finding("precision", machine.precision), Finding("threads", cores)]


def _root(root: Path) -> Finding:
    if not root.is_dir():
        return Finding("data root", f"{root} does not exist; name another with --data-root or FORGETKIT_DATA", None)
    readable = os.access(root, os.R_OK | os.X_OK)
    return Finding("data root", f"{root}, {'readable' if readable else 'not readable'}", readable)


def _cache() -> Finding:
    from forgetkit.data.cache import cache_folder

    folder = cache_folder()
    if folder.is_relative_to(os.devnull):
        return Finding("cache", "none, and each command decodes images anew: set HOME, or XDG_CACHE_HOME", None)
    return Finding("cache", f"{folder}")


def _folder(folder: Path, *, dry_run: bool) -> list[Finding]:
    if not folder.is_dir():
        return [Finding("folder", f"{folder} is not a folder", False)]
    free = shutil.disk_usage(folder).free
    kind = _kind(folder)
    weak = kind.split(".")[0] in WEAK
    found = [Finding("free space", f"{free / (1 << 30):.1f} GiB in {folder}", free >= LEAST_SPACE)]
    says = f"{kind}: syncs and locks depend on its server" if weak else kind
    found.append(Finding("file system", says, None if weak else True))
    if not os.access(folder, os.W_OK | os.X_OK):
        return [*found, Finding("permission", f"no file can be made in {folder}", False)]
    found.append(Finding("permission", f"files can be made in {folder}"))
    if dry_run:
        left_out = "not tried: --dry-run writes nothing"
        return [*found, *(Finding(name, left_out, None) for name in ("publication", "locks"))]
    with tempfile.TemporaryDirectory(prefix=".forgetkit-", dir=folder) as name:
        found += [_tried("publication", Path(name), _publishes), _tried("locks", Path(name), _locks)]
    return found


def _tried(name: str, folder: Path, attempt: Callable[[Path], str]) -> Finding:
    try:
        return Finding(name, attempt(folder))
    except (ForgetkitError, OSError) as problem:
        return Finding(name, f"{problem}", False)


def _publishes(folder: Path) -> str:
    """Publish a file twice and read it; whether the disk itself keeps what it confirms, no program can tell."""
    path = folder / "a.txt"
    for text in ("one", "two"):
        publish_text(path, text)
        if path.read_text() != text:
            raise OSError(0, "a replaced file still has its old content")
    return "a file was written, synced (with its folder), replaced and read again"


def _locks(folder: Path) -> str:
    """Hold a lock here, and check that another process cannot take it."""
    path = folder / "lock"
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        script = f"import fcntl; fcntl.flock(open({str(path)!r}), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        if subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0:
            raise OSError(0, "two processes can hold the same lock: run one command at a time")
    return "another process cannot take a lock that is held"


def _kind(folder: Path) -> str:
    """Return the kind of file system, as Linux names it; unknown elsewhere."""
    try:
        mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return "unknown"
    here = folder.resolve()
    above = [fields for fields in mounts if here.is_relative_to(fields[1])]
    return max(above, key=lambda fields: len(fields[1]))[2] if above else "unknown"
