"""What a person at the terminal sees: words at once, progress with figures, and what to type next."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forgetkit.cli import console as console_module
from forgetkit.cli.console import Console
from forgetkit.events import Measured, progress
from forgetkit.options import Say
from tests.conftest import Run

TRAIN = ["train", "--dataset", "digits", "-o", "new.st"]


def shown(folder: Path, *arguments: str) -> str:
    """Return all that a command shows on a terminal."""
    import pty

    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "forgetkit", *arguments]
    parts = []
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=child, stderr=child):
        os.close(child)
        try:
            while part := os.read(parent, 65536):
                parts.append(part)
        except OSError:  # Linux says so when the other end is closed
            pass
    os.close(parent)
    return b"".join(parts).decode()


@pytest.mark.parametrize("command", [TRAIN, ["relabel", "model.st", "--ids", "ids.txt"], ["audit", "model.st"]])
def test_the_first_words_come_before_torch(command: list[str], tmp_path: Path, model: Path, ids: Path) -> None:
    told = [sys.executable, "-X", "importtime", "-m", "forgetkit", *command, "--dry-run"]
    lines = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False).stderr.splitlines()
    words = next(number for number, line in enumerate(lines) if line.startswith(f"{command[0]}: reading "))
    assert words < next(number for number, line in enumerate(lines) if line.split("|")[-1].strip() == "torch")


def test_progress_on_a_terminal_has_rate_time_left_and_the_loss(tmp_path: Path) -> None:
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown(tmp_path, *TRAIN, "--epochs", "30"))
    assert re.search(r"train seed 0 .* +\d+/30 [\d.]+/s \d:\d\d:\d\d loss [\d.]+", plain)


def test_progress_off_a_terminal_is_a_line_with_the_latest_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_module, "PLAIN_INTERVAL", 0.0)
    monkeypatch.setattr("forgetkit.events.INTERVAL", 0.0)
    console = Console(Say())
    for number in progress(range(3), "work", 3, console):
        console(Measured(f"loss {number}"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(", about")[0] for line in lines] == [
        "work: 0 of 3",
        "work: 1 of 3, loss 0",
        "work: 2 of 3, loss 1",
    ]


def test_a_terminal_gets_no_escape_codes_of_an_id_but_a_pipe_gets_the_id(tmp_path: Path, forgetkit: Run) -> None:
    rows = "".join(f"{row}\x9b31m,{row % 2},train,1\n" for row in range(4))
    (tmp_path / "t.csv").write_text(f"id,label,split,pixel0\n{rows}x,1,test,2\n", encoding="utf-8")
    command = ["forget-ids", "--dataset", "table:t.csv", "--class", "1"]
    assert "\n1\\x9b31m\r\n3\\x9b31m\r\n" in shown(tmp_path, *command)
    assert forgetkit(*command).lines == ["1\x9b31m", "3\x9b31m"]


def test_an_audit_on_a_terminal_has_its_own_colours_and_fits_its_width(model: Path, ids: Path, tmp_path: Path) -> None:
    text = shown(tmp_path, "audit", "model.st", "--ids", "ids.txt", "--all")
    assert "\x1b[1mmodel.st\x1b[0m" in text
    assert "\\x1b" not in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert 80 < max(map(len, plain.splitlines())) <= 120


def test_a_finished_command_repeated_is_up_to_date(model: Path, ids: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "forgetkit", "relabel", "model.st", "-i", "ids.txt", "--rate", "0.1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    written = (tmp_path / "model.relabel.st").stat().st_ino
    ran = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "model.relabel.st is up to date" in ran.stderr
    assert (tmp_path / "model.relabel.st").stat().st_ino == written


def test_a_step_says_what_it_read_matched_changed_and_wrote(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit("relabel", "model.st", "-i", "ids.txt", "--rate", "0.1")
    lines = ran.err.splitlines()
    assert lines[0] == "relabel: reading model.st"
    assert lines[1] == "relabel: 30 ids, 1267 retained samples of digits, cpu, float32, 1 thread → model.relabel.st"
    assert re.fullmatch(r"relabel: wrote model\.relabel\.st  sha256:[0-9a-f]{16}  in [\d.]+ s", lines[-2])


@pytest.mark.parametrize(
    ("command", "following"),
    [
        ((*TRAIN, "--epochs", "1"), "forget-ids new.st --count 65 -o ids.txt"),
        ((*TRAIN, "--epochs", "1", "--only", "ids.txt"), "forget-ids new.st --count 2 -o ids.txt"),
        (("forget-ids", "model.st", "--count", "5", "-o", "few.txt"), "forget model.st --ids few.txt"),
        (("relabel", "model.st", "-i", "ids.txt", "--rate", "0.1"), "audit model.relabel.st --original model.st"),
        (
            ("neutralize", "model.st", "-i", "ids.txt", "--stop", "chance"),
            "distill model.neutralize.st --teacher model.st",
        ),
    ],
)
def test_each_result_names_the_next_command(
    forgetkit: Run, model: Path, ids: Path, command: tuple[str, ...], following: str
) -> None:
    assert f"next: forgetkit {following}" in forgetkit(*command).err.splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_help_fits_the_terminal(width: int) -> None:
    environment = {**os.environ, "COLUMNS": str(width)}
    ran = subprocess.run(
        [sys.executable, "-m", "forgetkit", "-h"], env=environment, check=True, capture_output=True, text=True
    )
    lines = ran.stdout.splitlines()
    assert max(len(line) for line in lines if "  forgetkit " not in line) <= width
    names = [line.removesuffix(":") for line in lines if re.fullmatch(r"[A-Z][a-z, ]+:", line)]
    assert names == ["The work, in order", "Methods to choose yourself", "Helpers", "Options"]


def test_the_shell_finds_the_command() -> None:
    assert shutil.which("forgetkit", path=str(Path(sys.executable).parent))
