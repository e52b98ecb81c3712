"""Trials: a process to fork from, in which torch is imported once, and a small world to try things in."""

import math
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from forgetkit import cli, resume

T = TypeVar("T")
FEW = 96
"""Samples in the small world."""


@dataclass
class Tally:
    """What came of the trials of one target: how many there were, and a line for each failure."""

    trials: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def count(self, holds: bool, says: object) -> None:
        """Count a trial; ``says`` is what went wrong if it does not hold."""
        self.trials += 1
        if not holds:
            self.failures.append(str(says)[:500])


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), what it printed, and after how many seconds."""

    code: int
    out: str
    err: str
    seconds: float


_UNTIL = [math.inf, math.inf]


def allow(seconds: float) -> None:
    """Let loops over :func:`within` end after so many seconds from now."""
    _UNTIL[:] = [time.monotonic(), time.monotonic() + seconds]


def within(numbers: Iterable[T], *, share: float = 1.0) -> Iterator[T]:
    """Yield from ``numbers`` until a share of the time that is allowed is over."""
    for number in numbers:
        yield number
        if time.monotonic() > _UNTIL[0] + share * (_UNTIL[1] - _UNTIL[0]):
            return


def over() -> bool:
    """Say whether the time that is allowed is over."""
    return time.monotonic() > _UNTIL[1]


def start(work: Callable[[], int], folder: Path) -> int:
    """Fork a process that does ``work`` in ``folder``, its output in files there; return its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        os.chdir(folder)
        for number, name in ((1, ".stdout"), (2, ".stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        code = work()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def wait(child: int, folder: Path, begun: float) -> Ended:
    """Wait for a process that :func:`start` began."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    out, err = (folder / name for name in (".stdout", ".stderr"))
    said = [path.read_text(errors="replace") if path.exists() else "" for path in (out, err)]
    for path in (out, err):
        path.unlink(missing_ok=True)
    return Ended(code, *said, time.monotonic() - begun)


def run(command: str, folder: Path, *, kill_after: float | None = None, **environment: str) -> Ended:
    """Run one command in a forked process; kill it after so many seconds."""

    def work() -> int:
        os.environ.update(environment)
        cli.install()
        return cli.run(command.split())

    begun = time.monotonic()
    child = start(work, folder)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    return wait(child, folder, begun)


def often() -> None:
    """Let every run from now on keep a state at each step."""
    resume.EVERY, resume.SHARE = -1.0, 1e9


def rarely() -> None:
    """Let runs keep states as seldom as they do for users."""
    resume.EVERY, resume.SHARE = 30.0, 0.02


def world(folder: Path) -> Path:
    """Make a folder with a small data set, a model trained on it, and an ID list; warm this process up."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (2 * FEW, 8, 8), dtype=np.uint8)
    split = np.array(["train"] * FEW + ["test"] * FEW)
    labels = draw.integers(0, 3, 2 * FEW)
    names = np.array([f"person-{number:03}" for number in range(2 * FEW)])
    np.savez(folder / "small.npz", images=images, labels=labels, split=split, id=names)
    (folder / "ids.txt").write_text("".join(f"{name}\n" for name in names[:12]))
    model = "train --dataset arrays:small.npz --epochs 2 -q -o model.st"
    here = Path.cwd()
    os.chdir(folder)
    warm = [model, *COMMANDS.values()]
    codes = [cli.run([*command.split(), "-q"]) for command in warm]
    os.chdir(here)
    if set(codes) != {0}:
        raise RuntimeError(f"the small world cannot be made: {codes}")
    (folder / "out.st").unlink()
    return folder


COMMANDS = {
    "train": "train --dataset arrays:small.npz --epochs 4 --batch-size 8 --force -o out.st",
    "neutralize": "neutralize model.st -i ids.txt --stop zero --rate 0.01 --force -o out.st",
    "distill": "distill model.st --teacher model.st -i ids.txt --epochs 4 --batch-size 8 --force -o out.st",
    "relabel": "relabel model.st -i ids.txt --rate 0.05 --allow-unforgotten --replay 2 --force -o out.st",
}
"""The commands that are killed; each ends with 0 in the small world."""


def clear(folder: Path) -> None:
    """Remove what runs left: all but the small world itself."""
    for path in folder.iterdir():
        if path.name not in {"small.npz", "model.st", "ids.txt"}:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def left(folder: Path) -> set[str]:
    """Return what stands in the folder beside the small world and the output."""
    return {path.name for path in folder.iterdir()} - {"small.npz", "model.st", "ids.txt", "out.st"}


def memory() -> int:
    """Return the most memory that a child process took, in MB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10


def source(seed: object) -> random.Random:
    """Return a source of randomness that is the same each time."""
    return random.Random(f"torture {seed}")
