"""The papers' tables: drawn from a sweep's results, whole or not."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run

FOLDER = Path(__file__).parent.parent / "examples" / "reproduce"
KIM_WOO = """
[profiles.tiny]
dataset = [{name = "digits", data = "digits", model = "convnet", epochs = 2, stage2 = 1, samples = "--fraction 1"}]
share = [0.1]
percent = [0.1]
compared = [0.1]
measured = [0.1]
batch = [128]
seed = [0]
patience = "--max-epochs 200"
"""
LI_GHOSH = """
[profiles.tiny]
recipe = "--model convnet --optimizer adadelta --rate 1.0 --epochs 1"
seed = [0]
requests = [20]
optimizer = ["sgd", "adam", "adadelta"]
rate = [0.001]
size = [600]
of-class = [20]
learned = 10
replay = [1]
labels = [1]
"""


def draw(paper: str, folder: Path) -> str:
    """Run the script on ``results.json`` in ``folder``; return the Markdown it wrote."""
    script = [sys.executable, str(FOLDER / f"{paper}.py"), str(folder / "results.json"), "--out", str(folder)]
    subprocess.run(script, check=True, capture_output=True)
    return (folder / f"{paper}.md").read_text()


@pytest.mark.parametrize(("paper", "figure"), [("kim_woo", "kim-woo-figure-2.svg")])
def test_what_was_not_run_is_said_and_never_invented(paper: str, figure: str, tmp_path: Path) -> None:
    row = {"run": "original", "outcome": "not run", "parameters": {"dataset": "svhn"}, "metrics": {}}
    done = {"run": "stage2", "outcome": "done", "parameters": {"dataset": "mnist", "share": 0.1}, "cpu_seconds": 1.0}
    done["metrics"] = {"test_accuracy": 0.9}
    (tmp_path / "results.json").write_text(json.dumps({"rows": [row, done]}))
    text = draw(paper, tmp_path)
    assert "| svhn | 86.54 | 92.64 (0.32) | 89.18 (6.83) | not run | not run | not run |" in text
    assert "| mnist | 99.20 | 99.20 (0.03) | 98.89 (0.15) | not run | 90.00 | not run |" in text
    assert (tmp_path / figure).exists()


def test_a_data_set_at_an_image_size_stands_beside_the_papers_numbers_for_it(tmp_path: Path) -> None:
    sizes = [{"dataset": f"ham10000 {size}", "share": 0.1} for size in ("28×28", "64×64")]
    rows = [{"run": "stage2", "outcome": "done", "parameters": one, "metrics": {"test_accuracy": 0.7}} for one in sizes]
    (tmp_path / "results.json").write_text(json.dumps({"rows": [{**row, "cpu_seconds": 1.0} for row in rows]}))
    text = draw("kim_woo", tmp_path)
    for size in ("28×28", "64×64"):
        assert f"| ham10000 {size} | 72.25 | 74.39 (1.61) | 68.42 (1.64) |" in text
        assert f"| ham10000 {size} | 29 | 77.6 |" in text
        assert f"| ham10000 {size}: paper | 5.43 | 6.23 |" in text
        assert f"| ham10000 {size}: paper | 16 | 3689 |" in text


def test_every_number_of_the_papers_table_1_stands_beside_ours(tmp_path: Path) -> None:
    row = {"run": "original", "outcome": "done", "parameters": {}, "metrics": {"test_accuracy": 0.9}}
    (tmp_path / "results.json").write_text(json.dumps({"rows": [row]}))
    text = draw("li_ghosh", tmp_path)
    assert text.count("| paper: original | 99.02 | 99.00 | 99.02 |") == 2
    assert text.count("| original | 90.00 |") == 2
    assert [line.split(" | ")[1:4] for line in text.splitlines() if line.startswith("| paper: naive")] == [
        ["99.03", "99.00", "99.03"],
        ["99.14", "99.00", "99.13"],
    ]
    assert [line.split(" | ")[1:4] for line in text.splitlines() if line.startswith("| paper: relabeling")] == [
        ["99.02", "99.00", "99.02"],
        ["96.99", "97.67", "97.03"],
    ]


def test_tables_are_drawn_where_no_run_has_ended_yet(tmp_path: Path) -> None:
    row = {"run": "original", "outcome": "not run", "parameters": {"dataset": "mnist"}, "metrics": {}}
    (tmp_path / "results.json").write_text(json.dumps({"rows": [row]}))
    assert "| mnist | 99.20 |" in draw("kim_woo", tmp_path)


def test_table_3_has_shares_of_1_to_10_percent_and_their_gap(tmp_path: Path) -> None:
    def row(run: str, share: float, epoch: int) -> dict[str, object]:
        parameters = {"dataset": "mnist", "share": share}
        metrics = {"best_epoch": epoch, "test_accuracy": 0.9}
        return {"run": run, "outcome": "done", "parameters": parameters, "metrics": metrics, "cpu_seconds": 1.0}

    rows = [row("stage2", 0.01, 4), row("stage2", 0.1, 8), row("scratch", 0.01, 30), row("scratch", 0.1, 40)]
    rows += [row("stage2", 0.005, 999), row("scratch", 0.005, 0)]
    (tmp_path / "results.json").write_text(json.dumps({"rows": rows}))
    assert "| mnist | 11.5 | 35.5 | 24 | 6.0 | 35.0 | 29.0 |" in draw("kim_woo", tmp_path)


def plan(paper: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a plan's variables, and its commands by name."""
    content = tomllib.loads((FOLDER / f"{paper}.toml").read_text())
    return content["variables"], {run["name"]: run["command"] for run in content["run"]}


def test_the_plan_trains_as_long_as_the_paper_and_stage_2_half_as_long() -> None:
    variables, commands = plan("kim_woo")
    epochs = {one["name"]: one["epochs"] for one in variables["dataset"]}
    assert {name for name, count in epochs.items() if count == 50} == {"mnist", "fashion-mnist", "svhn"}
    assert set(epochs.values()) == {50, 100}
    assert all(2 * one["stage2"] == one["epochs"] for one in variables["dataset"])
    assert not {"--optimizer", "--rate"} & set(commands["original"].split())  # Adam at 0.001, by default


def test_the_plan_has_the_papers_networks() -> None:
    models = {one["name"]: one["model"].split()[0] for one in plan("kim_woo")[0]["dataset"]}
    assert {name for name, model in models.items() if model == "convnet"} >= {"mnist", "fashion-mnist", "cifar10"}
    deep = {"cifar100", "svhn", "ham10000 28×28", "ham10000 64×64"}
    assert {name for name, model in models.items() if model == "resnet50"} == deep


def test_the_plan_has_the_papers_100_shares() -> None:
    variables, commands = plan("kim_woo")
    assert variables["share"] == [number / 1000 for number in range(1, 101)]
    assert commands["ids"].startswith("forget-ids {original} --fraction {share}")


def test_table_5_has_one_batch_size_for_all_shares() -> None:
    variables, commands = plan("kim_woo")
    assert variables["batch"] == [128, 32]
    assert "--stop zero --check epoch --batch-size {batch}" in commands["zero"]
    assert "--stop chance" in commands["stage1"]


def test_the_total_is_over_test_and_unlearned_samples(tmp_path: Path) -> None:
    made = {"outcome": "done", "cpu_seconds": 1.0}
    original = {"run": "original", "parameters": {}, "metrics": {"test_accuracy": 0.9}} | made
    metrics = {"test_accuracy": 0.8, "forget_accuracy": 0.2, "forget_accuracy_before": 1.0, "weight_change": 0.0}
    relabeled = {"run": "table", "parameters": {"size": 600, "setting": "x"}, "metrics": metrics} | made
    (tmp_path / "results.json").write_text(json.dumps({"rows": [original, relabeled]}))
    text = draw("li_ghosh", tmp_path).split("after 600 requests")[1]
    assert "| original | 90.00 | 100.00 | 90.57 |" in text
    assert "| x | 80.00 | 20.00 | 76.60 |" in text


def test_each_size_of_figure_1_starts_from_the_original() -> None:
    variables, commands = plan("li_ghosh")
    assert variables["requests"] == list(range(50, 401, 50))
    assert commands["figure"].startswith("relabel {original} --ids {ids} ")


def test_learning_and_unlearning_alternate() -> None:
    _, commands = plan("li_ghosh")
    model = "learner"
    for number in (1, 2, 3):
        assert commands[f"unlearned-{number}"].startswith(f"relabel {{{model}}} ")
        assert commands[f"learned-{number}"].startswith(f"train --from {{unlearned-{number}}} ")
        model = f"learned-{number}"


@pytest.mark.slow
@pytest.mark.parametrize(("paper", "profile"), [("kim_woo", KIM_WOO), ("li_ghosh", LI_GHOSH)])
def test_plan_runs_from_training_to_tables(paper: str, profile: str, forgetkit: Run, tmp_path: Path) -> None:
    text = (FOLDER / f"{paper}.toml").read_text().replace("--dataset mnist", "--dataset digits")
    text = text.replace("\n[[run]]", f"{profile}\n[[run]]", 1)
    (tmp_path / "plan.toml").write_text(text)
    assert forgetkit("sweep", "plan.toml", "--out", "out", "--profile", "tiny").code == 0
    text = draw(paper, tmp_path / "out").split("Table 3")[0].split("after 600 requests")[-1]
    assert not [line for line in text.splitlines() if "not run" in line and ": not reached" not in line]
