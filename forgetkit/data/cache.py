"""What commands remember about data sets; a cache that is damaged or cannot be written is no error."""

import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from tokenize import TokenError
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from forgetkit.errors import ForgetkitError
from forgetkit.files.publish import publish, publish_text
from forgetkit.files.record import check_shape

Memory = dict[str, dict[str, str]]
State = tuple[str, int, int, int]
T = TypeVar("T")


def user_folder(variable: str, usual: str) -> Path | None:
    """Return forgetkit's folder in one of the user's base folders; None for a user without a home folder.

    Args:
        variable: names the base folder; a relative path in it is ignored, as the specification says.
        usual: the base folder where the variable does not name one, below the home folder.

    Source: XDG Base Directory Specification 0.8.
    """
    base, home = os.environ.get(variable, ""), os.path.expanduser("~")
    if os.path.isabs(base):
        return Path(base, "forgetkit")
    return Path(home, usual, "forgetkit") if os.path.isabs(home) else None


def cache_folder() -> Path:
    """Return the folder for files that can be made again; for a user without one, a path that no file can have."""
    return user_folder("XDG_CACHE_HOME", ".cache") or Path(os.devnull, "forgetkit")


def recall() -> Memory:
    """Return what is remembered, by kind."""
    with suppress(OSError, ValueError, TypeError, RecursionError):
        content = json.loads((cache_folder() / "datasets.json").read_text())
        check_shape(content, dict, "the cache")
        for part in content.values():
            check_shape(part, dict, "the cache")
            check_shape(list(part.values()), [str], "the cache")
        return dict(content)
    return {}


def remember(news: Memory) -> None:
    """Add ``news`` to what is remembered."""
    memory = recall()
    merged = {part: {**memory.get(part, {}), **news.get(part, {})} for part in {*memory, *news}}
    if merged != memory:
        with suppress(ForgetkitError):
            # in ASCII, which can hold a path that is not UTF-8
            publish_text(cache_folder() / "datasets.json", json.dumps(merged, sort_keys=True) + "\n")


def load_array(path: Path, *, mapped: bool = False) -> NDArray[Any] | None:
    """Return the array in an ``.npy`` file, or None where none can be read.

    With ``mapped`` the file is mapped into memory; changes to the array do not reach it.
    """
    with suppress(OSError, ValueError, EOFError, TypeError, KeyError, SyntaxError, TokenError, OverflowError):
        found = np.load(path, mmap_mode="c" if mapped else None, allow_pickle=False)
        return found if isinstance(found, np.ndarray) else None
    return None


def keep_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array to an ``.npy`` file if possible."""

    def write(temporary: Path) -> None:
        """Write the file."""
        with temporary.open("wb") as stream:
            np.save(stream, array)

    with suppress(ForgetkitError):
        publish(path, write)


def settled(read: Callable[[], tuple[T, list[Path]]]) -> tuple[T, list[State]]:
    """Read files and return what was read with the states of the files, by which any later change will be known.

    A file that changed a moment ago could change again without another time of change, since a file system's clock goes
    in steps; it could also have changed after it was read. Such files are read again, a step later.

    Args:
        read: returns what it read, and the files.
    """
    before: list[State] | None = None
    for _ in range(3):
        begun = time.time_ns()
        content, files = read()
        found = states(files)
        wait = max((_step(state) for state in found if state[3] > begun - _step(state)), default=0)
        if not wait or found == before:
            return content, found
        before = found
        time.sleep(wait / 1e9)
    return content, [*found, ("changes while it is read", begun, 0, 0)]  # which no later state equals


def _step(state: State) -> int:
    """Return nanoseconds in which the clock of a file system takes at least one step, judging by one of its times."""
    return 20_000_000 if state[3] % 1_000_000_000 else 2_000_000_000  # ticks of the kernel, or whole seconds


def states(files: Iterable[Path]) -> list[State]:
    """Return path, size, and times of modification and status change of each file, which change with its content.

    No program can set the time of status change, so that a file is known as changed even if its modification time was
    restored, or another file was renamed over it.
    """
    return [
        (str(path.absolute()), (found := path.stat()).st_size, found.st_mtime_ns, found.st_ctime_ns) for path in files
    ]
