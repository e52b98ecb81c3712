"""Failure on demand, for tests: in every system call with which a file is published.

``FORGETKIT_FAILPOINT=7`` kills the process at its seventh such call; ``7:ENOSPC`` lets that one call fail.
"""

import errno
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import TypeVar, TypeVarTuple

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")

_NUMBERS = count(1)


def call(function: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
    """Return ``function(*arguments)``; die or fail instead where a test asks for it."""
    wanted = os.environ.get("FORGETKIT_FAILPOINT")
    if wanted:
        place, _, name = wanted.partition(":")
        if next(_NUMBERS) == int(place):
            if name:
                number = getattr(errno, name)
                raise OSError(number, os.strerror(number))
            os.kill(os.getpid(), signal.SIGKILL)
    return function(*arguments)
