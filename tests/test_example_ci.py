"""The workflow of examples/ci: its commands run as they stand, and its verdict decides."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree

import pytest

WORKFLOW = Path(__file__).parent.parent / "examples" / "ci" / "forget.yml"
STEP = re.compile(r"^ {6}- name: (?P<name>.+)\n(?P<body>(?:(?! {6}- | *#).*\n)*)", re.MULTILINE)
Shell = Callable[[str, Path], subprocess.CompletedProcess[str]]
RUN = re.compile(r"^ {8}run: (?:\|\n(?P<block>(?: {10}.*\n)+)|(?P<line>[^|\n]+)\n)", re.MULTILINE)


def scripts() -> dict[str, str]:
    """Return the shell commands of each named step, in order."""
    steps = {step["name"]: RUN.search(step["body"]) for step in STEP.finditer(WORKFLOW.read_text())}
    return {name: dedent(run["block"] or run["line"]) for name, run in steps.items() if run}


@pytest.fixture(scope="module")
def shell(forked: Path) -> Shell:
    """Return what runs commands as a job does."""
    return functools.partial(run, forked)


def run(forked: Path, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run commands in bash that stops at the first failure."""
    path = os.pathsep.join([str(forked), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def trained(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the job has trained."""
    folder = tmp_path_factory.mktemp("job")
    ran = shell(scripts()["Train"], folder)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_the_workflow_has_these_steps_and_no_others() -> None:
    assert list(scripts()) == ["Install", "Train", "Forget", "Audit"]


def test_every_line_of_a_run_block_is_found() -> None:
    found = "\n".join(scripts().values())
    assert WORKFLOW.read_text().count("forgetkit ") - found.count("forgetkit ") == 1  # the comment at the top


def test_the_job_forgets_and_keeps_its_reports(shell: Shell, trained: Path) -> None:
    for name in ("Forget", "Audit"):
        ran = shell(scripts()[name], trained)
        assert ran.returncode == 0, ran.stderr
    uploaded = re.findall(r"^ {12}(\S+)$", WORKFLOW.read_text(), re.MULTILINE)
    assert uploaded == ["audit.xml", "audit.html"]
    assert all((trained / name).stat().st_size > 0 for name in uploaded)
    assert "forgotten.st" in (trained / "summary.md").read_text()


def test_the_job_fails_on_a_model_that_did_not_forget(shell: Shell, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "model.st").write_bytes((trained / "model.st").read_bytes())
    too_weak = "forgetkit relabel model.st --ids ids.txt --rate 0.001 --allow-unforgotten --out forgotten.st"
    ran = shell(f"forgetkit forget-ids model.st --class 3 --out ids.txt\n{too_weak}", tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert shell(scripts()["Audit"], tmp_path).returncode == 1
    assert ElementTree.parse(tmp_path / "audit.xml").getroot().find(".//failure") is not None


def test_the_job_fails_where_there_is_nothing_to_audit(shell: Shell, tmp_path: Path) -> None:
    assert shell(scripts()["Audit"], tmp_path).returncode == 1  # of `test`, after exit 2
