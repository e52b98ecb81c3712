"""Requests to forget, a worker that is killed, and a book: accepted is published, none twice."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from forgetkit.files.request_book import entries
from tests.torture.trial import Tally, clear, run, source, start, wait

SAMPLES = 1200


def requests(folder: Path, numbers: Sequence[int]) -> Tally:
    """Requests accepted and answered under random SIGKILLs: every accepted one is published, none twice."""
    tally = Tally(trials=len(numbers))
    clear(folder)
    calm, stormy = folder / "calm", folder / "stormy"
    pace = _calmly(calm, len(numbers)) / len(numbers)
    tally.seen["kills"] = _under_kills(stormy, len(numbers), pace)
    found = entries(stormy / "b.db")
    tally.check(len(found) == len(numbers), f"{len(found)} in the book of {len(numbers)} accepted")
    tally.check(all(entry.digest for entry in found), "accepted, and not published")
    ends = [read_record(_newest(place)) for place in (calm, stormy)]
    applied = [step.ids and step.ids["digest"] for step in ends[1].steps[1:]]
    once = len(applied) == len(set(applied)) == len(numbers)
    tally.check(once, f"{len(applied)} steps, {len(set(applied))} of them different, for {len(numbers)} requests")
    tally.check(ends[0].digest == ends[1].digest, f"other weights than undisturbed: {[end.digest for end in ends]}")
    return tally


def _calmly(place: Path, count: int) -> float:
    """Accept and work on all requests with nothing in between; return the seconds of the work."""
    _world(place)

    def accept() -> int:
        return max(cli.run(_add(number)) for number in range(count))

    for number in range(count):
        (place / f"{number}.txt").write_text(f"{number}\n")
    ended = wait(start(accept, place), place)
    begun = time.monotonic()
    worked = wait(start(_work, place), place)
    if ended.code or worked.code:
        raise RuntimeError(f"{ended}, {worked}")
    return time.monotonic() - begun


def _under_kills(place: Path, count: int, pace: float) -> int:
    """Accept and work on all requests under kills; return how many there were."""
    draw, kills = source("requests", count), 0
    _world(place)
    for number in range(count):
        (place / f"{number}.txt").write_text(f"{number}\n")
        while run(" ".join(_add(number)), place, kill_after=draw.choice([None, draw.uniform(0, 0.05)])).code:
            kills += 1
    while any(entry.digest is None for entry in entries(place / "b.db")):
        child = start(_work, place)
        time.sleep(draw.uniform(0, 8 * pace))
        os.kill(child, signal.SIGKILL)
        kills += wait(child, place).code != 0
    return kills


def _world(place: Path) -> None:
    place.mkdir()
    draw = np.random.default_rng(1)
    images, labels = draw.integers(0, 256, (SAMPLES, 4, 4), dtype=np.uint8), draw.integers(0, 2, SAMPLES)
    np.savez(place / "small.npz", images=images, labels=labels, split=np.array(["train"] * 1100 + ["test"] * 100))
    run("train --dataset arrays:small.npz --epochs 1 -q -o model.0.st", place)


def _add(number: int) -> list[str]:
    return f"requests add r{number} --ids {number}.txt --book b.db -q".split()


def _work() -> int:
    """Work on what is pending, the oldest first, each request on the model of the one before."""
    for entry in [entry for entry in entries(Path("b.db")) if entry.digest is None]:
        number = int(entry.request[1:])
        given = f"relabel model.{number}.st -i {number}.txt --rate 0.001 --allow-unforgotten -q"
        code = cli.run(f"{given} --request {entry.request} --book b.db -o model.{number + 1}.st".split())
        if code:
            return code
        Path(f"model.{number - 1}.st").unlink(missing_ok=True)
    return 0


def _newest(place: Path) -> Path:
    return max(place.glob("model.*.st"), key=lambda path: int(path.name.split(".")[1]))
