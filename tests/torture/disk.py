"""Disks that are full or fail, writers that meet, modes."""

import errno
import os
import resource
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from forgetkit import cli
from tests.torture.trial import COMMANDS, Tally, clear, left, run, source, start, wait, within

OLD = b"what was there before"
TRAIN = COMMANDS["train"]


def r9(folder: Path, trials: int) -> Tally:
    """No space, no permission, an I/O error at each call: exit 2, the old file intact, nothing left over."""
    tally = Tally()
    for name in ("ENOSPC", "EACCES", "EIO", "EDQUOT"):
        for at in within(range(1, trials + 1)):
            clear(folder)
            (folder / "out.st").write_bytes(OLD)
            ended = run(TRAIN, folder, FORGETKIT_FAILPOINT=f"{at}:{name}")
            if ended.code == 0:
                break
            found = (folder / "out.st").read_bytes()
            # a failed sync of the folder comes after the rename: no success, but the new file
            tally.count(found == OLD or "sync" in ended.err or at > 10, f"{name} at {at}: the old file is gone")
            tally.count(ended.code == 2 and ended.err.count("error:") == 1, f"{name} at {at}: {ended}")
            tally.count(not left(folder), f"{name} at {at}: left over: {left(folder)}")
    _small_disk(folder, tally)
    return tally


def _small_disk(folder: Path, tally: Tally) -> None:
    """Write to a disk of too little space, where this user may mount one; and below a limit of file size."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode
    if mounted == 0:
        try:
            (disk / "out.st").write_bytes(OLD)
            ended = run(TRAIN.replace("-o out.st", f"-o {disk}/out.st"), folder)
            tally.count(ended.code == 2 and "no space left" in ended.err, ended)
            tally.count({path.name for path in disk.iterdir()} == {"out.st"}, list(disk.iterdir()))
            tally.count((disk / "out.st").read_bytes() == OLD, "the old file is gone")
        finally:
            subprocess.run(["umount", disk], check=True)
    else:
        tally.notes.append("no small disk: may not mount")
    disk.rmdir()

    def limited() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        return cli.run(TRAIN.split())

    clear(folder)
    (folder / "out.st").write_bytes(OLD)
    ended = wait(start(limited, folder), folder, 0.0)
    tally.count(ended.code == 2 and (folder / "out.st").read_bytes() == OLD and not left(folder), ended)


def r10(folder: Path, trials: int) -> Tally:
    """One fsync fails: never success, never asked again, and no rename where it is the file's."""
    tally = Tally()
    for at in within(range(1, trials + 1)):
        calls: list[int] = []

        def failing(handle: int, at: int = at, calls: list[int] = calls) -> None:
            calls.append(handle)
            if len(calls) == at:
                raise OSError(errno.EIO, "no")

        def work(failing: Callable[[int], None] = failing) -> int:
            os.fsync = failing
            code = cli.run(TRAIN.split())
            return code if code else 0

        clear(folder)
        (folder / "out.st").write_bytes(OLD)
        ended = wait(start(work, folder), folder, 0.0)
        if ended.code == 0:
            break
        renamed = (folder / "out.st").read_bytes() != OLD
        tally.count(ended.code == 2, ended)
        tally.count(not left(folder), left(folder))
        tally.notes.append("renamed" if renamed else "not renamed")
    tally.count(tally.notes in (["not renamed"] * (len(tally.notes) - 1) + ["renamed"], []), tally.notes)
    return tally


def r11(folder: Path, trials: int) -> Tally:
    """Eight writers on one output at once: exactly one publishes, the file is valid."""
    tally = Tally()
    train = "train --dataset arrays:small.npz --epochs 1 --batch-size 32 -q -o out.st --seed {}"
    choose = "forget-ids --dataset arrays:small.npz --count 20 -q -o out.st --seed {}"
    for number in within(range(trials)):
        clear(folder)
        command = train if number % 2 else choose
        gate, opened = os.pipe()
        inner = [folder / f"w{writer}" for writer in range(8)]
        children = []
        for writer, place in enumerate(inner):
            place.mkdir()

            def work(writer: int = writer, gate: int = gate, opened: int = opened, command: str = command) -> int:
                os.close(opened)
                os.read(gate, 1)
                os.chdir("..")
                return cli.run(command.format(writer).split())

            children.append(start(work, place))
        os.close(opened)
        ended = [wait(child, place, 0.0) for child, place in zip(children, inner, strict=True)]
        os.close(gate)
        codes = sorted(one.code for one in ended)
        for place in inner:
            place.rmdir()
        valid = not number % 2 or run("inspect out.st -q", folder).code == 0
        holds = codes == [0] + [2] * 7 and valid and not left(folder)
        tally.count(holds, (valid, left(folder), [(one.code, one.err) for one in ended]))
    return tally


def r13(folder: Path, trials: int) -> Tally:
    """The mode follows the umask; an existing file's mode is kept."""
    tally, draw = Tally(), source("R13")
    choose = "forget-ids --dataset arrays:small.npz --count 20 -q -f -o out.st"
    for number in within(range(trials)):
        for mask in (0o022, 0o027, 0o077):
            clear(folder)
            old = draw.choice([None, 0o604, 0o640, 0o600])
            if old is not None:
                (folder / "out.st").write_bytes(OLD)
                (folder / "out.st").chmod(old)

            def work(mask: int = mask, number: int = number) -> int:
                os.umask(mask)
                return cli.run((TRAIN if number % 2 else choose).split())

            ended = wait(start(work, folder), folder, 0.0)
            mode = stat.S_IMODE((folder / "out.st").stat().st_mode)
            tally.count(ended.code == 0 and mode == (0o666 & ~mask if old is None else old), (oct(mode), ended))
    return tally
