"""Ctrl-C and SIGTERM: answered within a second, if possible between two steps.

A handler that raises wherever the signal happens to arrive would lose the step in progress, so a loop runs under
:func:`deferring` and asks :func:`asked_to_stop` after each step. Because a step can take long, an alarm ends the wait.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143
PATIENCE = 0.7
"""Seconds that a step may still take after a signal before it is aborted."""

LAST: list[Callable[[], None]] = []
"""Functions to call before the process ends without unwinding."""
_DEFERRING = 0
_ASKED: signal.Signals | None = None
_STOPPING = 0


def install(*, interrupt: bool = True) -> None:
    """Handle SIGTERM, and SIGINT unless ``interrupt`` is off, which ignores it; call it in the main thread."""
    signal.signal(signal.SIGTERM, _asked)
    signal.signal(signal.SIGINT, _asked if interrupt else signal.SIG_IGN)


def asked_to_stop() -> bool:
    """Say whether a signal asked to stop."""
    return _ASKED is not None


def stopping() -> int:
    """Return the exit code of the stop that has begun, and reset it; 0 where none has.

    The code that the exception of :func:`stop` passes through may replace it: libraries in C raise their own instead.
    """
    global _STOPPING
    code, _STOPPING = _STOPPING, 0
    return code


def ignore() -> None:
    """Ignore signals from now on: the work is done, and while Python shuts down a signal would change the exit code."""
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
    """Make a signal wait for the next call of :func:`stop`, but no longer than ``PATIENCE``."""
    global _DEFERRING
    _DEFERRING += 1  # a count, since a function that defers may call another
    try:
        yield
    finally:
        _DEFERRING -= 1


def _asked(number: int, frame: FrameType | None) -> None:
    global _ASKED
    first, _ASKED = _ASKED is None, signal.Signals(number)
    if _DEFERRING and first:  # a second signal means now
        signal.signal(signal.SIGALRM, _end)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    else:
        _end(number, frame)


def _end(_: int, frame: FrameType | None) -> None:
    """Stop by an exception; during an import, by ending the process.

    An extension module that is being initialised runs C++ code, through which a Python exception cannot pass: the
    process would abort with a core dump instead.
    """
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
