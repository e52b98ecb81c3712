"""A mask, end to end: the weights outside it stay bit for bit, in every step that trains."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from forgetkit.cli import app as cli
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.methods import importance
from forgetkit.models.tensor_file import tensor_digest
from forgetkit.training.mask import METADATA, read_mask
from tests.conftest import Run

TRAIN = "train --from model.st --epochs 2"
SGD = "--optimizer sgd --rate 0.01 --momentum 0.9 --weight-decay 0.1"
STEPS = {
    "train sgd": f"{TRAIN} {SGD}",
    "train adam": f"{TRAIN} --optimizer adamw --rate 0.001 --weight-decay 0.1 --keep best",
    "train without": f"{TRAIN} {SGD} --exclude ids.txt --augment flip-crop --schedule cosine",
    "finetune": f"finetune model.st -i ids.txt --stop published --epochs 1 {SGD} --l1 0.001",
    "ascend": f"ascend model.st -i ids.txt --stop published --epochs 1 {SGD}",
    "scrub": f"scrub model.st -i ids.txt --stop published --epochs 1 {SGD}",
    "badteach": f"badteach model.st -i ids.txt --stop published {SGD}",
    "reset": f"reset model.st -i ids.txt --kind msg --stop published --epochs 1 {SGD}",
    "random-labels": f"random-labels model.st -i ids.txt --stop published --epochs 1 {SGD}",
    "relabel": "relabel model.st -i ids.txt --allow-unforgotten --rate 0.1 --optimizer sgd --momentum 0.9 "
    "--weight-decay 0.1",
    "neutralize": "neutralize model.st -i ids.txt --stop chance --optimizer sgd --rate 0.1 --momentum 0.9",
    "distill": f"distill model.st --teacher model.st -i ids.txt --epochs 1 {SGD}",
}


@pytest.fixture(autouse=True)
def mask(forgetkit: Run, model: Path, ids: Path) -> None:
    """Write ``mask.st``, half of the weights of ``model.st``."""
    assert forgetkit("mask", "model.st", "-i", "ids.txt", "-o", "mask.st", "-q").code == 0


@pytest.mark.parametrize("step", STEPS)
def test_weights_outside_the_mask_stay_under_momentum_and_weight_decay(forgetkit: Run, step: str) -> None:
    ran = forgetkit(*STEPS[step].split(), "--mask", "mask.st", "-o", "out.st", "-q")
    assert ran.code == 0, ran.err
    start, end, free = load_file("model.st"), load_file("out.st"), load_file("mask.st")
    assert start.keys() == end.keys() == free.keys()
    assert all(torch.equal(start[name][~of], end[name][~of]) for name, of in free.items())
    moved = sum(int((start[name] != end[name]).sum()) for name in free)
    assert moved > 0.9 * sum(int(of.sum()) for of in free.values())
    assert read_record(Path("out.st")).steps[-1].options["mask"] == tensor_digest(free)


def test_training_without_a_mask_moves_what_the_mask_would_keep(forgetkit: Run) -> None:
    assert forgetkit(*STEPS["train sgd"].split(), "-o", "out.st", "-q").code == 0
    start, end, free = load_file("model.st"), load_file("out.st"), load_file("mask.st")
    moved = sum(int((start[name] != end[name])[~of].sum()) for name, of in free.items())
    assert moved > 0.9 * sum(int((~of).sum()) for of in free.values())
    assert "mask" not in read_record(Path("out.st")).steps[-1].options


def test_momentum_that_is_kept_stays_outside_the_mask(forgetkit: Run) -> None:
    first = f"train --dataset digits --epochs 1 {SGD} --keep-optimizer -o base.st -q"
    assert forgetkit(*first.split()).code == 0
    more = f"train --from base.st --epochs 1 {SGD} --keep-optimizer --mask mask.st -o out.st -q"
    assert forgetkit(*more.split()).code == 0
    before, after = load_file("base.optimizer.st"), load_file("out.optimizer.st")
    free = load_file("mask.st")
    for row, name in enumerate(f"{layer}.{kind}" for layer in ("conv1", "conv2", "fc") for kind in ("weight", "bias")):
        key, of = f"{row}.momentum_buffer", free[name]
        assert torch.equal(before[key][~of], after[key][~of])
        assert not torch.equal(before[key], after[key])


def test_another_mask_is_another_training_and_the_same_one_is_up_to_date(forgetkit: Run) -> None:
    step = [*STEPS["train sgd"].split(), "-o", "out.st"]
    assert forgetkit(*step, "--mask", "mask.st").code == 0
    again = forgetkit(*step, "--mask", "mask.st", "--json")
    assert (again.code, again.json["up_to_date"]) == (0, True)
    assert forgetkit("mask", "model.st", "-i", "ids.txt", "--share", "0.2", "-o", "other.st").code == 0
    for more in ((), ("--mask", "other.st")):
        assert forgetkit(*step, *more, "--json").json["code"] == "output-exists"


def test_what_cannot_or_need_not_be_written_is_said_before_anything_is_computed(
    forgetkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(importance, "saliency", computed)
    again = forgetkit("mask", "model.st", "-i", "ids.txt", "-o", "mask.st", "--json")
    assert (again.code, again.json["up_to_date"]) == (0, True)
    other = forgetkit("mask", "model.st", "-i", "ids.txt", "--share", "0.2", "-o", "mask.st", "--json")
    assert (other.code, other.json["code"]) == (2, "output-exists")


def test_replicas_are_masked_as_single_runs_are(forgetkit: Run) -> None:
    step = [*STEPS["train sgd"].split(), "--mask", "mask.st", "--threads", "1"]
    assert forgetkit(*step, "--replicas", "2", "-o", "out-{n}.st").code == 0
    assert forgetkit(*step, "--seed", "1", "-o", "one.st").code == 0
    assert Path("out-1.st").read_bytes() == Path("one.st").read_bytes()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("train --dataset digits --mask mask.st -o out.st", "usage"),
        ("train --like model.st --mask mask.st -o out.st", "usage"),
        ("train --from model.st --mask nothing.st -o out.st", "checkpoint-missing"),
        ("train --from model.st --mask model.st -o out.st", "checkpoint-malformed"),
        ("train --from model.st --mask= -o out.st", "checkpoint-missing"),
        ("relabel model.st -i ids.txt --rate 0.1 --mask= -o out.st", "checkpoint-missing"),
        ("train --from model.st --mask ids.txt -o out.st", "checkpoint-malformed"),
        ("train --from model.st --mask mask.st -o mask.st -f", "output-unwritable"),
        ("train --from model.st --mask short.st -o out.st", "checkpoint-mismatch"),
        ("train --from model.st --mask short.st -o out.st -n", "checkpoint-mismatch"),
        ("relabel model.st -i ids.txt --rate 0.1 --mask short.st -o out.st -n", "checkpoint-mismatch"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_and_nothing_is_written(forgetkit: Run, change: str, code: str) -> None:
    save_file({"fc.bias": torch.ones(10, dtype=torch.bool)}, "short.st", metadata={METADATA: "{}"})
    kept = Path("mask.st").read_bytes()
    ran = forgetkit(*change.split(), "--json")
    assert (ran.code, ran.json["code"]) == (2, code), ran.err
    assert (Path("out.st").exists(), Path("mask.st").read_bytes()) == (False, kept)


def test_a_mask_that_was_replaced_meanwhile_is_refused(forgetkit: Run) -> None:
    found, digest = read_mask(Path("mask.st"))
    assert read_mask(Path("mask.st"), digest)[0].keys() == found.keys()
    assert cli.run(["mask", "model.st", "-i", "ids.txt", "--share", "0.1", "-o", "mask.st", "-f", "-q"]) == 0
    with pytest.raises(ForgetkitError, match="replaced meanwhile"):
        read_mask(Path("mask.st"), digest)
