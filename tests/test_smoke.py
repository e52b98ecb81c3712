from pathlib import Path

from tests.conftest import Run


def test_relabel_writes_beside_its_input(forgetkit: Run, model: Path, ids: Path) -> None:
    ran = forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1")
    assert (ran.code, ran.lines) == (0, ["model.relabel.st"])
