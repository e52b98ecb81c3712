"""The README's terminal is what the tool printed: the figure is drawn again from what was kept, byte for byte."""

import json
import subprocess
import sys
from pathlib import Path
from shutil import copytree

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"


def test_the_audits_of_the_readme_are_drawn_from_what_was_printed(tmp_path: Path) -> None:
    copytree(FIGURES / "data", tmp_path / "data")
    target = tmp_path / "audit.svg"
    script = ROOT / "examples" / "figures.py"
    subprocess.run([sys.executable, "-W", "ignore", script, "again", target], check=True)
    assert target.read_bytes() == (FIGURES / "audit.svg").read_bytes()


def test_what_was_printed_names_its_commit_and_machine() -> None:
    kept = json.loads((FIGURES / "data" / "audit.json").read_text())
    assert len(kept["commit"]) == 40
    assert kept["machine"]
    assert [command.split()[:2] for command in kept["printed"]] == [["forgetkit", "audit"]] * 3
