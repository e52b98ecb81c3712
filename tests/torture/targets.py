"""The targets, what tries each, and how often."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.torture import disk, hostile, kills, requests, same, scans, service, stops
from tests.torture.trial import Tally


@dataclass(frozen=True)
class Target:
    """What must hold, and how it is tried.

    Attributes:
        work: does the trials of some numbers in a folder with a small world; its docstring says what must hold.
        full: the numbers of all trials.
        quick: those of ``--quick``.
        block: how many trials one process does in a row.
        alone: whether nothing else may run meanwhile, as time is measured.
    """

    work: Callable[[Path, Sequence[int]], Tally]
    full: Sequence[int]
    quick: Sequence[int]
    block: int
    alone: bool = False

    @property
    def says(self) -> str:
        """What must hold."""
        return (self.work.__doc__ or "").strip().rstrip(".")

    def blocks(self, numbers: Sequence[int]) -> list[Sequence[int]]:
        """Return the numbers in blocks."""
        return [numbers[first : first + self.block] for first in range(0, len(numbers), self.block)]


TARGETS: dict[str, Target] = {
    "R1": Target(kills.r1, range(1000), range(8), 50),
    "R2": Target(kills.r2, range(1, kills.CALLS + 1), (7, 16), 3),
    "R5": Target(kills.r5, range(200), range(4), 20),
    "R6": Target(hostile.r6, range(10_000), range(100), 500),
    "R6 foreign": Target(hostile.r6_foreign, range(3000), range(60), 300),
    "R6 command": Target(hostile.r6_command, range(300), (3,), 15),
    "R7": Target(hostile.r7, range(10_000), range(100), 500),
    "R8": Target(hostile.r8, range(2000), range(60), 100),
    "R9": Target(disk.r9, range(disk.CALLS + 1), (0, 5), 3),
    "R10": Target(disk.r10, range(1, 7), range(1, 7), 6),
    "R11": Target(disk.r11, range(200), range(2), 10),
    "R12": Target(same.r12, range(50), (9,), 10),
    "threads": Target(same.threads, range(6), (), 6),
    "R13": Target(disk.r13, range(10), range(2), 5),
    "R17": Target(scans.r17, range(1), range(1), 1),
    "R18": Target(scans.r18, range(200), range(7), 50),
    "R19": Target(scans.r19, range(1), range(1), 1),
    "R20": Target(scans.r20, range(1), range(1), 1),
    "requests": Target(requests.requests, range(1000), range(4), 1000),
    "closings": Target(requests.closings, range(200), range(2), 200),
    "service": Target(service.service, range(500), range(2), 50),
    "signals": Target(stops.signals, range(200), range(4), 200, alone=True),
    "states": Target(stops.states, range(20), (), 20, alone=True),
}
FIRST = ("requests", "closings", "service", "R12")
"""Targets of long blocks: begun first, so that no worker waits at the end."""
