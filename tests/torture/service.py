"""The loop of examples/service and whatever kills it: no request lost, none closed twice, no file half written."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import numpy as np

from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_tensors
from forgetkit.request_book.book import add, entries
from tests.forked import serve, write_client
from tests.torture.trial import Tally, clear, run, source

LOOP = Path(__file__).parent.parent.parent / "examples" / "service" / "service.py"
REQUESTS = 6
"""Requests in a book, in earnest; of a few trials, as many as trials."""
SAMPLES, IDS = 300, 3
ALONE, TOGETHER, AT_A_CALL = (
    "kills of the service",
    "kills of the service and its command",
    "kills of a command at a call",
)
SETTINGS = """
book = "requests.db"
original = "model.st"
forget = ["relabel", "--rate", "0.01", "--allow-unforgotten"]
audit = ["--accept", "tried"]
"""


def service(folder: Path, numbers: Sequence[int]) -> Tally:
    """examples/service under SIGKILL at random moments: every request is closed once, and no file is half written."""
    tally, draw = Tally(trials=len(numbers)), source("service", numbers[0])
    clear(folder)
    begun = _world(folder / "begun", min(REQUESTS, len(numbers)))
    with _commands(folder / "commands"):
        calm = Path(shutil.copytree(begun, folder / "calm"))
        start = time.monotonic()
        if ended := _loop(calm).wait():
            raise RuntimeError(f"undisturbed, the service ends with {ended}: {(calm / '.said').read_text()}")
        pace = (time.monotonic() - start) / len(entries(calm / "requests.db"))
        left = len(numbers)
        while left:
            stormy = Path(shutil.copytree(begun, folder / "stormy"))
            before = tally.seen[AT_A_CALL]
            left -= _under_kills(stormy, left, pace, draw, tally)
            _settle(stormy, tally)
            _check_end(stormy, tally)
            if tally.seen[AT_A_CALL] == before:  # else requests may have been answered in another order
                _compare(stormy, calm, tally)
            shutil.rmtree(stormy)
    return tally


def _world(place: Path, requests: int) -> Path:
    """Make a folder with a model, and a book of requests whose lists are there."""
    (place / "lists").mkdir(parents=True)
    draw = np.random.default_rng(1)
    images, labels = draw.integers(0, 256, (SAMPLES, 4, 4), dtype=np.uint8), draw.integers(0, 2, SAMPLES)
    np.savez(place / "small.npz", images=images, labels=labels, split=np.array(["train"] * 240 + ["test"] * 60))
    ended = run("train --dataset arrays:small.npz --epochs 1 -q -o model.st", place)
    if ended.code:
        raise RuntimeError(str(ended))
    (place / "service.toml").write_text(SETTINGS)
    for number in range(requests):
        ids = [str(IDS * number + one) for one in range(IDS)]
        (place / "lists" / f"r{number}.txt").write_text("".join(f"{one}\n" for one in ids))
        add(place / "requests.db", f"r{number}", ids)
    return place


@contextmanager
def _commands(folder: Path) -> Iterator[None]:
    """Have a command ``forgetkit`` on the path that starts at once."""
    folder.mkdir()
    address = str(folder / "s")
    write_client(folder / "forgetkit", address)
    reads, writes = os.pipe()
    server = os.fork()
    if server == 0:
        try:
            os.dup2(writes, 1)
            sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            serve(address)
        finally:
            os._exit(70)
    os.close(writes)
    os.read(reads, 1)  # it listens
    os.close(reads)
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}{os.pathsep}{path}"
    try:
        yield
    finally:
        os.environ["PATH"] = path
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def _loop(place: Path, *, failpoint: str = "") -> subprocess.Popen[bytes]:
    """Start the service, with a group of processes of its own."""
    environment = os.environ | {"FORGETKIT_FAILPOINT": failpoint}
    with (place / ".said").open("wb") as said:
        command = [sys.executable, str(LOOP), "service.toml"]
        return subprocess.Popen(command, cwd=place, env=environment, stdout=said, stderr=said, process_group=0)


def _under_kills(place: Path, most: int, pace: float, draw: Random, tally: Tally) -> int:
    """Start the service, and kill it or its command, until all is done, or ``most`` times; return how many times."""
    kills, kinds = 0, (ALONE, TOGETHER, AT_A_CALL) if draw.random() < 0.5 else (ALONE, TOGETHER)
    while kills < most and not all(entry.done for entry in entries(place / "requests.db")):
        kind = draw.choice(kinds)
        if kind == AT_A_CALL:  # a command makes up to some 40 calls that can be its last
            killed = b" ended with 137\n" in _said(_loop(place, failpoint=str(draw.randint(1, 40))), place)
        else:
            loop = _loop(place)
            time.sleep(draw.uniform(0, pace))
            with suppress(ProcessLookupError):
                (os.kill if kind == ALONE else os.killpg)(loop.pid, signal.SIGKILL)
            killed = loop.wait() == -signal.SIGKILL
        _until_free(place)
        kills += killed
        tally.seen[kind] += killed
        _check_files(place, tally)
    return kills


def _said(loop: subprocess.Popen[bytes], place: Path) -> bytes:
    """Return what the service prints until it ends."""
    loop.wait()
    return (place / ".said").read_bytes()


def _until_free(place: Path) -> None:
    """Wait until nobody holds the lock: the command of a killed service does, until it ends."""
    with (place / ".service.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


def _check_files(place: Path, tally: Tally) -> None:
    """Check that what can be seen is whole, and that the book has each request, answered and audited at most once."""
    found = entries(place / "requests.db")
    tally.check(len(found) == len(list((place / "lists").iterdir())), f"{len(found)} requests in the book")
    for entry in found:
        once = len(entry.answers) <= 1 and len(entry.audits) <= 1
        tally.check(once, f"{entry.request}: {len(entry.answers)} answers, {len(entry.audits)} audits")
    for path in place.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            tally.check(_is_whole(path), f"{path.name} is half a file")


def _is_whole(path: Path) -> bool:
    try:
        if path.suffix == ".st":
            load_tensors(path, read_record(path))
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".html":
            return path.read_text().rstrip().endswith("</html>")
    except (ForgetkitError, ValueError):
        return False
    return True


def _settle(place: Path, tally: Tally) -> None:
    """Let the service end in peace, twice: the second time it has nothing to do."""
    first = _loop(place).wait()
    before = _contents(place)
    second = _loop(place).wait()
    said = (place / ".said").read_text()
    tally.check((first, second) == (0, 0), f"undisturbed at last, it ends with {first} and {second}: {said}")
    tally.check(_contents(place) == before, "a run with nothing to do changes files")


def _check_end(place: Path, tally: Tally) -> None:
    """Check that all is done, once, with an audit of each answer, and that one model has forgotten all."""
    found = entries(place / "requests.db")
    for entry in found:
        answers, audits = [one.digest for one in entry.answers], [one.digest for one in entry.audits]
        kept = json.loads((place / "evidence" / entry.request / "audit.json").read_text())["inputs"]["checkpoint"]
        once = entry.state == "done" and [kept] == audits == answers
        tally.check(once, f"{entry.request}: {entry.audits} of {answers}, evidence on {kept}")
    last = max((read_record(path) for path in place.glob("models/*.st")), key=lambda record: len(record.steps))
    forgot = len(last.steps), len(last.forgotten)
    tally.check(forgot == (1 + len(found), IDS * len(found)), f"steps and forgotten ids of the last model: {forgot}")


def _compare(stormy: Path, calm: Path, tally: Tally) -> None:
    """Check that the files are those of an undisturbed run."""
    found, expected = _contents(stormy), _contents(calm)
    wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    tally.check(not wrong, f"other files than of an undisturbed run: {wrong}")
    tally.seen["books worked off to the bytes of an undisturbed run"] += not wrong


def _contents(place: Path) -> dict[str, bytes]:
    """Return all files but the book, which has times, what was said, and locks, of which killed commands leave some."""
    paths = [path for path in place.rglob("*") if path.is_file() and path.name not in {"requests.db", ".said"}]
    return {str(path.relative_to(place)): path.read_bytes() for path in paths if path.suffix != ".lock"}
