"""Nothing is ever chosen on the check half, or on references: spoil them, and every step ends bit for bit the same."""

from math import ceil
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

from forgetkit.cli import app as cli
from forgetkit.data.open import open_dataset
from forgetkit.files.header import read_record
from forgetkit.files.record import Record
from tests.conftest import Run
from tests.noise import TWINS

MACHINE = ("--threads", "1", "--precision", "float32", "-f")
RANDOM = "--ids-per-step 16 --batch-size 16 --utility-margin 0.2"
ASCEND = "--alpha 0.8 --batch-size 16 --ids-per-step 16 --epochs 20 --momentum 0.9 --utility-margin 0.2"
JOINT = "--optimizer sgd --momentum 0.9 --mix joint --ids-per-step 8 --replay 8 --forget-weight 1 --utility-margin 0.2"
STEPS = {
    "relabel": "relabel m.st -i ids.txt -o out.st",
    "relabel-bisect": "relabel m.st -i ids.txt --optimizer sgd --momentum 0.9 --utility-margin 0.2 -o out.st",
    "relabel-joint": f"relabel m.st -i ids.txt {JOINT} -o out.st",
    "random-labels": f"random-labels m.st -i ids.txt {RANDOM} -o out.st",
    "random-labels-contrast": f"random-labels m.st -i ids.txt {RANDOM} --targets contrast -o out.st",
    "random-labels-joint": f"random-labels m.st -i ids.txt {RANDOM} --mix joint --forget-weight 1 -o out.st",
    "relabel-joint-rehearsed": f"relabel m.st -i few.txt {JOINT} -o out.st",
    "relabel-rehearsed": "relabel m.st -i few.txt --replay 1 --optimizer sgd --momentum 0.97 "
    "--utility-margin 0.2 -o out.st",
    "neutralize": "neutralize m.st -i ids.txt --utility-margin 0.2 -o out.st",
    "neutralize-rehearsed": "neutralize m.st -i few.txt --utility-margin 0.2 -o out.st",
    "finetune": "finetune m.st -i ids.txt --rate 0.1 --epochs 20 --batch-size 16 --l1 0.003 --utility-margin 0.2 "
    "-o out.st",
    "ascend": f"ascend m.st -i ids.txt {ASCEND} -o out.st",
    "ascend-rehearsed": f"ascend m.st -i few.txt {ASCEND} -o out.st",
    "scrub": "scrub m.st -i ids.txt --epochs 6 --rate 0.006 --batch-size 32 --ids-per-step 16 --utility-margin 0.2 "
    "-o out.st",
    "scrub-rewind": "scrub m.st -i ids.txt --stop rewind --epochs 4 --rate 0.002 --batch-size 32 -o out.st",
    "badteach": "badteach m.st -i ids.txt --rate 0.003 --epochs 20 --batch-size 16 --utility-margin 0.2 -o out.st",
    "reset": "reset m.st -i ids.txt --rate 0.01 --utility-margin 0.2 -o out.st",
    "reset-msg": "reset m.st -i ids.txt --kind msg --share 0.9 --rate 0.05 --momentum 0.9 --batch-size 16 "
    "--utility-margin 0.2 -o out.st",
    "distill": "distill m.st --teacher m.st --forget-teacher proxy.st -i ids.txt --steps 400 --rate 0.05 "
    "--utility-margin 0.2 -o out.st",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a folder for each twin, with ``m.st``, ``proxy.st`` (without ids.txt) and lists."""
    found = {}
    for twin in TWINS:
        folder = found[twin] = tmp_path_factory.mktemp(twin)
        (folder / "ids.txt").write_text("".join(f"{row}\n" for row in range(120)))
        (folder / "few.txt").write_text("".join(f"{row}\n" for row in range(20)))
        for command in (
            f"train --dataset {twin} --epochs 60 --rate 0.003 -o m.st",
            "train --like m.st --exclude ids.txt --epochs 4 -o proxy.st",
            "train --like m.st --exclude ids.txt --epochs 1 -o other.st",
        ):
            words = [str(folder / word) if word.endswith((".st", ".txt")) else word for word in command.split()]
            assert cli.run([*words, *MACHINE, "-q"]) == 0
    return found


def end(forgetkit: Run, folder: Path, command: str) -> Record:
    """Run a step on copies of a folder's files; return the record of ``out.st``."""
    for path in folder.iterdir():
        copy(path, path.name)
    Path("out.st").unlink(missing_ok=True)
    ran = forgetkit(*command.split(), *MACHINE)
    assert (ran.code, ran.lines) == (0, ["out.st"]), ran.err
    return read_record(Path("out.st"))


def chosen(record: Record) -> dict[str, Any]:
    """Return what a step chose, and by which evaluations."""
    step = record.steps[-1]
    names = ("trials", "looks", "look", "steps", "judged", "sharpness", "epoch", "error_gap")
    return {**step.options, **{name: step.metrics.get(name) for name in names}}


def test_the_twins_differ_in_the_check_half_alone(folders: dict[str, Path]) -> None:
    one, other = (open_dataset(twin, Path()) for twin in TWINS)
    assert one.fingerprint != other.fingerprint
    check, tune = one.check_rows, one.tune_rows
    assert (one.test.images[check] != other.test.images[check]).all()
    assert (one.test.labels[check] != other.test.labels[check]).all()
    assert (one.test.images[tune] == other.test.images[tune]).all()
    assert (one.train.images == other.train.images).all()
    first, second = (read_record(folders[twin] / "m.st") for twin in TWINS)
    assert first.digest == second.digest
    assert first.steps[0].metrics["test_accuracy"] != second.steps[0].metrics["test_accuracy"]


@pytest.mark.parametrize("step", STEPS)
def test_no_step_looks_at_the_check_half(forgetkit: Run, folders: dict[str, Path], step: str) -> None:
    one, other = (end(forgetkit, folders[twin], STEPS[step]) for twin in TWINS)
    assert one.digest == other.digest != read_record(folders[TWINS[0]] / "m.st").digest
    assert chosen(one) == {**chosen(other), **{k: v for k, v in chosen(one).items() if k.endswith("teacher")}}
    assert any(chosen(one)[name] is not None for name in ("trials", "looks", "look", "error_gap"))


def test_passes_in_turn_overshoot_and_take_all_epochs(forgetkit: Run, folders: dict[str, Path]) -> None:
    record = end(forgetkit, folders[TWINS[0]], f"{STEPS['random-labels']} --rate 0.03")
    looks, retained = record.steps[-1].metrics["looks"], open_dataset(TWINS[0], Path()).train.labels.size - 120
    assert min(look["gap"] for look in looks[:-1]) < 0
    assert looks[-1]["step"] == 10 * (ceil(120 / 16) + ceil(retained / 16))


def test_forget_refuses_by_the_tune_half_alone(forgetkit: Run, folders: dict[str, Path]) -> None:
    one, other = (end(forgetkit, folders[twin], "forget m.st -i ids.txt -o out.st") for twin in TWINS)
    assert one.digest == other.digest
    attempts = [record.steps[-1].metrics["attempts"] for record in (one, other)]
    assert attempts[0] == attempts[1]
    assert attempts[0][0]["cost"] > 0


def test_references_judge_and_choose_nothing(forgetkit: Run, folders: dict[str, Path]) -> None:
    folder, command = folders[TWINS[0]], "relabel m.st -i ids.txt --max-divergence 2 --reference {}.st -o out.st"
    one, other = (end(forgetkit, folder, command.format(name)) for name in ("proxy", "other"))
    assert one.digest == other.digest == end(forgetkit, folder, STEPS["relabel"]).digest
    assert one.steps[-1].metrics["divergence"] != other.steps[-1].metrics["divergence"]
    assert one.steps[-1].metrics["trials"] == other.steps[-1].metrics["trials"]
