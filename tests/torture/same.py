"""The same command, the same bytes."""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from forgetkit.record import read_record
from tests.torture.trial import COMMANDS, Tally


def digest(folder: Path, command: str, seed: int) -> str:
    """Return the SHA-256 of what a command writes in a process of its own."""
    (folder / "out.st").unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    words = [sys.executable, "-m", "forgetkit", *command.split(), "-q"]
    ran = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    return sha256((folder / "out.st").read_bytes()).hexdigest() if ran.returncode == 0 else ran.stderr


def r12(folder: Path, trials: int) -> Tally:
    """The same commands in separate processes: one digest each; and what one and two threads change."""
    tally = Tally()
    for name in COMMANDS:
        found = {
            digest(folder, f"{COMMANDS[name]} --threads 1", seed) for seed in range(max(2, trials // len(COMMANDS)))
        }
        tally.count(len(found) == 1, f"{name}: {len(found)} digests: {sorted(found)}")
        one = read_record(folder / "out.st").digest
        digest(folder, f"{COMMANDS[name]} --threads 2", 0)
        alike = read_record(folder / "out.st").digest == one
        tally.notes.append(f"{name}: two threads give {'the same' if alike else 'other'} weights")
    return tally
