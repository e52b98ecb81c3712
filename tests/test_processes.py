"""Freed memory is kept in forgetkit's own processes, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
