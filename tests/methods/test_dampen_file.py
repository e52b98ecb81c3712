"""The file of importances that ``dampen`` keeps and takes again."""

from pathlib import Path

import pytest

from forgetkit.files.header import read_record
from tests.conftest import Run


def test_a_kept_importance_dampens_as_a_fresh_one_does(forgetkit: Run, model: Path, ids: Path) -> None:
    step = ("dampen", "model.st", "-i", "ids.txt", "--alpha", "2")
    assert forgetkit(*step, "--importance-out", "importance.st", "-o", "one.st").code == 0
    assert forgetkit(*step, "--importance", "importance.st", "-o", "two.st").code == 0
    one, two = (read_record(Path(name)) for name in ("one.st", "two.st"))
    assert one.digest == two.digest != read_record(Path("model.st")).digest
    assert (one.steps[-1].options["importance"], two.steps[-1].options["importance"] is None) == (None, False)


def test_a_dry_run_takes_a_kept_importance(forgetkit: Run, model: Path, ids: Path) -> None:
    step = ("dampen", "model.st", "-i", "ids.txt")
    assert forgetkit(*step, "--importance-out", "importance.st", "-o", "one.st").code == 0
    assert forgetkit(*step, "--importance", "importance.st", "-o", "two.st", "-n").code == 0


@pytest.mark.parametrize("out", ["-o", "--importance-out"])
def test_it_is_never_replaced_by_the_command_that_reads_it(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, out: str
) -> None:
    step = ("dampen", "model.st", "-i", "ids.txt")
    assert forgetkit(*step, "--importance-out", "importance.st", "-o", "one.st").code == 0
    before = (tmp_path / "importance.st").read_bytes()
    ran = forgetkit(*step, "--alpha", "3", "--importance", "importance.st", out, "importance.st", "-f")
    assert (ran.code, ran.err.count("error: ")) == (2, 1)
    assert (tmp_path / "importance.st").read_bytes() == before
