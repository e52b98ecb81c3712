"""A file appears whole or not at all, and one process at a time writes it.

Every file that forgetkit writes goes through :func:`publish`: a temporary file in the folder of the target is written,
synced, read again, and renamed over the target. The next process that writes NAME removes what a killed one left:
``.NAME.lock`` and ``.NAME.PID.tmp``.
"""

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.failpoints import call
from forgetkit.files.lock import holding

LONGEST_SUFFIX = len("..4194304.tmp")
"""Characters by which the name of a temporary file is longer than that of its target."""


def check_target(path: Path, *, force: bool, inputs: tuple[Path, ...] = (), option: str = "--out") -> None:
    """Refuse an output that cannot or must not be written, before anything is computed.

    Args:
        path: the output.
        force: whether an existing one is replaced.
        inputs: files that it must not replace.
        option: names it, for hints.

    Raises:
        ForgetkitError: ``output-exists`` where ``path`` exists and ``force`` is off;
            ``output-unwritable`` for a folder, a device or an input, and where its folder takes no file.
    """
    try:
        _check_target(path, force=force, inputs=inputs, option=option)
    except (OSError, RuntimeError) as problem:  # a name too long, a loop of links
        raise refusal(path, problem) from problem


def _check_target(path: Path, *, force: bool, inputs: tuple[Path, ...], option: str) -> None:
    other, a_file = f"name another {option}", f"give {option} the name of a file"
    if any(path.resolve() == source.resolve() for source in inputs):
        raise ForgetkitError("output-unwritable", f"{path}: the output would replace the input", other)
    if path.is_dir():
        raise ForgetkitError("output-unwritable", f"{path} is a folder", a_file)
    if _is_special(path):
        raise ForgetkitError("output-unwritable", f"{path} is not a regular file", a_file)
    if path.exists() and not force:
        raise _exists(path)
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise ForgetkitError("output-unwritable", f"{folder}: no file can be made in this folder", other)
    if len(os.fsencode(path.name)) + LONGEST_SUFFIX > os.pathconf(folder, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, "the name is too long")


def _is_special(path: Path) -> bool:
    """Say whether ``path`` is no regular file, or a name of the system's for one: /dev/stdout where that is a file."""
    folder = path.parent.resolve()
    return (path.exists() and not path.is_file()) or folder == Path("/dev") or folder.is_relative_to("/proc")


@contextmanager
def claimed(
    paths: Iterable[Path], *, force: bool, asked: str = "", wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Hold the locks of outputs while they are made, so that no other process writes them meanwhile.

    Args:
        paths: the outputs; missing folders are made, and removed again if they stay empty.
        force: whether an output that exists by now may be replaced.
        asked: digest of the work, for :func:`forgetkit.files.lock.was_left`.
        wait: called before waiting for another process that holds a lock; None makes that an error.

    Raises:
        ForgetkitError: ``output-busy`` where another process holds a lock, ``output-exists`` where it was faster.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_held(path, asked, wait))
            if path.exists() and not force:
                raise _exists(path)
        yield


@contextmanager
def _held(path: Path, asked: str = "", wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of an output; make its folder, and remove what a killed process left there."""
    with ExitStack() as stack:
        try:
            for folder in _make_folders(path.parent):
                stack.callback(_remove_empty, folder)
            if stack.enter_context(holding(path, asked, wait)):
                for old in path.parent.glob(f".{_escaped(path.name)}.*.tmp"):
                    old.unlink(missing_ok=True)
        except OSError as problem:
            raise refusal(path, problem) from problem
        yield


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty: the output is in it
        folder.rmdir()


def publish(path: Path, write: Callable[[Path], None], *, verify: Callable[[Path], None] | None = None) -> None:
    """Have ``write`` fill a temporary file, then replace ``path`` with it in one step.

    Args:
        path: the target; its folder is made if it is missing.
        write: writes the whole content to the path that it is given.
        verify: reads the temporary file again, and raises if the content is wrong.

    Raises:
        ForgetkitError: ``out-of-space``, ``output-unwritable`` or ``output-busy``; the target is unchanged, unless only
            the last sync, that of the folder, failed.
    """
    try:
        with _held(path):
            _publish(path, write, verify)
    except OSError as problem:
        raise refusal(path, problem) from problem


def _publish(path: Path, write: Callable[[Path], None], verify: Callable[[Path], None] | None) -> None:
    if _is_special(path):  # a device must not become a file
        raise OSError(errno.EINVAL, "not a regular file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # the same file system: only there is a rename atomic
    try:
        write(temporary)
        _sync(temporary)  # before the rename, or a power cut could leave the new name with the old, or no, content
        call(os.chmod, temporary, _mode(path))
        if verify:
            verify(temporary)
        call(os.replace, temporary, path)
        _sync(path.parent)  # the rename itself is on the disk only once the folder is
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def publish_text(path: Path, text: str) -> None:
    """Publish ``text`` as UTF-8 with LF line ends; raises ForgetkitError as :func:`publish`."""
    publish_bytes(path, text.encode())


def publish_bytes(path: Path, content: bytes) -> None:
    """Publish ``content``; raises ForgetkitError as :func:`publish`."""

    def verify(temporary: Path) -> None:
        """Raise OSError unless the file has the content."""
        if temporary.read_bytes() != content:
            raise OSError(errno.EIO, "what was written cannot be read back")

    publish(path, lambda temporary: write_bytes(temporary, content), verify=verify)


def publish_lines(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """Publish a JSON object a line; raises ForgetkitError as :func:`publish`."""
    publish_text(path, "".join(json.dumps(entry) + "\n" for entry in entries))


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Write ``parts``, bytes, one after another to a new file; raises OSError."""
    handle = call(os.open, path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        for part in parts:
            left = memoryview(part)
            while left:
                left = left[call(os.write, handle, left) :]
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = call(os.open, path, os.O_RDONLY)
    try:
        call(os.fsync, handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Sync the folder of ``path``, which exists: the run that published it may have failed at just that.

    Raises:
        ForgetkitError: ``out-of-space`` or ``output-unwritable``; not for a folder that is read-only or cannot sync.
    """
    try:
        _sync(path.parent)
    except OSError as problem:
        if problem.errno in {errno.EIO, errno.ENOSPC, errno.EDQUOT}:
            raise refusal(path, problem) from problem


def _make_folders(folder: Path) -> list[Path]:
    """Make ``folder`` and its missing parents; return what was made, the outermost first."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()][::-1]
    for one in missing:
        call(one.mkdir, 0o777, False, True)
        _sync(one.parent)
    return missing


def _mode(path: Path) -> int:
    """Return the permissions of the target, else of any new file: safetensors makes files for the owner alone."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)  # there is no call that reads the mask without setting it
    os.umask(mask)
    return 0o666 & ~mask


def _escaped(name: str) -> str:
    """Return ``name`` as a pattern that matches nothing else."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def _exists(path: Path) -> ForgetkitError:
    return ForgetkitError("output-exists", f"{path} exists already", "name another --out, or replace it with --force")


def refusal(path: Path, problem: OSError | RuntimeError) -> ForgetkitError:
    """Return the error for a ``path`` that cannot be written."""
    if isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ForgetkitError("out-of-space", f"{path}: no space left", "free some space, or name another output")
    if isinstance(problem, OSError) and problem.errno == errno.EFBIG:
        hint = "raise the limit on the size of a file: ulimit -f unlimited; or name an output in another file system"
        return ForgetkitError("output-unwritable", f"{path}: {os.strerror(errno.EFBIG)}", hint)
    why = getattr(problem, "strerror", None) or problem
    return ForgetkitError("output-unwritable", f"{path}: {why}", "name another output")
