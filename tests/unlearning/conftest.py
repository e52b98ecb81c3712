"""Models of digits with shadow models, before and after 65 ids are forgotten."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from forgetkit.cli import app as cli


def call(*arguments: object) -> None:
    assert cli.run([*map(str, arguments), "-q"]) == 0


@pytest.fixture(scope="session")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``m.st``, trained on digits for 12 epochs, 4 shadow models and ``ids.txt``, by rows."""
    folder = tmp_path_factory.mktemp("before")
    call("train", "--dataset", "digits", "--epochs", 12, "--shadows", 4, "-o", folder / "m.st")
    asked = np.random.default_rng(0).choice(1297, 65, replace=False)
    (folder / "ids.txt").write_text("".join(f"{row}\n" for row in sorted(asked)))
    return folder


@pytest.fixture(scope="session")
def after(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the model and its shadow models have forgotten the ids."""
    folder = tmp_path_factory.mktemp("after") / "folder"
    copytree(before, folder)
    call("forget", folder / "m.st", "-i", folder / "ids.txt", "--otherwise", "stop")
    return folder


@pytest.fixture(scope="session")
def retrained(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the shadow models were retrained without the ids."""
    folder = tmp_path_factory.mktemp("retrained") / "folder"
    copytree(before, folder)
    call("shadows", "refresh", folder / "m.shadows", "-i", folder / "ids.txt", "--exactly")
    return folder


@pytest.fixture
def shadowed(before: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what there was before."""
    copytree(before, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def forgotten(after: Path, tmp_path: Path) -> Path:
    """Return ``tmp_path`` with what there was after."""
    copytree(after, tmp_path, dirs_exist_ok=True)
    return tmp_path
