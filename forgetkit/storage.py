"""A file appears whole or not at all.

Every file that forgetkit writes goes through :func:`publish`: a temporary file in the target's own
folder, written, synced, read again, then renamed over the target.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from forgetkit.errors import ForgetkitError


def check_target(path: Path, *, force: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Refuse an output that cannot or must not be written, before anything is computed.

    Raises:
        ForgetkitError: ``output-exists`` where ``path`` exists and ``force`` is off;
            ``output-unwritable`` where it is a folder or device, an input, or its folder takes no file.
    """
    try:
        _check_target(path, force=force, inputs=inputs)
    except (OSError, RuntimeError) as problem:  # a name too long, a loop of links
        raise _refusal(path, problem) from problem


def _check_target(path: Path, *, force: bool, inputs: tuple[Path, ...]) -> None:
    if any(path.resolve() == source.resolve() for source in inputs):
        raise ForgetkitError("output-unwritable", f"{path}: the output would replace the input", "name another --out")
    if path.is_dir():
        raise ForgetkitError("output-unwritable", f"{path} is a folder", "give --out a file name")
    if path.exists() and not path.is_file():
        raise ForgetkitError("output-unwritable", f"{path} is not a regular file", "give --out a file name")
    if path.exists() and not force:
        raise ForgetkitError(
            "output-exists", f"{path} exists already", "name another --out, or replace it with --force"
        )
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ForgetkitError("output-unwritable", f"{folder}: no file can be made here", "name another --out")


def publish(path: Path, write: Callable[[Path], None], *, verify: Callable[[Path], None] | None = None) -> None:
    """Let ``write`` fill a temporary file, then put it in place of ``path`` in one step.

    Args:
        path: the target; its folder is made if it is not there.
        write: writes the whole content to the path that it is given.
        verify: reads the temporary file again and raises if it is not what was meant.

    Raises:
        ForgetkitError: ``out-of-space`` or ``output-unwritable``; the target is as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():  # a device must not become a file
            raise OSError(errno.EINVAL, "not a regular file")
    except OSError as problem:
        raise _refusal(path, problem) from problem
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        _sync(temporary)
        os.chmod(temporary, _mode(path))
        if verify:
            verify(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as problem:
        raise _refusal(path, problem) from problem
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish_text(path: Path, text: str) -> None:
    """Publish ``text`` as UTF-8 with LF line ends."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(text.encode())

    publish(path, write)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _refusal(path: Path, problem: OSError | RuntimeError) -> ForgetkitError:
    if isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ForgetkitError("out-of-space", f"{path}: no space left", "free some space, or name another --out")
    why = getattr(problem, "strerror", None) or problem
    return ForgetkitError("output-unwritable", f"{path}: {why}", "name another --out")
