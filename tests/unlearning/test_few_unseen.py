"""A data set whose unseen split is too small to judge by: no step fails after its work, and none passes unjudged."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from forgetkit.cli import app as cli
from forgetkit.data.dataset import _check_half
from forgetkit.files.header import read_record
from tests.conftest import Ran, Run

ROWS = 16


def named(count: int, *, check: bool) -> list[str]:
    """Return ids that fall into the check half, or into the tune half."""
    names = [f"u{number}" for number in range(100)]
    return [name for name, of in zip(names, _check_half(names), strict=True) if of == check][:count]


@pytest.fixture(scope="module", params=[(1, 3), (1, 0), (0, 1)], ids="tune {0[0]}, check {0[1]}".format)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, int]]:
    """Write a data set with so few unseen samples in each half, and models of it; return the folder, and how many."""
    (tune, check), folder = request.param, tmp_path_factory.mktemp("few")
    unseen = named(tune, check=False) + named(check, check=True)
    labels = np.arange(ROWS + len(unseen)) % 2
    images = np.random.default_rng(0).integers(100, size=(len(labels), 8, 8)) + 100 * labels[:, None, None]
    split = np.arange(len(labels)) >= ROWS
    ids = [f"t{row}" for row in range(ROWS)] + unseen
    np.savez(folder / "few.npz", images=images.astype(np.uint8), labels=labels, split=split, id=ids)
    (folder / "ids.txt").write_text("t0\nt1\nt2\n")
    how = ["--epochs", "2", "--batch-size", "8", "--threads", "1", "-q"]
    data = ["--dataset", "arrays:few.npz", "--data-root", str(folder)]
    assert cli.run(["train", *data, *how, "-o", str(folder / "m.st")]) == 0
    like = ["train", "--like", str(folder / "m.st"), "--exclude", str(folder / "ids.txt"), "--threads", "1", "-q"]
    for seed in ("1", "2"):
        assert cli.run([*like, "--seed", seed, "-o", str(folder / f"{seed}.st")]) == 0
    return folder, (tune, check)


@pytest.fixture
def halves(made: tuple[Path, tuple[int, int]], tmp_path: Path) -> tuple[int, int]:
    """Copy what was made into ``tmp_path``; return how many samples are in each half."""
    copytree(made[0], tmp_path, dirs_exist_ok=True)
    return made[1]


def forget(forgetkit: Run, words: str) -> Ran:
    command, *more = words.split()
    return forgetkit(command, "m.st", "-i", "ids.txt", *more, "-o", "out.st", "--json", "-f")


@pytest.mark.parametrize("words", ["relabel --rate 0.01", "neutralize --stop chance", "distill --teacher m.st"])
def test_a_published_step_writes_what_it_can_measure(forgetkit: Run, halves: tuple[int, int], words: str) -> None:
    ran = forget(forgetkit, words)
    assert ran.code == 0, ran.err
    assert read_record(Path("out.st")).steps[-1].metrics["tune_phi_sd"] is None


@pytest.mark.parametrize(
    "words", ["relabel", "neutralize", "finetune", "scrub", "distill --teacher m.st --forget-teacher 1.st"]
)
def test_without_a_tune_half_no_setting_is_chosen(forgetkit: Run, halves: tuple[int, int], words: str) -> None:
    ran = forget(forgetkit, words)
    assert ran.code in {0, 1}, ran.err
    if halves[0] == 0:
        assert (ran.code, ran.json["code"]) == (1, "not-reached")
        assert "the tune half has no sample of the ids' classes" in ran.json["message"]
        assert not Path("out.st").exists()


def test_then_forget_retrains(forgetkit: Run, halves: tuple[int, int]) -> None:
    ran = forget(forgetkit, "forget")
    assert ran.code == 0, ran.err
    if halves[0] == 0:
        assert [entry["code"] for entry in ran.json["warnings"]] == ["retraining"]


def test_an_audit_without_a_check_half_is_inconclusive(forgetkit: Run, halves: tuple[int, int]) -> None:
    assert forget(forgetkit, "relabel --rate 0.000001").code == 0
    audit = ("audit", "out.st", "--original", "m.st", "--reference", "1.st", "--reference", "2.st", "--json")
    ran = forgetkit(*audit)
    assert (ran.code, ran.json["verdict"]) == (3, "inconclusive"), ran.err
    checks = {check["id"] for check in ran.json["checks"]}
    assert ("per-id" in checks) == ("per-id-calibrated" in checks) == (halves[1] > 0)
