"""A method of one's own: one file in ``methods/``, one in ``cli/commands/``, and no other edit."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METHOD = '''
"""Blurring: on the forget set, descend the cross-entropy with the same output for all classes."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.functional import log_softmax

from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Samples
from forgetkit.training.loop import Update


def blur(
    model: nn.Module, forget: Samples, retain: Samples, *, epochs: int, batch_size: int, seed: int
) -> Iterator[Update]:
    """Descend the cross-entropy with the same output for all classes."""
    model.eval()

    def loss(rows: Tensor) -> Tensor:
        return -log_softmax(model(forget[0][rows]), 1).mean()

    for epoch in range(1, epochs + 1):
        for rows in shuffled(len(forget[1]), batch_size, seed=seed, epoch=epoch):
            yield Update(loss, rows, epoch)
'''
COMMAND = '''
"""``forgetkit blur``: train the ids towards no class at all."""

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.options import Checkpoint
from forgetkit.unlearning.method_options import EpochSettings
from forgetkit.unlearning.step_options import MethodOptions


def blur(checkpoint: Checkpoint, *, settings: EpochSettings, options: MethodOptions) -> None:
    """Train the ids towards no class at all.

    Examples:
        forgetkit blur model.st --ids ids.txt
        forgetkit blur model.st -i ids.txt --stop published
    """
    from forgetkit.methods.blur import blur as method
    from forgetkit.unlearning.run_method import run_method

    console = Console(options.output)
    report(console, run_method("blur", method, checkpoint, settings, options, tell=console))
'''


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package and its docs, with two more files."""
    folder = tmp_path_factory.mktemp("house")
    for part in ("forgetkit", "docs"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "forgetkit/methods/blur.py").write_text(METHOD)
    (folder / "forgetkit/cli/commands/blur.py").write_text(COMMAND)
    return folder


def python(house: Path, *words: str) -> str:
    """Run Python on the copy, from its folder; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(house), "COLUMNS": "100"}
    ran = subprocess.run([sys.executable, *words], cwd=house, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_it_is_in_the_help(house: Path) -> None:
    lines = [line.split() for line in python(house, "-m", "forgetkit", "--help").splitlines()]
    assert [" ".join(words[1:8]) for words in lines if words[:1] == ["blur"]] == ["Train the ids towards no class at"]
    own = python(house, "-m", "forgetkit", "blur", "--help-all")
    assert all(flag in own for flag in ("--stop", "--mask", "--book", "--dry-run", "--json"))


def test_it_is_in_the_docs(house: Path) -> None:
    before = {path.name: path.read_text() for path in (house / "docs/commands").iterdir()}
    python(house, "docs/generate.py")
    after = {path.name: path.read_text() for path in (house / "docs/commands").iterdir()}
    assert "forgetkit blur model.st -i ids.txt --stop published" in after.pop("blur.md")
    assert after == before


def test_it_forgets_and_says_so_in_the_record(house: Path, model: Path, ids: Path, tmp_path: Path) -> None:
    step = ("blur", str(model), "--ids", str(ids), "--stop", "published", "--rate", "0.1", "--json", "-q")
    found = json.loads(python(house, "-m", "forgetkit", *step, "-o", str(tmp_path / "out.st")))
    assert (found["ok"], found["command"], found["metrics"]["steps"]) == (True, "blur", 10)
    assert found["record"]["forgotten"]["count"] == 30
    assert found["metrics"]["forget_phi"] < found["metrics"]["forget_phi_before"]


def test_it_is_in_the_comparison(house: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        '[[run]]\nname = "a"\ncommand = "train --dataset digits"\n'
        '[[run]]\nname = "ids"\ncommand = "forget-ids {a} --count 9"\n'
        '[[run]]\nname = "b"\ncommand = "{step} {a} --ids {ids}"\n'
    )
    script = (
        "import sys; from pathlib import Path; from forgetkit.cli.sweep import expand, plan\n"
        "print(*(run.words[0] for run in expand.expand(plan.read_plan(Path(sys.argv[1]), None))))"
    )
    assert "blur" in python(house, "-c", script, str(tmp_path / "plan.toml")).split()
