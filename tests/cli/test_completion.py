"""Shell completion: names that are known, checkpoints, and no torch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forgetkit.cli.completion import MODELS, checkpoints
from forgetkit.models.build import MODELS as KNOWN


def offered(folder: Path, line: str) -> list[str]:
    """Return what bash would be offered at the end of a line."""
    number = len(line.split()) - (not line.endswith(" "))
    variables = {"_FORGETKIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(number)}
    script = "import sys; from forgetkit.cli.app import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert "AssertionError" not in ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("forgetkit relabel ", ["model.st", "refs/"]),
        ("forgetkit audit model.st --original refs/", ["refs/1.st"]),
        ("forgetkit relabel model.st --optimizer ad", ["adam", "adamw", "adadelta"]),
        ("forgetkit train --dataset ci", ["cifar10", "cifar100"]),
        ("forgetkit train --model co", ["convnet"]),
        ("forgetkit neu", ["neutralize"]),
    ],
)
def test_the_shell_is_offered_what_fits(tmp_path: Path, line: str, expected: list[str]) -> None:
    (tmp_path / "refs").mkdir()
    for name in ("model.st", "ids.txt", ".model.st.lock", "refs/1.st"):
        (tmp_path / name).touch()
    assert offered(tmp_path, line) == expected


def test_the_models_offered_are_those_registered() -> None:
    assert [name for name in MODELS if not name.endswith(":")] == sorted(
        name for name in KNOWN if KNOWN[name].__module__.startswith("forgetkit")
    )


def test_a_folder_that_is_not_there_offers_nothing(tmp_path: Path) -> None:
    assert checkpoints(str(tmp_path / "none" / "m")) == []
