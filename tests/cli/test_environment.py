"""Containers, clusters, other users: what the environment of a command may lack or contain."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forgetkit.cli.app import command_line
from forgetkit.cli.option_groups import PATHS
from forgetkit.data.cache import user_folder
from tests.conftest import Run


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the home folder and all that names another place; without a passwd entry, Python returns ``~`` too."""
    monkeypatch.setenv("HOME", "~")
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "FORGETKIT_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_home")
def test_without_a_home_folder_all_works_but_the_cache(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    assert forgetkit("forget-ids", model, "--count", 3, "-o", "ids.txt").code == 0
    assert forgetkit("train", "--dataset", "digits", "--epochs", 1, "-o", "new.st").code == 0
    assert forgetkit("data", "info").code == 0
    found = {one["name"]: one["found"] for one in forgetkit("doctor", "--json").json["findings"]}
    assert "XDG_CACHE_HOME" in found["cache"]
    assert {path.name for path in tmp_path.iterdir()} == {"model.st", "ids.txt", "new.st"}


@pytest.mark.usefixtures("no_home")
def test_without_a_home_folder_a_missing_data_set_names_the_variable(forgetkit: Run) -> None:
    ran = forgetkit("train", "--dataset", "mnist", "-o", "new.st")
    assert ran.code == 2
    assert "FORGETKIT_DATA" in ran.err.splitlines()[-1]


@pytest.mark.parametrize(("given", "folder"), [("/c", "/c/forgetkit"), ("c", "/h/.cache/forgetkit"), ("", None)])
def test_a_relative_base_folder_is_ignored(given: str, folder: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_folder("XDG_CACHE_HOME", ".cache") == Path(folder or "/h/.cache/forgetkit")


def test_every_path_may_begin_with_the_home_folder(
    forgetkit: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "seven.txt").write_text("7\n")
    monkeypatch.setenv("FORGETKIT_DATA", "~/data")
    assert forgetkit("forget-ids", "~/model.st", "--ids=~/seven.txt", "--out=~/ids.txt").lines == [
        str(tmp_path / "ids.txt")
    ]
    assert f"{tmp_path}/data does not exist" in forgetkit("doctor").out
    assert {path.name for path in tmp_path.iterdir()} == {"model.st", "seven.txt", "ids.txt"}


def test_every_placeholder_of_a_path_is_known_as_one() -> None:
    commands = [*command_line().commands.values()]
    commands += [one for group in commands for one in getattr(group, "commands", {}).values()]
    found = {str(one.metavar) for command in commands for one in command.params}
    of_paths = {name for name in found if any(word in name for word in ("FILE", "DIR", "FOLDER", "CHECKPOINT", "PATH"))}
    assert of_paths - PATHS == {"COLUMN=FILE"}
    assert found >= PATHS, PATHS - found


def test_a_file_of_values_may_be_in_the_home_folder(
    forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "users.csv").write_text("id,user\n" + "".join(f"{row},u{row % 9}\n" for row in range(1297)))
    (tmp_path / "gone.txt").write_text("u3\n")
    table = "--attributes=~/users.csv"
    ran = forgetkit("forget-ids", "--dataset", "digits", table, "--where-file", "user=~/gone.txt", "--count", 2)
    assert [int(line) % 9 for line in ran.lines] == [3, 3]


LATIN_1 = os.fsdecode(b"M\xfcller")
"""A name in Latin-1, as Python shows it where names are UTF-8."""


@pytest.fixture
def mueller(tmp_path: Path, model: Path) -> Path:
    """Return a folder whose name is not UTF-8, with a checkpoint and a small data set."""
    folder = tmp_path / LATIN_1
    folder.mkdir()
    model.rename(folder / "model.st")
    images = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 1), dtype=np.uint8)
    np.savez(folder / "tiny.npz", images=images, labels=np.arange(40) % 4)
    return folder


def test_a_path_that_is_not_utf_8_is_read_and_written(forgetkit: Run, mueller: Path) -> None:
    (mueller / "ids.txt").write_text("3\n4\n5\n")
    step = ("--ids", mueller / "ids.txt", "--rate", 1e-6, "--allow-unforgotten", "--keep-optimizer")
    ran = forgetkit("relabel", mueller / "model.st", *step, "--json")
    assert ran.json["outputs"] == [str(mueller / "model.relabel.st")]
    reports = ("--html", mueller / "a.html", "--junit", mueller / "a.xml", "--summary", mueller / "a.md")
    audited = forgetkit("audit", mueller / "model.relabel.st", "--original", mueller / "model.st", *reports)
    assert audited.code in {1, 3}, audited.err
    assert {"a.html", "a.xml", "a.md", "model.relabel.optimizer.st"} <= {path.name for path in mueller.iterdir()}


def test_data_in_a_folder_that_is_not_utf_8_are_found_again(forgetkit: Run, mueller: Path, tmp_path: Path) -> None:
    name = f"arrays:{mueller}/tiny.npz"
    assert forgetkit("train", "--dataset", name, "--epochs", 1, "-o", tmp_path / "new.st").code == 0
    assert len(forgetkit("forget-ids", tmp_path / "new.st", "--count", 2).lines) == 2


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [("--dataset", f"arrays:{LATIN_1}.npz", "dataset-malformed"), ("--model-option", f"a={LATIN_1}", "usage")],
)
def test_what_a_record_cannot_hold_is_refused_first(
    forgetkit: Run, tmp_path: Path, option: str, value: str, code: str
) -> None:
    np.savez(tmp_path / f"{LATIN_1}.npz", images=np.zeros((40, 8, 8), np.uint8), labels=np.arange(40) % 4)
    ran = forgetkit("train", "--dataset", "digits", option, value, "-o", "new.st", "--json")
    assert (ran.code, ran.json["code"]) == (2, code)
    assert "is not UTF-8" in ran.json["message"]


def test_names_are_taken_as_they_are_in_any_locale(mueller: Path, tmp_path: Path) -> None:
    (tmp_path / "ü").mkdir()
    (mueller / "model.st").rename(tmp_path / "ü" / "model.st")
    command = [
        sys.executable,
        "-m",
        "forgetkit",
        "forget-ids",
        "ü/model.st",
        "--count",
        "1",
        "-o",
        "ü/ä.txt",
    ]
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(command, cwd=tmp_path, env=ascii_only, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.decode() == "ü/ä.txt\n"
    assert (tmp_path / "ü" / "ä.txt").exists()
