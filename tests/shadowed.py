"""What the tests of shadow models have in common: the commands, what is in a folder, and a disk that goes away."""

import json
from pathlib import Path
from typing import Any

import pytest

from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.files.record import Step
from forgetkit.training.outputs import Written
from forgetkit.training.shadows import Shadow, Shadows, open_shadows
from forgetkit.unlearning.refresh import Refresh
from tests.conftest import Ran

FORGET = ("forget", "m.st", "-i", "ids.txt", "--otherwise", "stop")
REFRESH = ("shadows", "refresh", "m.shadows", "-i", "ids.txt")


def ids() -> list[str]:
    return Path("ids.txt").read_text().split()


def opened(folder: str = "m.shadows") -> Shadows:
    return open_shadows(Path(folder))


def bytes_of(folder: str | Path = "m.shadows") -> dict[str, bytes]:
    """Return the content of every file below a folder, by its name there."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def last(path: str | Path) -> Step:
    return read_record(Path(path)).steps[-1]


def codes(ran: Ran) -> list[str]:
    return [entry["code"] for entry in ran.json["warnings"]]


def told(ran: Ran) -> dict[str, Any]:
    """Return the document of a command of ``shadows``."""
    content: dict[str, Any] = json.loads(ran.out)
    return content


def halt_after_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the disk go away when the second shadow model is to be replaced."""
    whole, done = Refresh._replace, list[Path]()

    def replace(self: Refresh, one: Shadow, written: Written) -> Written:
        if done:
            raise ForgetkitError("output-unwritable", f"{one.path}: the disk is gone")
        done.append(one.path)
        return whole(self, one, written)

    monkeypatch.setattr(Refresh, "_replace", replace)
