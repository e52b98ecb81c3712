"""Try every target, print a table: ``python -m tests.torture [--quick] [--only R1,R5] [--share 0.1]``."""

import argparse
import contextlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from tests.torture import disk, hostile, kills, requests, same, scans
from tests.torture.trial import Tally, allow, world

TARGETS: dict[str, tuple[Callable[[Path, int], Tally], int, int]] = {
    "R1": (kills.r1, 1000, 12),
    "R2": (kills.r2, 200, 12),
    "R5": (kills.r5, 200, 4),
    "R6": (hostile.r6, 10_000, 180),
    "R7": (hostile.r7, 10_000, 100),
    "R8": (hostile.r8, 2_000, 60),
    "R9": (disk.r9, 100, 5),
    "R10": (disk.r10, 20, 4),
    "R11": (disk.r11, 200, 2),
    "R12": (same.r12, 50, 0),
    "R13": (disk.r13, 10, 2),
    "R17": (scans.r17, 1, 1),
    "R18": (scans.r18, 200, 4),
    "R19": (scans.r19, 1, 1),
    "R20": (scans.r20, 1, 1),
    "requests": (requests.requests, 1000, 4),
}
"""What tries a target, with how many trials in full, and with ``--quick``."""


def main() -> int:
    """Run what was asked for; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few trials of each, below a minute")
    parser.add_argument("--only", help="targets, with commas between")
    parser.add_argument("--share", type=float, default=1.0, help="share of the full numbers of trials")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end a target's trials after so many")
    given = parser.parse_args()
    wanted = given.only.split(",") if given.only else list(TARGETS)
    os.environ["FORGETKIT_THREADS"] = "1"
    torch.set_num_threads(1)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        os.environ["XDG_CACHE_HOME"] = f"{name}/cache"
        with contextlib.redirect_stdout(sys.stderr):
            folder = world(Path(name) / "world")
        print("| target | trials | failures | seconds | |\n|---|---|---|---|---|", flush=True)
        for target in wanted:
            work, full, quick = TARGETS[target]
            trials = quick if given.quick else max(1, round(full * given.share))
            if not trials:
                continue
            begun = time.monotonic()
            allow(given.seconds)
            found = work(folder, trials)
            says = (work.__doc__ or "").strip() + (f" ({'; '.join(found.notes)})" if found.notes else "")
            seconds = time.monotonic() - begun
            print(f"| {target} | {found.trials:,} | {len(found.failures)} | {seconds:.0f} | {says} |", flush=True)
            for failure in found.failures[:5]:
                print(f"{target}: {failure}", file=sys.stderr, flush=True)
            faults += len(found.failures)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
