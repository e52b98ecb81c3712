"""Cores that a process may use; freed memory is kept in forgetkit's own processes, and nowhere else."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from forgetkit.processes import cpu_quota

SCRIPT = """
import sys
from forgetkit import processes
from forgetkit.cli import app as cli

asked = []
def mallopt(setting, value):
    asked.append((setting, value))
    return 1

processes._mallopt = lambda: {mallopt}
sys.argv[1:] = {arguments!r}
try:
    {run}
finally:
    print(asked)
"""
TRAIN = ["train", "--dataset", "digits", "--epochs", "1", "-q", "-o", "model.st"]


def grouped(root: Path, files: dict[str, str]) -> Path:
    """Return the mounted root of control groups with these files."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


def test_the_quota_of_a_group_and_of_those_above_it_counts(tmp_path: Path) -> None:
    root = grouped(tmp_path, {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000", "cpu.max": "400000 100000"})
    assert cpu_quota("0::/a/b\n", root) == 1.5
    assert cpu_quota("0::/elsewhere/c\n", root) == 4  # a group that the container does not see
    assert cpu_quota("0::/\n", root / "a" / "b") == math.inf


def test_the_quota_of_version_1_counts(tmp_path: Path) -> None:
    limited = {"cpu,cpuacct/d/cpu.cfs_quota_us": "50000", "cpu,cpuacct/d/cpu.cfs_period_us": "100000"}
    free = {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}
    root = grouped(tmp_path, limited | free)
    assert cpu_quota("9:cpuset:/d\n4:cpu,cpuacct:/d\n1:name=systemd:/d\n0::/\n", root) == 0.5
    assert cpu_quota("4:cpu,cpuacct:/\n", root) == math.inf
    assert cpu_quota("", root) == math.inf


def asked_of_malloc(folder: Path, *, mallopt: str = "mallopt", run: str = "cli.main()", **variables: str) -> str:
    """Return what a training, as a process of its own, set of the allocator."""
    script = SCRIPT.format(mallopt=mallopt, run=run, arguments=TRAIN)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, cwd=folder, env=environment | variables, capture_output=True, text=True, check=True)
    assert (folder / "model.st").is_file()
    return ran.stdout.splitlines()[-1]


def test_a_command_keeps_freed_memory(tmp_path: Path) -> None:
    assert asked_of_malloc(tmp_path) == str([(-3, 1 << 30), (-1, (1 << 31) - 1)])


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_an_allocator_that_the_environment_sets_is_left_alone(tmp_path: Path, name: str) -> None:
    assert asked_of_malloc(tmp_path, **{name: ""}) == "[]"


def test_a_c_library_without_mallopt_trains_too(tmp_path: Path) -> None:
    assert asked_of_malloc(tmp_path, mallopt="None") == "[]"


def test_the_library_leaves_the_allocator_of_its_caller_alone(tmp_path: Path) -> None:
    run = "from forgetkit.training.train import train; train('digits', out='model.st', epochs=1)"
    assert asked_of_malloc(tmp_path, run=run) == "[]"


def test_kept_memory_does_not_change_a_byte(tmp_path: Path) -> None:
    contents = []
    for variables in ({}, {"GLIBC_TUNABLES": ""}):
        command = [sys.executable, "-m", "forgetkit", *TRAIN]
        subprocess.run(command, cwd=tmp_path, env=os.environ | variables, check=True)
        contents.append((tmp_path / "model.st").read_bytes())
        (tmp_path / "model.st").unlink()
    assert contents[0] == contents[1]
