"""examples/own_table: one user's images are forgotten, from the table to the audit."""

import csv
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run

FOLDER = Path(__file__).parent.parent / "examples" / "own_table"


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Return the table that the example writes."""
    subprocess.run([sys.executable, FOLDER / "make_table.py", tmp_path], check=True)
    return tmp_path / "digits.csv"


def test_the_table_has_every_digit_once_and_five_users(album: Path) -> None:
    with album.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["id"] for row in rows}) == len(rows) == 1797
    assert {row["user"] for row in rows} == {"alice", "bob", "carol", "dave", "erin"}
    assert sum(row["split"] == "test" for row in rows) == 500
    assert all((album.parent / row["path"]).is_file() for row in rows)


def test_its_commands_run_one_after_the_other(album: Path, forgetkit: Run) -> None:
    text = (FOLDER / "run.sh").read_text()
    commands = [line.split(" || ")[0] for line in text.splitlines() if line.startswith("forgetkit ")]
    assert [command.split()[1] for command in commands] == ["train", "forget-ids", "relabel", "audit"]
    for command in commands[:-1]:
        ran = forgetkit(*shlex.split(command)[1:])
        assert ran.code == 0, ran.err
    with album.open(newline="") as stream:
        alice = {row["id"] for row in csv.DictReader(stream) if row["user"] == "alice" and row["split"] == "train"}
    assert set((album.parent / "alice.txt").read_text().split()) == alice
    report = forgetkit(*shlex.split(commands[-1])[1:], "--json")
    assert report.code in {0, 3}, report.err
    assert report.json["accuracy"]["unseen"] > 0.9
