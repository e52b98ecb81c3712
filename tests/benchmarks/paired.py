"""Two ways to do the same, timed in turn; and the machine that they were timed on."""

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

RUNS = 7


@dataclass(frozen=True)
class Pairs:
    """Seconds of both ways, the median of each, and the ratio of ours to the plain one: its median, lowest, highest."""

    ours: float
    plain: float
    ratio: float
    low: float
    high: float

    def says(self) -> str:
        """Say the seconds and the spread of the ratio."""
        return f"{self.ours:.3g} s and {self.plain:.3g} s, ratios {self.low:.2f} to {self.high:.2f}"


def compare(ours: Callable[[], object], plain: Callable[[], object], *, runs: int = RUNS, less: float = 0.0) -> Pairs:
    """Time both in turn, after one run of each that does not count.

    Args:
        ours: forgetkit's way.
        plain: the other one.
        runs: pairs.
        less: seconds that are taken off ours.
    """
    pairs = []
    for number in range(runs + 1):
        pair = seconds(ours) - less, seconds(plain)
        if number:
            pairs.append(pair)
    ratios = [one / other for one, other in pairs]
    medians = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Pairs(*medians, statistics.median(ratios), min(ratios), max(ratios))


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def judge(number: str, what: str, value: float, *, least: float = 0.0, most: float = 0.0, unit: str = "×") -> str:
    """Return a row of the table of docs/performance.md; the target is ``least`` or ``most``."""
    target, met = (f"≥ {least:g}", value >= least) if least else (f"≤ {most:g}", value <= most)
    return f"| {number} | {what} | {target} {unit} | {value:.3g} {unit} | {'yes' if met else '**no**'} |"


def machine() -> str:
    """Say on what machine, with which torch and on which day this runs."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    units = ", ".join(name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags)
    cores = f"{len(names) or 1} × {names[0] if names else platform.processor()} ({units})"
    return f"{cores}, {torch.get_num_threads()} threads, torch {torch.__version__}, {date.today()}"
