"""Ctrl-C and SIGTERM: answered within a second, at a moment where nothing is half done."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143
PATIENCE = 0.7
"""Seconds that a step may still take after a signal; then it is broken off."""

LAST: list[Callable[[], None]] = []
"""What to do before a process ends at once."""
_DEFERRING = 0
_ASKED: signal.Signals | None = None
_STOPPING = 0


def install(*, interrupt: bool = True) -> None:
    """Answer SIGTERM, and SIGINT unless ``interrupt`` is off, as below; in the main thread."""
    signal.signal(signal.SIGTERM, _asked)
    signal.signal(signal.SIGINT, _asked if interrupt else signal.SIG_IGN)


def asked_to_stop() -> bool:
    """Say whether a signal asked to stop."""
    return _ASKED is not None


def stopping() -> int:
    """Return the exit code of a stop that began, once; 0 where none did.

    Libraries in C may answer with an exception of their own to one that is raised within them.
    """
    global _STOPPING
    code, _STOPPING = _STOPPING, 0
    return code


def ignore() -> None:
    """Take no signal any more: all is done, and the end of Python, where they kill, must not change the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def stop() -> None:
    """Stop as the signal asked.

    Raises:
        KeyboardInterrupt: for SIGINT.
        SystemExit: for SIGTERM.
    """
    global _ASKED, _STOPPING
    number, _ASKED = _ASKED, None
    signal.setitimer(signal.ITIMER_REAL, 0)
    _STOPPING = TERMINATED if number == signal.SIGTERM else INTERRUPTED
    if number == signal.SIGTERM:
        raise SystemExit(TERMINATED)
    raise KeyboardInterrupt


@contextmanager
def deferring() -> Iterator[None]:
    """Let a signal wait for the next call of :func:`stop`, but for a moment only."""
    global _DEFERRING
    _DEFERRING += 1
    try:
        yield
    finally:
        _DEFERRING -= 1


def _asked(number: int, frame: FrameType | None) -> None:
    global _ASKED
    first, _ASKED = _ASKED is None, signal.Signals(number)
    if _DEFERRING and first:
        signal.signal(signal.SIGALRM, _end)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    else:
        _end(number, frame)


def _end(_: int, frame: FrameType | None) -> None:
    """Stop; within an import, where an exception could run into C++ code that aborts, without one."""
    if _importing(frame):
        for work in LAST:
            work()
        os.write(2, b"interrupted; the last complete output is intact\n")
        os._exit(TERMINATED if _ASKED == signal.SIGTERM else INTERRUPTED)
    stop()


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
