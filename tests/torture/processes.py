"""The real command, each in a process of its own: what it needs, how long it takes, how it ends."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.torture.trial import Ended


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of a processor, and MB at the most."""

    seconds: float
    megabytes: int


def command(
    words: list[str],
    folder: Path,
    *,
    hash_seed: str = "random",
    meanwhile: Callable[[subprocess.Popen[bytes]], None] | None = None,
) -> tuple[Ended, Cost]:
    """Run ``python`` with ``words`` in ``folder``, and wait for its end.

    Args:
        words: ``["-m", "forgetkit", …]``.
        folder: where.
        hash_seed: ``PYTHONHASHSEED``.
        meanwhile: done with the process before waiting for it.
    """
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    begun = time.monotonic()
    with (folder / ".out").open("wb") as out, (folder / ".err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        if meanwhile:
            meanwhile(process)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begun
    said = [(folder / name).read_text(errors="replace") for name in (".out", ".err")]
    for name in (".out", ".err"):
        (folder / name).unlink()
    return Ended(process.returncode, *said, seconds), Cost(used.ru_utime + used.ru_stime, used.ru_maxrss >> 10)
