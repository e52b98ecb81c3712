"""A model that has forgotten ids, the report of its audit, and keys."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from forgetkit.attestation.attest import Attestation, attest
from forgetkit.cli import app as cli
from tests.attestation.evidence import passing, write_key

STEP = ["relabel", "model.st", "-i", "ids.txt", "--rate", "0.01", "--allow-unforgotten", "-q", "-o", "forgot.st"]


@pytest.fixture(scope="session")
def evidence(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``forgot.st``, its real ``open.json`` (inconclusive), ``passed.json`` and keys."""
    folder = tmp_path_factory.mktemp("evidence")
    shutil.copy(digits_model, folder / "model.st")
    (folder / "ids.txt").write_text("".join(f"{row}\n" for row in range(0, 650, 10)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.run(STEP) == 0
        with (folder / "open.json").open("w") as stream:
            patch.setattr("sys.stdout", stream)
            assert cli.run(["audit", "forgot.st", "--original", "model.st", "--json", "-q"]) == 3
    report = json.loads((folder / "open.json").read_text())
    (folder / "passed.json").write_text(json.dumps(passing(report)))
    write_key(folder, "key")
    write_key(folder, "other")
    return folder


@pytest.fixture
def folder(evidence: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder of one's own."""
    for path in evidence.iterdir():
        shutil.copy(path, tmp_path / path.name)
    return tmp_path


@pytest.fixture
def prepared(folder: Path) -> Attestation:
    """Return what would be signed of ``forgot.st``, with the verdict forgotten."""
    return attest(str(folder / "forgot.st"), folder / "passed.json", folder / "key.pem", ask=lambda: None)


@pytest.fixture
def content(prepared: Attestation) -> dict[str, Any]:
    """Return the statement."""
    found: dict[str, Any] = json.loads(prepared.payload)
    return found
