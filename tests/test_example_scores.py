"""examples/audit_scores and examples/ci/scores.yml: scores of models that forgetkit cannot open, judged."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Run
from tests.test_example_ci import RUN, STEP

EXAMPLES = Path(__file__).parent.parent / "examples"


def python(name: str, *words: object) -> None:
    script = EXAMPLES / "audit_scores" / name
    subprocess.run([sys.executable, "-W", "ignore", script, *map(str, words)], check=True, capture_output=True)


def test_the_workflow_gates_on_scores_of_scikit_learns_networks(forgetkit: Run, tmp_path: Path) -> None:
    workflow = (EXAMPLES / "ci" / "scores.yml").read_text()
    steps = {step["name"]: RUN.search(step["body"]) for step in STEP.finditer(workflow)}
    commands = {name: " ".join((run["block"] or run["line"]).split()) for name, run in steps.items() if run}
    assert commands["Scores"] == "python examples/audit_scores/sklearn_scores.py scores"
    python("sklearn_scores.py", tmp_path / "scores")
    words = commands["Audit"].replace(" \\", "").split()[1:]
    passed = forgetkit(*words)
    assert (passed.code, "FORGOTTEN" in passed.out) == (0, True), passed.out
    caught = forgetkit(*(word.replace("forgotten", "original") for word in words))
    assert (caught.code, "NOT FORGOTTEN" in caught.out) == (1, True)


def test_an_onnx_file_gives_the_scores_of_its_checkpoint(forgetkit: Run, tmp_path: Path) -> None:
    python("digits_arrays.py", tmp_path / "digits.npz")
    forgetkit("train", "--dataset", "arrays:digits.npz", "--epochs", 1, "-o", "model.st")
    forgetkit("forget-ids", "model.st", "--class", 3, "-o", "ids.txt")
    python("export_onnx.py", "model.st", "model.onnx")
    python("onnx_scores.py", "model.onnx", "digits.npz", "ids.txt", "onnx.npz")
    forgetkit("predict", "model.st", "--ids", "ids.txt", "-o", "scores.npz")
    with np.load("onnx.npz") as other, np.load("scores.npz") as own:
        asked = other["group"] == "forget"
        assert np.array_equal(other["id"][asked], own["id"])
        assert other["logits"][asked] == pytest.approx(own["logits"], abs=1e-4)
    assert forgetkit("audit", "--scores", "onnx.npz", "--original-scores", "onnx.npz").code == 1
