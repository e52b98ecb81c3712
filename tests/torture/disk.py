"""Disks that are full or fail, writers that meet, modes."""

import errno
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from forgetkit.cli import app as cli
from tests.torture.trial import COMMANDS, OLD, Tally, clear, found, left, run, source, start, undisturbed, wait

TRAIN = COMMANDS["train"]
CALLS = 29
"""More calls than this command makes to publish its checkpoint; seen to be more by the last trial."""
CHOOSE = "forget-ids --dataset arrays:small.npz --count 20 -q -f -o out.st"


def r9(folder: Path, numbers: Sequence[int]) -> Tally:
    """No space, no permission or an I/O error at each call, a full disk: exit 2, old file intact, nothing left over."""
    tally = Tally()
    for at in numbers:
        if at == 0:
            _small_disk(folder, tally)
            _small_limit(folder, tally)
            continue
        for name in ("ENOSPC", "EACCES", "EIO", "EDQUOT"):
            new, _ = undisturbed(folder, TRAIN)
            clear(folder)
            (folder / "out.st").write_bytes(OLD)
            ended = run(TRAIN, folder, failpoint=f"{at}:{name}")
            if ended.code == 0:
                continue
            after = found(folder)
            # the sync of the folder comes after the rename: where that fails it is no success, but the new file
            tally.seen["new file, and no success, as the folder's sync failed"] += after == new
            says = ended.code == 2 and ended.err.count("error:") == 1 and not left(folder)
            tally.count(says and after in (OLD, new) and at < CALLS, f"{name} at {at}: {ended}, left: {left(folder)}")
    return tally


def _small_disk(folder: Path, tally: Tally) -> None:
    """Write to a disk of too little space, where this user may mount one."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode
    if mounted == 0:
        try:
            (disk / "out.st").write_bytes(OLD)
            ended = run(TRAIN.replace("-o out.st", f"-o {disk}/out.st"), folder)
            names = {path.name for path in disk.iterdir()}
            whole = names == {"out.st"} and (disk / "out.st").read_bytes() == OLD
            tally.count(ended.code == 2 and "no space left" in ended.err and whole, (ended, names))
        finally:
            subprocess.run(["umount", disk], check=True)
    else:
        tally.notes.append("no full disk: may not mount one")
    disk.rmdir()


def _small_limit(folder: Path, tally: Tally) -> None:
    """Write more than a limit of file size allows."""

    def limited() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        return cli.run(TRAIN.split())

    clear(folder)
    (folder / "out.st").write_bytes(OLD)
    ended = wait(start(limited, folder), folder)
    tally.count(ended.code == 2 and found(folder) == OLD and not left(folder), ended)


def r10(folder: Path, numbers: Sequence[int]) -> Tally:
    """One fsync fails: never success, and no rename, unless it is that of the folder, which comes last."""
    tally, renamed = Tally(), []
    new, _ = undisturbed(folder, TRAIN)
    for at in numbers:
        calls: list[int] = []

        def failing(handle: int, at: int = at, calls: list[int] = calls) -> None:
            calls.append(handle)
            if len(calls) == at:
                raise OSError(errno.EIO, "no")

        def work(failing: Callable[[int], None] = failing) -> int:
            os.fsync = failing
            return cli.run(TRAIN.split())

        clear(folder)
        (folder / "out.st").write_bytes(OLD)
        ended = wait(start(work, folder), folder)
        if ended.code == 0:  # it made fewer calls than that
            continue
        renamed.append(found(folder) == new)
        says = ended.code == 2 and not left(folder) and found(folder) in (OLD, new)
        tally.count(says, f"fsync {at}: {ended}, left: {left(folder)}")
    tally.check(1 < len(renamed) < len(numbers) and renamed[:-1] == [False] * (len(renamed) - 1), renamed)
    return tally


def r11(folder: Path, numbers: Sequence[int]) -> Tally:
    """Eight simultaneous writers of one output: exactly one publishes, and the file is valid."""
    tally = Tally()
    commands = ["forget-ids --dataset arrays:small.npz --count 20 -q -o out.st --seed {}"]
    commands.append("train --dataset arrays:small.npz --epochs 1 --batch-size 32 -q -o out.st --seed {}")
    for number in numbers:
        clear(folder)
        ended = _race(folder, commands[number % 2])
        codes = sorted(one[0] for one in ended)
        valid = run("inspect out.st -q", folder).code == 0 if number % 2 else (found(folder) or b"").count(b"\n") == 20
        holds = codes == [0] + [2] * 7 and valid and not left(folder)
        tally.count(holds, f"round {number}: {valid}, {left(folder)}, {ended}")
    return tally


def _race(folder: Path, command: str) -> list[tuple[int, str]]:
    """Let eight processes begin the command at one moment, each with a seed of its own."""
    gate, opened = os.pipe()
    places = [folder / f"w{writer}" for writer in range(8)]
    children = []
    for writer, place in enumerate(places):
        place.mkdir()

        def work(writer: int = writer) -> int:
            os.close(opened)
            os.read(gate, 1)
            os.chdir("..")
            return cli.run(command.format(writer).split())

        children.append(start(work, place))
    os.close(opened)
    ended = [wait(child, place) for child, place in zip(children, places, strict=True)]
    os.close(gate)
    for place in places:
        place.rmdir()
    return [(one.code, one.err) for one in ended]


def r13(folder: Path, numbers: Sequence[int]) -> Tally:
    """The file mode follows the umask 022, 027 and 077; an existing file keeps its mode."""
    tally = Tally()
    for number in numbers:
        draw = source("R13", number)
        for mask in (0o022, 0o027, 0o077):
            clear(folder)
            old = draw.choice([None, 0o604, 0o640, 0o600])
            if old is not None:
                (folder / "out.st").write_bytes(OLD)
                (folder / "out.st").chmod(old)

            def work(mask: int = mask, number: int = number) -> int:
                os.umask(mask)
                return cli.run((TRAIN if number % 2 else CHOOSE).split())

            ended = wait(start(work, folder), folder)
            mode = stat.S_IMODE((folder / "out.st").stat().st_mode)
            tally.count(ended.code == 0 and mode == (0o666 & ~mask if old is None else old), (oct(mode), ended))
    return tally
