"""Processes that are killed: at any moment, at every call, and again and again."""

from pathlib import Path

from tests.torture.trial import COMMANDS, Tally, clear, left, often, rarely, run, source, within

OLD = b"what was there before"


def undisturbed(folder: Path) -> tuple[dict[str, bytes], dict[str, float]]:
    """Return the bytes that each command ends with, and how long it takes."""
    files, seconds = {}, {}
    for name, command in COMMANDS.items():
        clear(folder)
        ended = run(command, folder)
        files[name], seconds[name] = (folder / "out.st").read_bytes(), ended.seconds
    return files, seconds


def r1(folder: Path, trials: int) -> Tally:
    """SIGKILL at random moments: the output is absent, the old file or the new one."""
    tally, draw = Tally(), source("R1")
    files, seconds = undisturbed(folder)
    seen = {"absent": 0, "old": 0, "new": 0}
    for number in within(range(trials)):
        name = list(COMMANDS)[number % len(COMMANDS)]
        clear(folder)
        if number % 2:
            (folder / "out.st").write_bytes(OLD)
        run(COMMANDS[name], folder, kill_after=draw.uniform(0, 1.1 * seconds[name]))
        found = (folder / "out.st").read_bytes() if (folder / "out.st").exists() else None
        allowed = {OLD: "old", files[name]: "new"} if number % 2 else {None: "absent", files[name]: "new"}
        tally.count(found in allowed, f"{name}: neither old nor new, {len(found or b'')} bytes")
        if found in allowed:
            seen[allowed[found]] += 1
    tally.notes.append(", ".join(f"{count} {what}" for what, count in seen.items()))
    return tally


def r2(folder: Path, trials: int) -> Tally:
    """SIGKILL at every call of a publication; the same command then ends with the same bytes."""
    tally = Tally()
    files, _ = undisturbed(folder)
    commands = {"train": f"{COMMANDS['train']} --keep-optimizer --log log.jsonl".replace("--force ", "")}
    commands |= {name: command.replace("--force ", "") for name, command in COMMANDS.items() if name != "train"}
    for name, command in commands.items():
        for at in within(range(1, trials + 1)):
            clear(folder)
            ended = run(command, folder, FORGETKIT_FAILPOINT=str(at))
            found = (folder / "out.st").read_bytes() if (folder / "out.st").exists() else None
            tally.count(found is None or len(found) > 1000, f"{name}: torn at call {at}")
            if ended.code == 0:
                break
            again = run(command, folder)
            whole = again.code == 0 and (name == "train" or (folder / "out.st").read_bytes() == files[name])
            tally.count(whole, f"{name}: after call {at} the same command gives {again.code}: {again.err}")
            rest = left(folder) - {"out.optimizer.st", "log.jsonl"}
            tally.count(not rest, f"{name}: left over after call {at}: {rest}")
    return tally


def r5(folder: Path, trials: int) -> Tally:
    """Killed up to three times, then left alone: the same bytes as undisturbed."""
    tally, draw = Tally(), source("R5")
    files, _ = undisturbed(folder)
    often()
    seconds = undisturbed(folder)[1]
    resumed = 0
    for number in within(range(trials)):
        name = list(COMMANDS)[number % len(COMMANDS)]
        clear(folder)
        for _ in range(draw.randint(1, 3)):
            run(COMMANDS[name], folder, kill_after=draw.uniform(0, seconds[name]))
        ended = run(COMMANDS[name], folder)
        resumed += "going on" in ended.err
        same = ended.code == 0 and (folder / "out.st").read_bytes() == files[name]
        tally.count(same and not left(folder), f"{name}: {ended.code} {ended.err} left over: {left(folder)}")
    rarely()
    tally.notes.append(f"{resumed} went on from a state")
    return tally
