"""Requests to forget, a worker that is killed, and a book: accepted is published and closed, none twice."""

import functools
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from forgetkit.request_book.book import Entry, entries
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


def closings(folder: Path, numbers: Sequence[int]) -> Tally:
    """Requests answered and audited under random SIGKILLs: every one is closed once, by an audit of its answer."""
    tally = Tally(trials=len(numbers))
    clear(folder)
    pace = _calmly(folder / "calm", len(numbers), close=True) / len(numbers)
    tally.seen["kills"] = _under_kills(folder / "stormy", len(numbers), pace, close=True)
    found = entries(folder / "stormy" / "b.db")
    tally.check(len(found) == len(numbers), f"{len(found)} in the book of {len(numbers)} accepted")
    for entry in found:
        answers, audits = [answer.digest for answer in entry.answers], [audit.digest for audit in entry.audits]
        tally.check(len(answers) == 1, f"{entry.request}: {len(answers)} answers")
        tally.check(entry.state == "done" and audits == answers, f"{entry.request}: {entry.audits} of {answers}")
    return tally


def _calmly(place: Path, count: int, *, close: bool = False) -> float:
    """Accept and work on all requests with nothing in between; return the seconds of the work."""
    _world(place)

    def accept() -> int:
        return max(cli.run(_add(number)) for number in range(count))

    for number in range(count):
        (place / f"{number}.txt").write_text(f"{number}\n")
    ended = wait(start(accept, place), place)
    begun = time.monotonic()
    worked = wait(start(functools.partial(_work, close=close), place), place)
    if ended.code or worked.code:
        raise RuntimeError(f"{ended}, {worked}")
    return time.monotonic() - begun


def _under_kills(place: Path, count: int, pace: float, *, close: bool = False) -> int:
    """Accept and work on all requests under kills; return how many there were."""
    draw, kills = source("requests", count), 0
    _world(place)
    for number in range(count):
        (place / f"{number}.txt").write_text(f"{number}\n")
        while run(" ".join(_add(number)), place, kill_after=draw.choice([None, draw.uniform(0, 0.05)])).code:
            kills += 1
    while _waiting(place / "b.db", close=close):
        child = start(functools.partial(_work, close=close), place)
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


def _waiting(book: Path, *, close: bool) -> list[Entry]:
    """Return the requests that are not answered, or (``close``) not done, the oldest first."""
    return [entry for entry in entries(book) if entry.state == "accepted" or (close and entry.state == "answered")]


def _work(*, close: bool) -> int:
    """Work on what is waiting, the oldest first: answer each request on the model of the one before, and close it."""
    for entry in _waiting(Path("b.db"), close=close):
        number, booked = int(entry.request[1:]), f"--request {entry.request} --book b.db -q"
        step = f"relabel model.{number}.st -i {number}.txt --rate 0.001 --allow-unforgotten -o model.{number + 1}.st"
        audit = f"audit model.{number + 1}.st --accept tried --exit-zero"
        steps = ([step] if entry.state == "accepted" else []) + ([audit] if close else [])
        for words in steps:
            if code := cli.run(f"{words} {booked}".split()):
                return code
        Path(f"model.{number - 1}.st").unlink(missing_ok=True)
    return 0


def _newest(place: Path) -> Path:
    return max(place.glob("model.*.st"), key=lambda path: int(path.name.split(".")[1]))
