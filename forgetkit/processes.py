"""Child processes that start in a tenth of a second, forked from a server that has imported torch; memory; cores."""

import gc
import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's settings, from ``malloc.h``."""
LARGEST_KEPT = 1 << 30
"""Bytes of the largest tensor whose memory is kept; larger ones go back to the system."""
TO_ALL = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""Signals that a terminal or a scheduler sends to all processes of a command; this process alone answers them.

Ctrl-C; a closed terminal; what Slurm, Grid Engine and LSF send before they end a job; the limit of CPU time.
"""
_OWN = False


def prepare(module: str) -> "ForkServerContext":
    """Start the server that child processes are forked from; it imports ``module`` once for all of them."""
    from multiprocessing import forkserver, get_context  # too slow an import for --help

    context = get_context("forkserver")
    context.set_forkserver_preload([module])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_ALL)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def settle() -> None:
    """Exempt what was imported before the fork from garbage collection; a child calls this first."""
    gc.freeze()
    own_process()


def own_process() -> None:
    """Declare that this process runs forgetkit alone, so that :func:`keep_freed_memory` may change its allocator."""
    global _OWN
    _OWN = True


def keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next step instead of returning it to the system; call it after a step.

    Otherwise every activation of more than 32 MB is mapped anew, and each of its pages faults. Before the first step
    the setting would cost memory: what lives on after that step would then lie scattered between large activations.

    Does nothing outside a process of forgetkit's own, without glibc, or if the environment sets the allocator.
    """
    global _OWN
    if not _OWN:
        return
    _OWN = False  # once is enough
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return
    mallopt = _mallopt()
    if mallopt is not None and mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT):  # old versions refuse so high a value
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)


def _mallopt() -> Callable[[int, int], int] | None:
    """Return the function of the C library that sets its allocator; None where there is none."""
    import ctypes

    return getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None


def available_cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
