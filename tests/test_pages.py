"""What the pages tell to type can be typed: each shell block runs, in order, in an empty folder beside the examples."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import excuses, script, unprinted

ROOT = Path(__file__).parent.parent
HOWTO = [f"docs/howto/{path.name}" for path in sorted((ROOT / "docs" / "howto").glob("*.md"))]
PAGES = ["README.md", "docs/quickstart.md", "docs/tutorial.md", *HOWTO]
EXAMPLES = ["forget_class.sh", "forget_person.sh", "stream.sh", "compare_methods.sh", "ci_gate.sh"]


def run(command: list[str], folder: Path, forked: Path | None) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``, with forgetkit on the path: ``forked``, of one thread, or as a reader has it."""
    first = [str(forked)] if forked else []
    path = os.pathsep.join([*first, str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    if forked is None:
        environment = {name: value for name, value in environment.items() if not name.startswith("FORGETKIT_")}
        environment["FORGETKIT_DATA"] = os.environ.get("FORGETKIT_DATA", "")
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_blocks_are_joined_in_order_and_excused_only_with_a_reason() -> None:
    page = "a\n```sh\none\n```\n<!-- not run: it installs -->\n```sh\ntwo\n```\n<!-- not run: -->\n```sh\nthree\n```\n"
    assert script(page, "page.md") == "echo '# page.md:3' >&2\none\necho '# page.md:11' >&2\nthree\n"
    assert excuses(page) == ["it installs"]


def test_what_a_page_shows_was_printed_in_any_width_whatever_the_digests() -> None:
    page = "```text\n└─…  train without 60 ids:\n    seed=1\n```\n"
    assert unprinted(page, "  lineage\n  └─dcea0f5e  train without\n   60 ids: seed=1\n") == []
    assert unprinted(page, "  └─dcea0f5e  train without 30 ids: seed=1\n") == ["└─… train without 60 ids: seed=1"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_shell_blocks_of_a_page_run(
    page: str, tmp_path: Path, forked: Path, request: pytest.FixtureRequest
) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    if "make_scans.py" in text:
        request.getfixturevalue("mnist_root")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shows = "```text" in text  # the last digits depend on threads and precision
    ran = run(["sh", "-e", "-c", script(text, page)], tmp_path, None if shows else forked)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert unprinted(text, ran.stdout) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_a_short_pipeline_that_explains_itself(name: str) -> None:
    lines = (ROOT / "examples" / name).read_text().splitlines()
    assert len(lines) < 20
    assert lines[0] == "#!/bin/sh"
    assert lines[1].startswith("# ")


@pytest.mark.slow
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs(name: str, tmp_path: Path, forked: Path) -> None:
    ran = run(["sh", str(ROOT / "examples" / name)], tmp_path, forked)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert list(tmp_path.glob("*.st"))


@pytest.mark.slow
def test_the_quickstart_prints_what_its_page_shows_within_80_lines(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    wanted = f"{(tmp_path / 'pyproject.toml').read_text().rstrip()}\n{tmp_path}\n"
    (tmp_path / ".venv" / "forgetkit-set-up").write_text(wanted)
    ran = run(["sh", "-c", "COLUMNS=80 sh examples/quickstart.sh 2>&1"], tmp_path, None)
    assert ran.returncode == 0, ran.stdout
    assert len(ran.stdout.splitlines()) <= 80
    shown = (ROOT / "docs" / "quickstart.txt").read_text(encoding="utf-8")
    assert unprinted(f"```text\n{shown}```\n", ran.stdout) == []
