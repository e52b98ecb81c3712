"""One run in its own process, forked from a process that has already imported everything."""

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

from forgetkit.cli.sweep.outcome import LOG, STDOUT, Outcome, clear, judge, read_outcome, write_outcome
from forgetkit.processes import prepare, settle

PRELOADED = "forgetkit.cli.sweep.preload"


def start(words: list[str], folder: Path, threads: int) -> BaseProcess:
    """Start a run, which writes its outcome into ``folder``.

    Args:
        words: the command line, without the program's name.
        folder: folder of the run; if another process makes the same run, this one waits for it.
        threads: CPU threads, unless ``FORGETKIT_THREADS`` is set.
    """
    environment = {"FORGETKIT_THREADS": str(threads), **os.environ, "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
    process = prepare(PRELOADED).Process(target=run_here, args=(words, folder, environment), name=folder.name)
    process.start()
    return process


def run_here(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command in this process, unless another process has written its outcome meanwhile."""
    settle()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep ends its runs itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    with lock(folder):
        if read_outcome(folder) is None:
            clear(folder)
            write_outcome(folder, _outcome(words, folder))


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; the system releases it however the process ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _outcome(words: list[str], folder: Path) -> Outcome:
    from forgetkit.cli import app as cli

    for stream, name in ((sys.stdout, STDOUT), (sys.stderr, LOG)):
        stream.flush()
        with open(folder / name, "wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    begun, worked = time.monotonic(), time.process_time()
    code = cli.run([*words, "--json"])
    seconds, cpu_seconds = time.monotonic() - begun, time.process_time() - worked
    sys.stdout.flush()
    try:
        document = json.loads((folder / STDOUT).read_bytes())
    except ValueError:
        document = {}
    (folder / STDOUT).unlink()
    return judge(code, document if isinstance(document, dict) else {}, seconds, cpu_seconds)
