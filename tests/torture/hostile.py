"""Input that means harm: checkpoints, ID lists, tables, folders, policies."""

import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from forgetkit.cli import app as cli
from tests.torture.checkpoints import CHANGES, signed, tensors
from tests.torture.foreign import state
from tests.torture.lists import malformed
from tests.torture.processes import Cost, command
from tests.torture.scores import scores
from tests.torture.tables import attributes, picture, policy
from tests.torture.tables import folder as bad_folder
from tests.torture.tables import table as bad_table
from tests.torture.trial import WORLD, Tally, clear, source, start, wait

SLOWEST, LARGEST = 2.0, 1024
"""Seconds of a case, and MB that a process takes: in a fork, beyond what it began with (torch, above all)."""
LONGEST = 4000
"""Characters of a message."""


@dataclass(frozen=True)
class Case:
    """A malformed input.

    Attributes:
        name: of the kind of harm.
        write: makes the input in the working folder.
        command: reads it.
        says: what the line ``error:`` must fit, as a regular expression.
        codes: the exit codes that are right.
        loaded: looks at the input where the command took it; says what is wrong, or nothing.
    """

    name: str
    write: Callable[[], object]
    command: str
    says: str = ""
    codes: tuple[int, ...] = (0, 2)
    loaded: Callable[[], str] = str


def tried(folder: Path, cases: Iterable[Case]) -> Tally:
    """Try cases in a forked process: the exit code, one ``error:`` line; no traceback, output, memory, delay."""
    tally, batch = Tally(), list(cases)
    inner, results = folder / "inner", folder / "results"
    clear(folder)
    inner.mkdir()
    for name in WORLD:
        (inner / name).write_bytes((folder / name).read_bytes())

    def work() -> int:
        taken = _memory()
        with results.open("a", buffering=1) as stream:
            for case in batch:
                code, fault = _try(case)
                stream.write(json.dumps([case.name, code, fault]) + "\n")
        return 0 if _memory() - taken < LARGEST else 9

    ended = wait(start(work, inner), inner)
    found = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for name, code, fault in found:
        tally.count(not fault, f"{name}: {fault}")
        tally.seen["taken, as nothing that counts had changed" if code == 0 else "refused"] += 1
    for case in batch[len(found) :]:
        tally.count(False, f"{case.name} or one after it: {ended}")
    tally.check(ended.code in {0, 70}, f"more than {LARGEST} MB: {ended}")
    return tally


def _try(case: Case) -> tuple[int, str]:
    before = set(os.listdir())
    case.write()
    os.truncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)
    begun = time.process_time()
    code = cli.run(case.command.split())
    took = time.process_time() - begun
    sys.stderr.flush()
    fault = judged(case, code, Path(".stderr").read_text(errors="replace"))
    if not fault and took > SLOWEST:
        fault = f"{took:.1f} s"
    new = {name for name in os.listdir() if not name.startswith("bad")} - before
    return code, fault or (f"left {new}" if new else "")


def judged(case: Case, code: int, said: str) -> str:
    """Return what is wrong with how a command ended; nothing where all is right."""
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    if code not in case.codes or len(errors) != (code == 2) or "Traceback" in said or len(said) > LONGEST:
        return f"exit {code}: {said}"
    if code == 2 and not re.search(case.says, errors[0]):
        return f"the message does not fit {case.says}: {errors[0]}"
    return case.loaded() if code == 0 else ""


def _memory() -> int:
    """Return the most MB that this process took so far; in a fork, what it began with counts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def checkpoint_case(folder: Path, number: int) -> Case:
    """Return a malformed checkpoint and a command that reads it."""
    whole, draw = (folder / "model.st").read_bytes(), source("R6", number)
    change = CHANGES[number % len(CHANGES)]
    content = change(whole, draw)

    def write() -> None:
        Path("bad.st").write_bytes(content)

    def loaded() -> str:
        return "" if tensors(content) == tensors(whole) else "taken, with other tensors"

    if change is signed and number % 100 == 9:  # as the subject of an audit, it is judged
        words = "audit bad.st --original model.st --ids ids.txt -q --json"
        return Case("NaN in an audit", write, words, codes=(1, 3))
    if change is signed:
        return Case("NaN", write, "relabel bad.st -i ids.txt --rate 0.1 -n -q", codes=(2,))
    if number // len(CHANGES) % 4:
        return Case(change.__name__, write, "relabel bad.st -i ids.txt --rate 0.1 -n -q", loaded=loaded)
    return Case(change.__name__, write, "inspect bad.st -q")


def r6(folder: Path, numbers: Sequence[int]) -> Tally:
    """Malformed checkpoints: refused, or loaded with exactly the original tensors; NaN accepted only for auditing."""
    return tried(folder, (checkpoint_case(folder, number) for number in numbers))


def r6_foreign(folder: Path, numbers: Sequence[int]) -> Tally:
    """Files of torch.save in many forms, damaged or not: converted or refused, and no code in them is run."""

    def case(number: int) -> Case:
        content = state(source("R6 foreign", number))
        words = "convert bad.pt -o new.safetensors -n -q"
        return Case("foreign", lambda: _only("bad.pt", content), words, loaded=ran)

    def ran() -> str:
        return "its code was run" if Path("bad.ran").exists() else ""

    return tried(folder, (case(number) for number in numbers))


def r6_command(folder: Path, numbers: Sequence[int]) -> Tally:
    """Malformed checkpoints, real command: as R6, with at most 1 GB and 2 s more than for the intact one."""
    tally, usual = Tally(), dict[str, Cost]()
    for number in numbers:
        clear(folder)
        case = checkpoint_case(folder, number)
        words = ["-m", "forgetkit", *case.command.split()]
        if words[2] not in usual:
            (folder / "bad.st").write_bytes((folder / "model.st").read_bytes())
            usual[words[2]] = command(words, folder)[1]
        here = Path.cwd()
        os.chdir(folder)
        case.write()
        ended, cost = command(words, folder)
        fault = judged(case, ended.code, ended.err)
        rest = {path.name for path in folder.iterdir()} - {*WORLD, "bad.st"}
        os.chdir(here)
        took, more = cost.seconds - usual[words[2]].seconds, cost.megabytes - usual[words[2]].megabytes
        holds = not fault and not rest and took < SLOWEST and more < LARGEST
        tally.count(holds, f"case {number}, {case.name}: {fault}, left {rest}, {took:.1f} s and {more} MB more")
        tally.reached("MB more", more)
    return tally


def r7(folder: Path, numbers: Sequence[int]) -> Tally:
    """Malformed ID lists: the message names the file, and the line if a line was damaged."""

    def case(number: int) -> Case:
        harm = malformed(source("R7", number))
        says = f"^error: {harm.name}:{harm.line}: " if harm.line else rf"^error: {harm.name}(:\d+)?: "
        words = f"forget-ids model.st --ids {harm.name} --check -q"
        return Case(harm.name, lambda: _only(harm.name, harm.content), words, says, codes=(2,) if harm.line else (0, 2))

    cases = [case(number) for number in numbers]
    tally = tried(folder, cases)
    tally.seen["of a line that is known"] += sum(":\\d" not in case.says for case in cases)
    return tally


def _only(name: str, content: bytes) -> None:
    for path in Path().glob("bad.*"):
        path.unlink()
    Path(name).write_bytes(content)


def r8(folder: Path, numbers: Sequence[int]) -> Tally:
    """Malformed tables, attributes, folders, policies; pixel bombs, links: no file outside their folder is opened."""
    secret = folder / "secret.png"
    opened = folder.with_name(f"{folder.name}.opened")
    opened.unlink(missing_ok=True)
    outside = f"{folder.resolve()}/"
    inside = f"{outside}inner"

    def watch(event: str, given: tuple[object, ...]) -> None:
        if event == "open" and isinstance(given[0], str | bytes | os.PathLike):
            name = os.path.realpath(os.fsdecode(given[0]))
            if name == "/dev/zero" or (name.startswith(outside) and not name.startswith(inside)):
                handle = os.open(opened, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.write(handle, f"{name}\n".encode())
                os.close(handle)

    def begin() -> None:
        secret.write_bytes(picture())
        sys.addaudithook(watch)  # in the forked process alone: it cannot be taken away

    def case(number: int) -> Case:
        draw = source("R8", number)
        if number % 16 == 15:
            content, name = scores(draw)
            return Case("scores", lambda: _only(name, content), f"audit --scores {name} -n -q")
        if number % 4 == 3:
            content = attributes(draw)
            words = "forget-ids model.st --where person=p1 --attributes bad.csv --check -q"
            return Case("attributes", lambda: _only("bad.csv", content), words)
        if number % 4 == 0:
            content = policy(draw)
            words = "audit model.st --original model.st --ids ids.txt --policy bad.toml -n -q"
            return Case("policy", lambda: _only("bad.toml", content), words)
        if number % 4 == 1:
            words = "train --dataset table:bad.csv -n -q -o new.st"
            return Case("table", lambda: bad_table(draw, str(secret)), words)
        return Case("folder", lambda: bad_folder(draw, str(secret)), "train --dataset folder:bad -n -q -o new.st")

    first = Case("the whole", begin, "inspect model.st -q")
    tally = tried(folder, [first, *(case(number) for number in numbers)])
    tally.trials -= 1
    tally.seen["taken, as nothing that counts had changed"] -= 1
    tally.check(not opened.exists(), f"opened: {opened.read_text() if opened.exists() else ''}")
    return tally
