"""Processes that are killed: at any moment, at every call, and again and again."""

from collections.abc import Sequence
from pathlib import Path

from tests.torture.trial import COMMANDS, OLD, Tally, clear, found, left, run, source, undisturbed

CALLS = 75
"""More calls than any command makes to publish what it writes; seen to be more by the last trial."""
FRESH = {name: command.replace("--force ", "") for name, command in COMMANDS.items()}
PUBLICATIONS = {
    "train and all it writes": f"{FRESH['train']} --keep-optimizer --log log.jsonl",
    **{name: FRESH[name] for name in ("neutralize", "distill", "relabel")},
    "relabel --force": COMMANDS["relabel"],
}
"""The publications that are killed at every call."""


def r1(folder: Path, numbers: Sequence[int]) -> Tally:
    """SIGKILL at random moments, half of them near the end: the output is absent, the old file, or the new one."""
    tally = Tally()
    for number in numbers:
        draw, command = source("R1", number), list(COMMANDS.values())[number % 4]
        new, seconds = undisturbed(folder, command)
        old = OLD if number // 4 % 2 else None
        clear(folder)
        if old:
            (folder / "out.st").write_bytes(old)
        run(command, folder, kill_after=draw.uniform(draw.choice([0, 0.7]) * seconds, 1.1 * seconds))
        after = found(folder)
        tally.count(after in (old, new), f"trial {number}, {command}: neither old nor new, {len(after or b'')} bytes")
        tally.seen["the new one" if after == new else "the old file" if old else "absent"] += 1
    return tally


def r2(folder: Path, numbers: Sequence[int]) -> Tally:
    """SIGKILL at every call of five publications: the same command then writes the same bytes."""
    tally = Tally()
    for at in numbers:
        for name, command in PUBLICATIONS.items():
            new, _ = undisturbed(folder, command)
            old = OLD if "--force" in command else None
            clear(folder)
            if old:
                (folder / "out.st").write_bytes(old)
            ended, after = run(command, folder, failpoint=str(at)), found(folder)
            if ended.code == 0:  # it made fewer calls than that
                continue
            again = run(command, folder)
            whole = again.code == 0 and found(folder) == new
            rest = left(folder) - ({"out.optimizer.st", "log.jsonl"} if "--log" in command else set())
            holds = ended.code == -9 and after in (old, new) and whole and not rest and at < CALLS
            tally.count(
                holds, f"{name}, call {at}: left over: {rest}; {len(after or b'')} bytes; {ended}; then {again}"
            )
    return tally


def r5(folder: Path, numbers: Sequence[int]) -> Tally:
    """Killed up to three times, then run to the end: the same bytes as an undisturbed run."""
    tally = Tally()
    for number in numbers:
        draw, command = source("R5", number), list(COMMANDS.values())[number % 4]
        new, _ = undisturbed(folder, command)
        _, seconds = undisturbed(folder, command, states=True)
        clear(folder)
        for _ in range(draw.randint(1, 3)):
            run(command, folder, kill_after=draw.uniform(0, seconds), states=True)
        ended = run(command, folder, states=True)
        tally.seen["went on from a state"] += "going on" in ended.err
        same, rest = found(folder) == new, left(folder)
        holds = ended.code == 0 and same and not rest
        tally.count(holds, f"trial {number}, {command}: the same bytes: {same}; left over: {rest}; {ended}")
    return tally
