"""Trials: a process to fork from, in which torch is imported once, and a small world to try things in."""

import functools
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from forgetkit.cli import app as cli
from forgetkit.training import resume

FEW = 96
"""Samples in the small world's training split, and in its test split."""
WORLD = ("small.npz", "model.st", "ids.txt")
"""The files of the small world."""
COMMANDS = {
    "train": "train --dataset arrays:small.npz --epochs 4 --batch-size 8 --force -o out.st",
    "neutralize": "neutralize model.st -i ids.txt --stop zero --rate 0.01 --force -o out.st",
    "distill": "distill model.st --teacher model.st -i ids.txt --epochs 4 --batch-size 8 --force -o out.st",
    "relabel": "relabel model.st -i ids.txt --rate 0.05 --allow-unforgotten --replay 2 --force -o out.st",
}
"""The commands that are killed; each ends with 0 in the small world."""
OLD = b"what was there before"


@dataclass
class Tally:
    """What came of some trials of one target.

    Attributes:
        trials: how many there were.
        failures: a line for each that failed.
        seen: how often what was seen; of several tallies, the sum.
        most: the largest figure of a kind; of several tallies, the largest.
        notes: what is to be said beside.
    """

    trials: int = 0
    failures: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    most: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def count(self, holds: bool, says: object) -> None:
        """Count a trial; ``says`` is what went wrong if it does not hold."""
        self.trials += 1
        self.check(holds, says)

    def check(self, holds: bool, says: object) -> None:
        """Note a failure, if it does not hold, of trials that are counted elsewhere."""
        if not holds:
            self.failures.append(str(says)[:500])

    def reached(self, what: str, figure: float) -> None:
        """Keep the largest figure."""
        self.most[what] = max(figure, self.most.get(what, figure))


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal), what it printed, and after how many seconds."""

    code: int
    out: str
    err: str
    seconds: float


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


def wait(child: int, folder: Path, begun: float = 0.0) -> Ended:
    """Wait for a process that :func:`start` began."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seconds = time.monotonic() - begun
    out, err = (folder / name for name in (".stdout", ".stderr"))
    said = [path.read_text(errors="replace") if path.exists() else "" for path in (out, err)]
    for path in (out, err):
        path.unlink(missing_ok=True)
    return Ended(code, *said, seconds)


def run(
    command: str,
    folder: Path,
    *,
    kill_after: float | None = None,
    number: int = signal.SIGKILL,
    states: bool = False,
    failpoint: str = "",
) -> Ended:
    """Run one command in a forked process.

    Args:
        command: its words, with spaces between.
        folder: where.
        kill_after: seconds after which it is sent a signal; None for never.
        number: that signal.
        states: whether it keeps a state after each step, not as seldom as it does for users.
        failpoint: call at which it dies or fails, as ``FORGETKIT_FAILPOINT``.
    """

    def work() -> int:
        os.environ["FORGETKIT_FAILPOINT"] = failpoint
        if states:
            resume.EVERY, resume.SHARE = -1.0, 1e9
        cli.install()
        return cli.run(command.split())

    begun = time.monotonic()
    child = start(work, folder)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, number)
    return wait(child, folder, begun)


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
    first = "train --dataset arrays:small.npz --epochs 2 -q -o model.st"
    last = "audit out.st --original model.st --exit-zero"
    here = Path.cwd()
    os.chdir(folder)
    codes = [cli.run([*command.split(), "-q"]) for command in (first, *COMMANDS.values(), last)]
    os.chdir(here)
    if set(codes) != {0}:
        raise RuntimeError(f"the small world cannot be made: {codes}")
    clear(folder)
    return folder


def warm(folder: Path) -> None:
    """Let the cache say that the data are in this folder: else the next run writes there as well, and calls more."""
    clear(folder)
    run("forget-ids --dataset arrays:small.npz --count 1 -q -o out.st", folder)
    clear(folder)


@functools.cache
def undisturbed(folder: Path, command: str, *, states: bool = False) -> tuple[bytes, float]:
    """Return the bytes that a command ends with when nothing happens, and how many seconds it takes."""
    clear(folder)
    ended = run(command, folder, states=states)
    if ended.code:
        raise RuntimeError(f"{command}: {ended}")
    return (folder / "out.st").read_bytes(), ended.seconds


def clear(folder: Path) -> None:
    """Remove what runs left: all but the small world itself."""
    for path in folder.iterdir():
        if path.name not in WORLD:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def found(folder: Path) -> bytes | None:
    """Return the output's bytes; None where there is none."""
    return (folder / "out.st").read_bytes() if (folder / "out.st").exists() else None


def left(folder: Path) -> set[str]:
    """Return what stands in the folder beside the small world and the output."""
    return {path.name for path in folder.iterdir()} - {*WORLD, "out.st"}


def source(target: str, number: int) -> random.Random:
    """Return a source of randomness for one trial of a target: the same whichever process tries it, and when."""
    return random.Random(f"torture {target} {number}")
