"""One writer at a time: a lock of the operating system on ``.NAME.lock`` beside an output. It dies with its holder."""

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
"""What file systems without locks answer; forgetkit then goes on without."""

_HELD: set[Path] = set()
"""The lock files that this process holds."""


@contextmanager
def holding(path: Path, asked: str = "", wait: Callable[[], None] | None = None) -> Iterator[bool]:
    """Hold the lock of an output; yield whether it was taken here: False where this process holds it already.

    Args:
        path: the output; its folder is there.
        asked: what is being done, in one word; kept in the lock file until it is done.
        wait: called before waiting for another process that holds it; without it, that is an error.

    Raises:
        ForgetkitError: ``output-busy`` where another process holds it.
        OSError: where no file can be made there.
    """
    lock = lock_path(path)
    if lock in _HELD:
        yield False
        return
    with deferring():  # a signal in between would leave the file
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
        with suppress(OSError):
            lock.unlink()
        os.close(handle)


def tidy(path: Path) -> None:
    """Remove the lock file and the states that a killed process left beside an output that is complete."""
    states = state_folder(path)
    if lock_path(path).exists() or states.exists():
        with suppress(ForgetkitError, OSError), holding(path):
            shutil.rmtree(states, ignore_errors=True)


def was_left(path: Path, asked: str) -> bool:
    """Say whether a process that was doing ``asked`` ended before the output ``path`` was complete."""
    with suppress(OSError, UnicodeDecodeError):
        return lock_path(path).read_text().splitlines()[1:] == [asked]
    return False


def lock_path(path: Path) -> Path:
    """Return the lock file of an output."""
    return Path(os.path.abspath(path)).with_name(f".{path.name}.lock")


def state_folder(path: Path) -> Path:
    """Return the folder in which states of a run are kept that makes an output."""
    return path.with_name(f".{path.name}.state")


def _taken(lock: Path, path: Path, wait: Callable[[], None] | None) -> int:
    """Return a handle of the locked file; one that its holder removed meanwhile does not count."""
    while True:
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
                if not os.fstat(handle).st_size:  # nobody holds it
                    lock.unlink(missing_ok=True)
                os.close(handle)
                raise
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
    return ForgetkitError("output-busy", f"{path}: {who} is writing it", "wait for it, or name another --out")


def let_go() -> None:
    """Remove the lock files that this process holds, which is about to end."""
    for lock in list(_HELD):
        with suppress(OSError):
            lock.unlink()


LAST.append(let_go)
