"""Signals that are answered, and what it costs to be able to go on."""

import json
import math
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from forgetkit.cli import app as cli
from forgetkit.training import resume
from tests.torture.processes import command
from tests.torture.trial import COMMANDS, OLD, Ended, Tally, clear, found, left, run, source, start, undisturbed, wait

SECOND = 1.0
"""What may pass between a signal and the end of the process."""
ANSWERS = {signal.SIGINT: 130, signal.SIGTERM: 143}
READY = 0.5
"""Seconds after which a process has begun to be forgetkit; before, Python itself answers signals."""
LONG = "train --dataset digits --epochs 16 --batch-size 16 --force -q -o out.st"
"""A run of some seconds."""
SHARE = 0.02
"""Of the time of a run, what states may take."""


def signals(folder: Path, numbers: Sequence[int]) -> Tally:
    """SIGINT and SIGTERM at random moments, one in ten to the real command: exit 130 or 143 within a second."""
    tally = Tally()
    for number in numbers:
        draw, name = source("signals", number), list(COMMANDS)[number // 2 % 4]
        sent, words = list(ANSWERS)[number % 2], COMMANDS[name]
        new, seconds = undisturbed(folder, words)
        clear(folder)
        (folder / "out.st").write_bytes(OLD)
        if number % 10 == 9:
            begun, ended = _signalled(words, folder, sent, draw.uniform(READY, 4))
        else:
            after = draw.uniform(0.02, 0.9 * seconds)
            ended = run(words, folder, kill_after=after, number=sent, states=number % 4 > 1)
            begun = after
        took = ended.seconds - begun
        in_time = ended.code == ANSWERS[sent] and found(folder) in (OLD, new) and took <= SECOND
        ended_before = ended.code == 0 and found(folder) == new
        rest = left(folder) - {".out.st.state"}
        tally.count((in_time or ended_before) and not rest, f"{number}, {words}: left: {rest}; {took:.2f} s, {ended}")
        if not ended_before:
            tally.reached("seconds to an answer", took)
    return tally


def _signalled(words: str, folder: Path, sent: signal.Signals, after: float) -> tuple[float, Ended]:
    moment = [0.0]

    def send(process: subprocess.Popen[bytes]) -> None:
        begun = time.monotonic()
        time.sleep(after)
        moment[0] = time.monotonic() - begun
        os.kill(process.pid, sent)

    ended, _ = command(["-m", "forgetkit", *words.split()], folder, meanwhile=send)
    return moment[0], ended


def states(folder: Path, numbers: Sequence[int]) -> Tally:
    """States cost at most 2 %: pairs of runs, one without states, one with states from second 1 (usually 30)."""
    tally, ratios = Tally(), []
    for number in numbers:
        order = [True, False] if number % 2 else [False, True]
        took = {keeps: _timed(folder, keeps=keeps) for keeps in order}
        (seconds, inside, kept), (without, _, _) = took[True], took[False]
        ratios.append(seconds / without)
        tally.seen["states"] += kept
        tally.reached("% of a run's time in them", 100 * inside / seconds)
        tally.count(kept > 0 and inside <= SHARE * seconds, f"pair {number}: {inside:.3f} of {seconds:.1f} s")
    middle, spread = statistics.mean(ratios), 0.0
    if len(ratios) > 1:
        spread = 2 * statistics.stdev(ratios) / math.sqrt(len(ratios))
    tally.check(middle - spread <= 1 + SHARE, f"{middle:.3f} ± {spread:.3f} of the time without states")
    tally.notes.append(f"{middle:.3f} ± {spread:.3f} of the time without states")
    return tally


def _timed(folder: Path, *, keeps: bool) -> tuple[float, float, int]:
    """Return seconds of a run, seconds that its states took, and how many there were."""
    clear(folder)

    def work() -> int:
        resume.EVERY = 1.0 if keeps else 1e9
        inside, writing = [], resume.publish_tensors

        def timed(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
            begun = time.monotonic()
            writing(path, tensors, metadata)
            inside.append(time.monotonic() - begun)

        resume.publish_tensors = timed
        begun = time.monotonic()
        code = cli.run(LONG.split())
        Path("took").write_text(json.dumps([time.monotonic() - begun, sum(inside), len(inside)]))
        return code

    ended = wait(start(work, folder), folder)
    if ended.code:
        raise RuntimeError(str(ended))
    seconds, inside, kept = json.loads((folder / "took").read_text())
    return seconds, inside, kept
