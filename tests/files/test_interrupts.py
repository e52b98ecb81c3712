"""Signals: which of them stop a command, which code it exits with, and how long it takes."""

import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import hashlib, os, signal
from threading import Timer
from forgetkit.files.interrupts import asked_to_stop, at_last, deferring, in_step, install, stop

def kill(number):
    os.kill(os.getpid(), number)

def compute():
    hashlib.pbkdf2_hmac("sha256", b"", b"", 100_000_000)  # a minute in C, as a large step of torch's

{before}
install()
with at_last(lambda: print("last", flush=True)), deferring():
    {work}
print("went on")
"""


def ran(work: str, before: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the script, which must end within ten seconds."""
    script = SCRIPT.format(work=work, before=before)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=10, check=False)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_what_a_scheduler_sends_waits_for_the_step_and_ends_as_terminated(name: str) -> None:
    work = f"kill(signal.{name}); print(asked_to_stop()); kill(signal.{name}); print(asked_to_stop()); stop()"
    done = ran(work, before="signal.signal(signal.SIGHUP, signal.SIG_DFL)")
    assert (done.returncode, done.stdout) == (143, "True\nTrue\n")


def test_a_second_ctrl_c_means_now() -> None:
    done = ran("kill(signal.SIGINT); print(1); kill(signal.SIGINT); print(2)")
    assert done.stdout == "1\n"
    assert done.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize(("name", "out"), [("SIGHUP", "False\nwent on\n"), ("SIGUSR1", "False\nwent on\n")])
def test_a_signal_that_nohup_ignores_stays_ignored(name: str, out: str) -> None:
    done = ran(f"kill(signal.{name}); print(asked_to_stop())", f"signal.signal(signal.{name}, signal.SIG_IGN)")
    assert (done.returncode, done.stdout) == (0, out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_step_that_does_not_return_is_ended_within_a_second(number: signal.Signals, code: int) -> None:
    begun = time.monotonic()
    done = ran(f"Timer(0.2, kill, [{int(number)}]).start()\n    with in_step():\n        compute()")
    assert (done.returncode, done.stdout) == (code, "last\n")
    assert done.stderr == "interrupted; the last complete output is intact\n"
    assert time.monotonic() - begun < 5  # of which most is the start; the minute of the step would not fit


def test_a_write_that_does_not_return_is_not_ended() -> None:
    write = "hashlib.pbkdf2_hmac('sha256', b'', b'', 3_000_000)"
    done = ran(f"Timer(0.1, kill, [signal.SIGTERM]).start(); {write}; print('written'); stop()")
    assert (done.returncode, done.stdout) == (143, "written\n")
