"""A sweep: each run is made once, a failed one is named, and a rerun makes only what is missing."""

import csv
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Run

TWELVE = """
[variables]
count = [30, 40, 50, 60, 70]
rate = [0.1]
[[run]]
name = "original"
command = "train --dataset digits --epochs 1"
[[run]]
name = "ids"
command = "forget-ids {original} --count {count}"
[[run]]
name = "forgotten"
command = "relabel {original} --ids {ids} --rate {rate} --plugin killer.py"
[[run]]
name = "wrong"
command = "forget-ids {original} --class eleven"
"""
PLUGIN = """
from forgetkit import register_dataset

@register_dataset
def nothing(root, *, download):
    raise FileNotFoundError
"""
KILLER = f"""
import multiprocessing, os, signal
from pathlib import Path
{PLUGIN}
mark = Path("marks") / multiprocessing.current_process().name
if len(list(mark.parent.iterdir())) < 2 and not mark.exists():
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
TINY = """
[variables]
seed = [0, 1]
share = [0.05, 0.1]
[profiles.quick]
seed = [0]
[[run]]
name = "ids"
command = "forget-ids --dataset digits --fraction {share} --seed {seed}"
[[run]]
name = "fewer"
command = "forget-ids --dataset digits --ids {ids} --count 9"
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Return ``plan.toml``: eight runs that draw ids."""
    path = tmp_path / "plan.toml"
    path.write_text(TINY)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_two_killed_and_one_failing_of_twelve_runs_give_eleven_results(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(TWELVE)
    (tmp_path / "killer.py").write_text(KILLER)
    (tmp_path / "marks").mkdir()
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--json")
    table = rows(tmp_path / "out" / "results.csv")
    assert (ran.code, len(table)) == (1, 12)
    assert ran.err.count("killed by signal 9; trying again") == 2
    assert [row["run"] for row in table if row["outcome"] != "done"] == ["wrong"]
    assert [failed["run"] for failed in ran.json["failed"]] == ["wrong"]
    assert "'eleven'" in ran.json["failed"][0]["error"]
    again = forgetkit("sweep", "plan.toml", "--out", "out", "--json")
    assert (again.code, again.json["metrics"]["fresh"]) == (1, 1)
    assert rows(tmp_path / "out" / "results.csv")[:11] == table[:11]


def test_run_that_is_killed_every_time_is_named_and_what_needs_it_is_skipped(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "killer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    text = TINY.replace("--dataset digits --fraction", "--dataset digits --plugin killer.py --fraction")
    (tmp_path / "plan.toml").write_text(text)
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--quick", "--json")
    assert ran.code == 1
    assert ran.json["metrics"] == {"runs": 4, "fresh": 2, "failed": 2, "skipped": 2}
    (tmp_path / "killer.py").write_text(PLUGIN)
    assert forgetkit("sweep", "plan.toml", "--out", "out", "--quick").code == 0


def test_rerun_runs_nothing_and_writes_the_same_bytes(forgetkit: Run, plan: Path) -> None:
    assert forgetkit("sweep", plan, "--out", "out", "--jobs", "2").code == 0
    before = Path("out/results.json").read_bytes(), Path("out/results.csv").read_bytes()
    ran = forgetkit("sweep", plan, "--out", "out", "--json")
    assert (ran.code, ran.json["metrics"]) == (0, {"runs": 8, "fresh": 0, "done": 8})
    assert (Path("out/results.json").read_bytes(), Path("out/results.csv").read_bytes()) == before


def test_commands_of_the_table_make_the_same_files(forgetkit: Run, plan: Path) -> None:
    forgetkit("sweep", plan, "--out", "out", "--quick")
    found = json.loads(Path("out/results.json").read_text())["rows"]
    path = Path(found[-1]["command"].split()[-1])
    content = path.read_bytes()
    path.unlink()
    assert forgetkit(*found[-1]["command"].split()[1:]).code == 0
    assert path.read_bytes() == content


def test_union_of_shards_is_the_whole_and_their_intersections_are_empty(forgetkit: Run, plan: Path) -> None:
    found = []
    for number in (1, 2, 3):
        assert forgetkit("sweep", plan, "--out", "out", "--shard", f"{number}/3").code == 0
        found += [row["address"] for row in rows(Path(f"out/results.{number}-of-3.csv"))]
    ran = forgetkit("sweep", plan, "--out", "out", "--json")
    assert ran.json["metrics"]["fresh"] == 0
    assert sorted(found) == sorted(row["address"] for row in rows(Path("out/results.csv")))
    assert len(set(found)) == 8


def test_dry_run_says_each_command_and_writes_nothing(forgetkit: Run, plan: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ran = forgetkit("sweep", plan, "--out", "out", "-n")
    assert (ran.code, ran.out) == (0, "")
    assert sum(line.startswith("forgetkit forget-ids") for line in ran.err.splitlines()) == 8
    assert "8 runs, 8 missing" in ran.err
    assert sorted(tmp_path.rglob("*")) == before


def test_data_that_are_not_here_are_not_run_and_no_failure(forgetkit: Run, plan: Path, tmp_path: Path) -> None:
    text = TINY.replace("--dataset digits --fraction", "--dataset {data} --data-root none --fraction")
    plan.write_text(text.replace("seed = [0, 1]", 'seed = [0]\ndata = ["digits", "mnist"]', 1))
    plan.write_text(plan.read_text().replace("--dataset digits --ids", "--dataset {data} --data-root none --ids"))
    ran = forgetkit("sweep", plan, "--out", "out", "--json")
    assert (ran.code, ran.json["metrics"]["not run"], ran.json["metrics"]["done"]) == (0, 4, 4)
    assert "4 runs were not run: mnist is not in none" in ran.err


def test_step_that_does_not_reach_its_goal_is_a_result(forgetkit: Run, tmp_path: Path, model: Path, ids: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        '[[run]]\nname = "zero"\ncommand = "neutralize model.st --ids ids.txt --stop zero --max-epochs 1 --rate 1e-9"\n'
        '[[run]]\nname = "after"\ncommand = "audit {zero}"\n'
    )
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--json")
    assert (ran.code, ran.json["metrics"]) == (0, {"runs": 2, "fresh": 1, "not reached": 1, "skipped": 1})
    assert forgetkit("sweep", "plan.toml", "--out", "out", "--json").json["metrics"]["fresh"] == 0


def test_verdict_of_an_audit_is_a_result(forgetkit: Run, tmp_path: Path, model: Path, ids: Path) -> None:
    text = '[[run]]\nname = "judged"\ncommand = "audit model.st --ids ids.txt --original model.st"\n'
    (tmp_path / "plan.toml").write_text(text)
    assert forgetkit("sweep", "plan.toml", "--out", "out").code == 0
    row = rows(tmp_path / "out" / "results.csv")[0]
    assert row["outcome"] == "done"
    assert row["verdict"]
    assert float(row["checks.membership.interval.low"]) <= float(row["checks.membership.statistic"])


def test_file_that_changed_is_another_run(forgetkit: Run, tmp_path: Path, model: Path, ids: Path) -> None:
    text = '[[run]]\nname = "ids"\ncommand = "forget-ids model.st --ids ids.txt"\n'
    (tmp_path / "plan.toml").write_text(text)
    forgetkit("sweep", "plan.toml", "--out", "out")
    ids.write_text("1\n2\n")
    ran = forgetkit("sweep", "plan.toml", "--out", "out", "--json")
    assert ran.json["metrics"]["fresh"] == 1
    assert rows(tmp_path / "out" / "results.csv")[0]["count"] == "2"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_folder_that_takes_no_file_is_refused(forgetkit: Run, plan: Path, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    ran = forgetkit("sweep", plan, "--out", "shut/out", "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-unwritable")


def test_interrupt_ends_the_runs_and_leaves_nothing_that_counts(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[[run]]\nname = "long"\ncommand = "train --dataset digits --epochs 9999"\n')
    words = [sys.executable, "-m", "forgetkit", "sweep", "plan.toml", "--out", "out", "-q"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (begun := list(tmp_path.glob("out/runs/*/log.txt"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out, len(begun)) == (130, b"", 1)
    assert not (begun[0].parent / "result.json").exists()
    with begun[0].parent.with_name(f"{begun[0].parent.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it: the run has ended
