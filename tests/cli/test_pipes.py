"""The real process: stdout is the result and nothing else, pipes work, signals leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

FORGETKIT = f"{sys.executable} -m forgetkit"
RELABEL = "relabel model.st --ids ids.txt --rate 0.1"


Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def shell(forked: Path, tmp_path: Path) -> Shell:
    """Return what runs a bash script in ``tmp_path``; ``real`` in it is the command with Python's own start and end."""

    def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        path = f"{forked}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, **variables}
        command = ["bash", "-c", f'real() {{ {FORGETKIT} "$@"; }}\n{script}']
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_stdout_is_the_result_and_stderr_the_rest(shell: Shell, model: Path, ids: Path, tmp_path: Path) -> None:
    ran = shell(f"real {RELABEL} 2>err.txt; echo $?; real inspect model.st --json >/dev/null")
    assert (ran.stdout.splitlines(), ran.stderr) == (["model.relabel.st", "0"], "")
    assert "next: forgetkit audit model.relabel.st" in (tmp_path / "err.txt").read_text()


def test_reader_that_closes_early_changes_no_exit_code(shell: Shell, model: Path, ids: Path, tmp_path: Path) -> None:
    script = f"""
    real {RELABEL} | true; echo ${{PIPESTATUS[0]}}
    forgetkit {RELABEL} -o both.st 2>&1 | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}
    forgetkit forget-ids model.st --class 3 | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}
    real relabel -h | true; echo ${{PIPESTATUS[0]}}
    forgetkit relabel nowhere.st --ids ids.txt --rate 0.1 --json 2>&1 | true; echo ${{PIPESTATUS[0]}}
    """
    ran = shell(script)
    assert ran.stdout.split() == ["0", "0", "0", "0", "2"]
    assert "Traceback" not in ran.stderr


def test_closed_and_full_streams(shell: Shell, model: Path, ids: Path, tmp_path: Path) -> None:
    script = """
    real inspect model.st >&-; echo $?
    real inspect nowhere.st 2>&-; echo $?
    real relabel model.st --ids - --rate 0.1 <&-; echo $?
    real inspect model.st --json >/dev/full; echo $?
    real inspect nowhere.st --json >/dev/full; echo $?
    """
    ran = shell(script)
    assert ran.stdout.split() == ["0", "2", "2", "2", "2"]
    assert "Traceback" not in ran.stderr
    assert "error: stdout: No space left on device" in ran.stderr


def test_first_command_of_the_contract(shell: Shell, model: Path, ids: Path, tmp_path: Path) -> None:
    ran = shell("forgetkit relabel model.st --ids ids.txt --optimizer adadelta --rate 0.1")
    assert (ran.returncode, ran.stdout) == (0, "model.relabel.st\n")


def test_second_command_of_the_contract(shell: Shell, model: Path, tmp_path: Path) -> None:
    ran = shell(
        "forgetkit forget-ids model.st --class 3 | forgetkit relabel model.st --ids - --rate 0.1 --allow-unforgotten"
    )
    assert (ran.returncode, ran.stdout) == (0, "model.relabel.st\n")


def test_third_command_of_the_contract(shell: Shell, model: Path, ids: Path, tmp_path: Path) -> None:
    script = f'm=$(forgetkit {RELABEL}) && forgetkit audit "$m" --original model.st'
    ran = shell(script)
    assert ran.returncode in {0, 1, 3}
    assert "model.relabel.st" in ran.stdout


def test_failed_command_before_is_named(shell: Shell, model: Path, tmp_path: Path) -> None:
    script = 'm=$(forgetkit relabel nowhere.st --ids ids.txt --rate 0.1 2>/dev/null); forgetkit audit "$m"'
    ran = shell(script)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "error: no checkpoint given: the command before wrote none" in ran.stderr


def test_no_escape_byte_off_a_terminal(shell: Shell, model: Path, ids: Path, tmp_path: Path) -> None:
    ran = shell("real; real relabel -h; real relabl", GITHUB_ACTIONS="true", FORCE_COLOR="1")
    assert "Usage: forgetkit relabel" in ran.stdout
    assert "\x1b" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_no_escape_byte_on_a_terminal_that_wants_none(model: Path, tmp_path: Path, variables: dict[str, str]) -> None:
    import pty

    parent, child = pty.openpty()
    environment = {**os.environ, **variables}
    script = f"{FORGETKIT} relabel -h; {FORGETKIT} forget-ids model.st --ids x"
    with subprocess.Popen(["bash", "-c", script], cwd=tmp_path, env=environment, stdout=child, stderr=child):
        os.close(child)
        shown = b""
        while part := _read(parent):
            shown += part
    os.close(parent)
    assert b"error: x: No such file" in shown
    assert b"\x1b" not in shown


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


TRAIN = ["train", "--dataset", "digits", "--epochs", "100000", "-o", "new.st"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_a_signal_is_answered_with_the_line_that_goes_on(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with started(TRAIN, tmp_path) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "classes: " in line)
        time.sleep(2)  # within the first epochs
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    assert "to go on from here: forgetkit train --dataset digits --epochs 100000 -o new.st" in err
    assert [path.name for path in tmp_path.iterdir()] == [".new.st.state"]


SIGNALLED = """
import os, signal
from forgetkit.cli import app as cli
from {package} import {module}

def raise_another(*_, **__):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.sigtimedwait([], 5)
    except SystemExit:
        raise {error}("an exception of a library's own") from None

{module}.{name} = raise_another
cli.install()
raise SystemExit(cli.run("relabel model.st -i ids.txt --rate 0.1".split()))
"""


@pytest.mark.parametrize("error", ["ValueError", "RuntimeError"])
def test_a_stop_that_a_library_turns_into_an_error_is_a_stop(
    model: Path, ids: Path, tmp_path: Path, error: str
) -> None:
    """A signal's exception came out of safetensors as a ValueError, and was called a bug, or bad input."""
    script = SIGNALLED.format(package="forgetkit.models", module="checkpoint", name="read_tensors", error=error)
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (143, "interrupted; the last complete output is intact")
    assert not (tmp_path / "model.relabel.st").exists()


def test_a_signal_after_the_work_does_not_change_the_exit_code(tmp_path: Path) -> None:
    script = "import atexit, os, signal, sys; from forgetkit.cli import app as cli\n"
    script += "atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM)); sys.argv[1:] = ['--version']; cli.main()"
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "forgetkit")


def test_a_signal_that_waited_for_the_last_step_does_not_kill_python_at_its_end(tmp_path: Path) -> None:
    script = "import atexit, os, signal, sys, time; from forgetkit.cli import app as cli\n"
    script += "from forgetkit.files import interrupts as signals\n"
    script += "atexit.register(time.sleep, 1); signals.install(); sys.argv[1:] = ['--version']\n"
    script += "signals.PATIENCE = 60\n"  # seconds: the machine may be busy
    script += "with signals.deferring():\n    os.kill(os.getpid(), signal.SIGTERM)\n    cli.main()\n"
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "forgetkit")


@pytest.mark.parametrize("after", [0.2, 0.6, 1.2])
def test_a_signal_while_torch_is_imported_ends_the_process_in_order(tmp_path: Path, after: float) -> None:
    """An exception within those imports can run into C++ code that aborts: exit -6."""
    with started(TRAIN, tmp_path, installed=True) as process:
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert not (tmp_path / "new.st").exists()
    assert not (tmp_path / ".new.st.lock").exists()


def started(arguments: list[str], folder: Path, *, installed: bool = False) -> "subprocess.Popen[str]":
    """Start the command line; with ``installed``, return only when it answers signals."""
    script = "from forgetkit.cli import app as cli; cli.install(); print('.', flush=True); cli.main()"
    command = [sys.executable, "-c", script] if installed else [sys.executable, "-m", "forgetkit"]
    pipe = subprocess.PIPE
    process = subprocess.Popen([*command, *arguments], cwd=folder, stdout=pipe, stderr=pipe, text=True)
    if installed:
        assert process.stdout is not None
        process.stdout.readline()
    return process


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_result_is_utf_8_whatever_the_locale(shell: Shell, model: Path, tmp_path: Path, locale: str) -> None:
    ran = shell("real inspect model.st", LC_ALL=locale, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ran.returncode == 0
    assert "1×8×8" in ran.stdout
