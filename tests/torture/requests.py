"""Requests to forget, a worker that is killed, and a book: accepted is published, none twice."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from forgetkit import cli
from forgetkit.book import entries
from forgetkit.record import read_record
from tests.torture.trial import Tally, run, source, start, wait, within

SAMPLES = 1200


def requests(folder: Path, trials: int) -> Tally:
    """Requests accepted and worked on under random SIGKILLs: accepted = published, none twice, the undisturbed end."""
    tally, draw = Tally(), source("requests")
    ends, kills = [], 0
    begun = time.monotonic()
    for name, disturbed in (("calm", False), ("stormy", True)):
        place = folder / name
        _world(place)
        if not disturbed:  # as many as the time allows, within a third of it
            done = 0
            for number in within(range(trials), share=1 / 3):
                _accept(place, number, tally, kill_after=None)
                done = number + 1
            trials = _work_calmly(place, done)
            ends.append(read_record(_newest(place)).digest)
            pace = (time.monotonic() - begun) / max(trials, 1)
            continue
        for number in range(trials):
            while not _accept(place, number, tally, kill_after=draw.choice([None, draw.uniform(0, 0.05)])):
                kills += 1
        while _left(place):
            child = start(lambda: _worker(), place)
            time.sleep(draw.uniform(0, 6 * pace))
            os.kill(child, signal.SIGKILL)
            wait(child, place, 0.0)
            kills += 1
        ends.append(read_record(_newest(place)).digest)
        found = entries(place / "b.db")
        tally.count(len(found) == trials, f"{len(found)} in the book of {trials} accepted")
        tally.count(all(entry.digest for entry in found), "accepted, and not published")
        steps = read_record(_newest(place)).steps
        applied = [step.ids and step.ids["digest"] for step in steps[1:]]
        tally.count(len(applied) == len(set(applied)) == trials, f"{len(applied)} steps for {trials} requests")
    tally.count(ends[0] == ends[1], f"other weights than undisturbed: {ends}")
    tally.trials = trials
    tally.notes.append(f"{kills} kills")
    return tally


def _world(place: Path) -> None:
    place.mkdir()
    draw = np.random.default_rng(1)
    images, labels = draw.integers(0, 256, (SAMPLES, 4, 4), dtype=np.uint8), draw.integers(0, 2, SAMPLES)
    np.savez(place / "small.npz", images=images, labels=labels, split=np.array(["train"] * 1100 + ["test"] * 100))
    run("train --dataset arrays:small.npz --epochs 1 -q -o model.0.st", place)


def _accept(place: Path, number: int, tally: Tally, *, kill_after: float | None) -> bool:
    (place / f"{number}.txt").write_text(f"{number}\n")
    add = f"requests add r{number} --ids {number}.txt --book b.db -q"
    return run(add, place, kill_after=kill_after).code == 0


def _worker(most: int = 10**9) -> int:
    """Work on what is pending, the oldest first, each request on the model of the one before."""
    for entry in [entry for entry in entries(Path("b.db")) if entry.digest is None][:most]:
        number = int(entry.request[1:])
        given = f"relabel model.{number}.st -i {number}.txt --rate 0.001 --allow-unforgotten -q"
        code = cli.run(f"{given} --request {entry.request} --book b.db -o model.{number + 1}.st".split())
        if code:
            return code
        Path(f"model.{number - 1}.st").unlink(missing_ok=True)
    return 0


def _work_calmly(place: Path, accepted: int) -> int:
    """Work until the time is over, at least once; return how many requests were published."""
    for _ in within(range(0, accepted, 10), share=2 / 3):
        ended = wait(start(lambda: _worker(10), place), place, 0.0)
        if ended.code:
            raise RuntimeError(ended.err)
    return len([entry for entry in entries(place / "b.db") if entry.digest])


def _left(place: Path) -> int:
    return len([entry for entry in entries(place / "b.db") if entry.digest is None])


def _newest(place: Path) -> Path:
    return max(place.glob("model.*.st"), key=lambda path: int(path.name.split(".")[1]))
