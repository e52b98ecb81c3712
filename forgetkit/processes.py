"""Child processes that start in a tenth of a second, forked from a server that has imported torch; memory; cores."""

import gc
import math
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
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
    """Return how many CPU cores this process may use: those it is bound to, no more than its cgroup has time for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota = cpu_quota(Path("/proc/self/cgroup").read_text(), Path("/sys/fs/cgroup"))
    except OSError:  # not Linux
        return bound
    return math.ceil(min(bound, quota))


def cpu_quota(groups: str, root: Path) -> float:
    """Return the CPU time that a process and its neighbours may use, in cores; infinity where there is no limit.

    Args:
        groups: the control groups of the process, as ``/proc/self/cgroup`` lists them.
        root: where the file systems of control groups are mounted. In a container, a group that is listed may not be
            visible there, but then the mounted root is that of the container.

    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (``cpu.max``) and scheduler/sched-bwc.rst (version 1).
    """
    least = math.inf
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / controllers
        group = mount / path.strip("/")
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError, ZeroDivisionError):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
                quota, period = " ".join((folder / name).read_text() for name in names).split()
                if int(quota) > 0:  # -1 is no limit in version 1; in version 2 that is the word max
                    least = min(least, int(quota) / int(period))
            if folder == mount:
                break
    return least
