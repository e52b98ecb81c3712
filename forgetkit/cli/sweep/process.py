"""One run in a process of its own, forked from one that has imported everything already."""

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

from forgetkit.cli.sweep.outcome import LOG, STDOUT, Outcome, clear, judged, keep, kept
from forgetkit.processes import prepare, settle

PRELOADED = "forgetkit.cli.sweep.preload"


def start(words: list[str], folder: Path, threads: int) -> BaseProcess:
    """Begin a run; what comes of it will stand in ``folder``.

    Args:
        words: the command line, without the program's name.
        folder: of the run; another process that makes the same run is waited for.
        threads: CPU threads, where ``FORGETKIT_THREADS`` does not say.
    """
    environment = {"FORGETKIT_THREADS": str(threads), **os.environ, "_TYPER_FORCE_DISABLE_TERMINAL": "1"}
    process = prepare(PRELOADED).Process(target=carry_out, args=(words, folder, environment), name=folder.name)
    process.start()
    return process


def carry_out(words: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command in this process, unless its outcome is there by now."""
    settle()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the sweep ends its runs itself
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    with locked(folder):
        if kept(folder) is None:
            clear(folder)
            keep(folder, _outcome(words, folder))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder; the system gives it back however the process ends."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f"{folder.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
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
    return judged(code, document if isinstance(document, dict) else {}, seconds, cpu_seconds)
