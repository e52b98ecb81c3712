"""One writer at a time: an operating-system lock on the file ``.NAME.lock`` beside the output NAME.

The kernel drops such a lock when its holder ends, however it ends; the mere existence of the file means nothing.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from forgetkit.errors import ForgetkitError
from forgetkit.files.failpoints import call
from forgetkit.files.interrupts import LAST, deferring

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""Errors of file systems without locks; forgetkit then works without them."""

_HELD: set[Path] = set()
"""The lock files that this process holds: the kernel would refuse it a second lock on the same file."""


@contextmanager
def holding(path: Path, asked: str = "", wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock of an output; yield whether this call took it: False where this process holds it already.

    Args:
        path: the output; its folder exists.
        asked: digest of the work, kept in the lock file until the work is done; see :func:`was_left`.
        wait: called before waiting for another process that holds the lock; None makes that an error.

    Raises:
        ForgetkitError: ``output-busy`` where another process holds it.
        OSError: where the folder takes no file.
    """
    lock = lock_path(path)
    if lock in _HELD:
        yield False
        return
    # A signal between the two lines would leave a lock file that nothing removes.
    with deferring():
        handle = _taken(lock, path, wait)
        _HELD.add(lock)
    try:
        call(os.ftruncate, handle, 0)
        call(os.pwrite, handle, f"{os.getpid()}\n{asked}\n".encode(), 0)
        if asked:
            call(os.fsync, handle)
        yield True
    finally:
        _HELD.discard(lock)
        # Removed before it is unlocked: afterwards it could be the file that the next holder has just locked.
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def tidy(path: Path) -> None:
    """Remove the lock file and the states that a killed process left beside a complete output."""
    states = state_folder(path)
    if lock_path(path).exists() or states.exists():
        with suppress(ForgetkitError, OSError), holding(path):
            shutil.rmtree(states, ignore_errors=True)


def was_left(path: Path, asked: str) -> bool:
    """Say whether a process that did the work ``asked`` ended before the output ``path`` was complete."""
    with suppress(OSError, UnicodeDecodeError):
        return lock_path(path).read_text().splitlines()[1:] == [asked]
    return False


def lock_path(path: Path) -> Path:
    """Return the lock file of an output."""
    return Path(os.path.abspath(path)).with_name(f".{path.name}.lock")


def state_folder(path: Path) -> Path:
    """Return the folder for the saved states of the run that makes an output."""
    return path.with_name(f".{path.name}.state")


def _taken(lock: Path, path: Path, wait: Callable[[], None] | None) -> int:
    """Open and lock the lock file; return its handle."""
    while True:
        # O_NOFOLLOW: in a folder that others write to, a link here could have this process truncate a file elsewhere.
        handle = call(os.open, lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            call(fcntl.flock, handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait is None:
                raise _busy(handle, path) from None
            wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as problem:
            if problem.errno not in NO_LOCKS:
                if not os.fstat(handle).st_size:  # empty: made by this call, and of no use to anybody
                    lock.unlink(missing_ok=True)
                os.close(handle)
                raise
        # Between opening and locking, the former holder may have removed this file, and another process may have made
        # and locked a new one of the same name. A lock on a file without a name excludes nobody: try again.
        try:
            if os.path.samestat(os.fstat(handle), lock.stat()):
                return handle
            os.close(handle)
        except FileNotFoundError:
            os.close(handle)
        except OSError:
            lock.unlink(missing_ok=True)
            os.close(handle)
            raise


def _busy(handle: int, path: Path) -> ForgetkitError:
    found = os.pread(handle, 20, 0).partition(b"\n")[0].decode()
    os.close(handle)
    who = f"process {found}" if found else "another process"
    return ForgetkitError("output-busy", f"{path}: {who} is writing it", "wait for it, or name another output")


def let_go() -> None:
    """Remove the lock files of this process, which is about to end without unwinding."""
    for lock in list(_HELD):
        with suppress(OSError):
            lock.unlink()


LAST.append(let_go)
