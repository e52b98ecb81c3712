"""No step reads what it must not: excluded, forgotten and never trained samples, end to end."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from forgetkit.data.dataset import Split
from forgetkit.data.sources import DATASETS, Reader, Source, digits
from forgetkit.files.header import read_record
from forgetkit.files.record import Record
from forgetkit.models.build import ConvNet
from forgetkit.models.optimizer_state import load_optimizer
from forgetkit.training.optimizers import make_optimizer
from tests.conftest import Run

GONE, MORE, ONLY = range(60), range(60, 80), range(100, 220)
TWINS = ("plain", "spoiled")
"""Two data sets of 300 real digits; the samples GONE of the second one have other pixels and labels."""


def reader(*, spoiled: bool) -> Reader:
    """Return the reader of one of the twins."""

    def read(root: Path, *, download: bool) -> Source:
        whole = digits(root, download=download)
        images, labels = whole.train.images[:300].copy(), whole.train.labels[:300].copy()
        if spoiled:
            images[GONE] = np.random.default_rng(0).integers(100, 256, images[GONE].shape)
            labels[GONE] = (labels[GONE] + 1 + np.arange(60) % 9) % 10
        return Source(whole.classes, Split(whole.train.ids[:300], images, labels), whole.test)

    return read


@pytest.fixture(autouse=True)
def twins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the twins known, and write the lists gone.txt, more.txt and only.txt."""
    for twin in TWINS:
        monkeypatch.setitem(DATASETS._entries, twin, reader(spoiled=twin == "spoiled"))
    for name, rows in (("gone", GONE), ("more", MORE), ("only", ONLY)):
        (tmp_path / f"{name}.txt").write_text("".join(f"{row}\n" for row in rows))


def follow(forgetkit: Run, commands: Sequence[str], twin: str = "plain") -> Record:
    """Run commands, in which DATA is the twin's name, on nothing done before; return the last output's record."""
    for command in commands:
        target = Path(command.split()[-1])
        target.unlink(missing_ok=True)
        ran = forgetkit(*command.replace("DATA", twin).split(), "--threads", "1", "--precision", "float32", "-f")
        assert (ran.code, ran.lines) == (0, [str(target)]), ran.err
        assert "up to date" not in ran.err
    return read_record(target)


def ends(forgetkit: Run, *commands: str) -> list[str]:
    """Run the same commands on each twin; return the digests of the last output's tensors."""
    return [follow(forgetkit, commands, twin).digest for twin in TWINS]


TRAIN = "train --dataset DATA --epochs 1 --batch-size 32"
BASE = f"{TRAIN} --exclude gone.txt -o base.st"
PART = f"{TRAIN} --only only.txt -o part.st"
LATER = {
    "distill": "distill {base}.st --teacher {base}.st --epochs 2 -o out.st",
    "distill-ids": "distill {base}.st --teacher {base}.st --epochs 2 --ids {ids}.txt -o out.st",
    "distill-augmented": "distill {base}.st --teacher {base}.st --epochs 1 --augment flip-crop -o out.st",
    "distill-best": "distill {base}.st --teacher {base}.st --epochs 2 --keep best -o out.st",
    "from": "train --from {base}.st --epochs 1 -o out.st",
    "from-exclude": "train --from {base}.st --epochs 1 --exclude {ids}.txt -o out.st",
    "relabel": "relabel {base}.st --ids {ids}.txt --rate 0.01 --allow-unforgotten -o out.st",
    "relabel-replay": "relabel {base}.st --ids {ids}.txt --rate 0.01 --replay 5 --allow-unforgotten -o out.st",
    "relabel-auto": "relabel {base}.st --ids {ids}.txt --utility-margin 1 -o out.st",
    "relabel-joint": "relabel {base}.st --ids {ids}.txt --mix joint --ids-per-step 4 --replay 4 "
    "--forget-weight 4 --utility-margin 1 -o out.st",
    "random-labels": "random-labels {base}.st --ids {ids}.txt --targets any --rate 0.1 --stop published --epochs 1 "
    "-o out.st",
    "random-labels-unseen": "random-labels {base}.st --ids {ids}.txt --targets contrast --ids-per-step 4 "
    "--utility-margin 1 --rate 0.1 -o out.st",
    "random-labels-joint": "random-labels {base}.st --ids {ids}.txt --mix joint --targets contrast --rate 0.1 "
    "--stop published --epochs 1 -o out.st",
    "neutralize": "neutralize {base}.st --ids {ids}.txt --stop chance -o out.st",
    "neutralize-unseen": "neutralize {base}.st --ids {ids}.txt --utility-margin 1 -o out.st",
    "finetune": "finetune {base}.st --ids {ids}.txt --stop published --epochs 1 -o out.st",
    "ascend": "ascend {base}.st --ids {ids}.txt --stop published --epochs 1 -o out.st",
    "scrub": "scrub {base}.st --ids {ids}.txt --stop rewind --epochs 2 --away-epochs 1 -o out.st",
    "badteach": "badteach {base}.st --ids {ids}.txt --stop published -o out.st",
    "reset": "reset {base}.st --ids {ids}.txt --kind msg --stop published --epochs 1 -o out.st",
    "dampen": "dampen {base}.st --ids {ids}.txt --alpha 1 -o out.st",
    "like": "train --like {base}.st -o out.st",
    "like-exclude": "train --like {base}.st --exclude {ids}.txt -o out.st",
}


def test_the_twins_differ_where_nothing_is_left_out(forgetkit: Run) -> None:
    one, other = ends(forgetkit, f"{TRAIN} -o out.st")
    assert one != other


def test_the_twins_differ_where_the_spoiled_samples_are_relabeled(forgetkit: Run) -> None:
    relabel = "relabel base.st --ids gone.txt --rate 0.01 --allow-unforgotten -o out.st"
    one, other = ends(
        forgetkit, f"{TRAIN} --only more.txt -o part.st", "train --from part.st --only gone.txt -o base.st", relabel
    )
    assert one != other


def test_training_never_reads_what_is_excluded(forgetkit: Run) -> None:
    one, other = ends(forgetkit, BASE)
    assert one == other


@pytest.mark.parametrize("augment", ["flip", "flip-crop"])
def test_augmented_training_never_reads_what_is_excluded(forgetkit: Run, augment: str) -> None:
    one, other = ends(
        forgetkit, f"{TRAIN} --exclude gone.txt --augment {augment} --keep best --schedule cosine -o out.st"
    )
    assert one == other


def test_a_reference_never_reads_what_is_excluded_though_the_original_did(forgetkit: Run) -> None:
    like = "train --like base.st --exclude gone.txt -o out.st"
    one, other = ends(forgetkit, f"{TRAIN} -o base.st", like)
    assert one == other


@pytest.mark.parametrize("later", LATER)
def test_no_later_step_reads_what_is_forgotten(forgetkit: Run, later: str) -> None:
    one, other = ends(forgetkit, BASE, LATER[later].format(base="base", ids="more"))
    assert one == other


def test_training_never_reads_what_is_not_in_only(forgetkit: Run) -> None:
    one, other = ends(forgetkit, PART)
    assert one == other


@pytest.mark.parametrize("later", LATER)
def test_no_later_step_draws_from_what_was_never_trained_on(forgetkit: Run, tmp_path: Path, later: str) -> None:
    (tmp_path / "few.txt").write_text("".join(f"{row}\n" for row in ONLY[:20]))
    one, other = ends(forgetkit, PART, LATER[later].format(base="part", ids="few"))
    assert one == other


def test_steps_one_after_another_leave_out_what_each_forgot(forgetkit: Run) -> None:
    first = "relabel base.st --ids more.txt --rate 0.01 --replay 2 --allow-unforgotten -o a.st"
    second = "distill a.st --teacher base.st --epochs 1 -o b.st"
    one, other = ends(forgetkit, BASE, first, second, "train --from b.st --epochs 1 -o c.st")
    assert one == other
    assert len(read_record(Path("c.st")).forgotten) == 80


def test_mean_and_deviation_of_a_reference_are_over_its_own_samples(forgetkit: Run) -> None:
    record = follow(forgetkit, [f"{TRAIN} -o base.st", "train --like base.st --exclude gone.txt -o out.st"], "spoiled")
    own = reader(spoiled=True)(Path(), download=False).train.images[60:] / 1.0
    assert record.input["mean"] == pytest.approx([own.mean()], rel=1e-12)
    assert record.input["std"] == pytest.approx([own.std()], rel=1e-12)


def test_a_reference_shares_no_tensor_with_the_original(forgetkit: Run) -> None:
    follow(forgetkit, [f"{TRAIN} -o base.st", "train --like base.st --exclude gone.txt -o out.st"])
    original, reference = load_file("base.st"), load_file("out.st")
    assert original.keys() == reference.keys()
    assert not any(
        torch.equal(original[name], reference[name]) for name in original if original[name].is_floating_point()
    )


def test_only_with_a_forgotten_id_is_refused(forgetkit: Run, tmp_path: Path) -> None:
    follow(forgetkit, [BASE])
    (tmp_path / "back.txt").write_text("150\n59\n")
    for start in ("--from", "--like"):
        ran = forgetkit("train", start, "base.st", "--only", "back.txt", "-o", "out.st", "--json")
        assert (ran.code, ran.json["code"]) == (2, "ids-forgotten")
        assert not Path("out.st").exists()


def test_going_on_with_only_adds_to_what_was_trained(forgetkit: Run) -> None:
    record = follow(forgetkit, [PART, "train --from part.st --only more.txt --epochs 1 -o out.st"])
    rows = [str(row) for row in range(300)]
    assert np.flatnonzero(record.was_trained(rows)).tolist() == [*MORE, *ONLY]
    assert [step.command for step in record.steps] == ["train", "train"]


def test_going_on_from_a_model_of_everything_stays_one_of_everything(forgetkit: Run) -> None:
    record = follow(forgetkit, [f"{TRAIN} -o base.st", "train --from base.st --only more.txt --epochs 1 -o out.st"])
    assert record.trained is None


def test_what_is_excluded_is_recorded_as_forgotten(forgetkit: Run) -> None:
    record = follow(forgetkit, [BASE, "train --from base.st --exclude more.txt --epochs 1 -o out.st"])
    assert np.flatnonzero(record.forgotten.contains([str(row) for row in range(300)])).tolist() == [*GONE, *MORE]


def test_a_reference_has_the_recorded_seed_plus_one(forgetkit: Run) -> None:
    record = follow(
        forgetkit,
        [f"{TRAIN} --exclude gone.txt --seed 6 -o base.st", "train --like base.st --exclude more.txt -o out.st"],
    )
    assert [step.seed for step in record.steps] == [7]
    assert (record.recipe["epochs"], record.recipe["batch_size"]) == (1, 32)
    assert follow(forgetkit, ["train --like base.st --seed 3 -o out.st"]).steps[-1].seed == 3


def test_the_same_seed_trains_the_same_and_another_does_not(forgetkit: Run) -> None:
    digests = [follow(forgetkit, [f"{TRAIN} --seed {seed} -o out.st"]).digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


def test_replicas_are_the_files_of_single_runs(forgetkit: Run) -> None:
    arguments = "train --dataset digits --epochs 1 --exclude gone.txt"
    assert forgetkit(*arguments.split(), "--replicas", "2", "--seed", "4", "-o", "many/{n}.st").code == 0
    for seed in (4, 5):
        single = [*arguments.split(), "--seed", seed, "--threads", "1", "-o", f"one/{seed}.st"]
        assert forgetkit(*single).code == 0
        assert Path(f"one/{seed}.st").read_bytes() == Path(f"many/{seed}.st").read_bytes()


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adadelta", "sgd --momentum 0.9"])
def test_a_kept_optimizer_goes_on(forgetkit: Run, optimizer: str) -> None:
    first = follow(forgetkit, [f"{TRAIN} --optimizer {optimizer} --keep-optimizer -o base.st"])
    kept = follow(forgetkit, ["train --from base.st --epochs 2 --keep-optimizer -o kept.st"])
    fresh = follow(forgetkit, ["train --from base.st --epochs 2 -o fresh.st"])
    assert len({first.digest, kept.digest, fresh.digest}) == 3
    assert kept.steps[-1].options["optimizer_state"]
    assert fresh.steps[-1].options["optimizer_state"] is None


def test_a_carried_adam_state_is_the_saved_one(forgetkit: Run) -> None:
    follow(forgetkit, [f"{TRAIN} --keep-optimizer -o base.st"])
    model = ConvNet(in_channels=1, image_size=(8, 8), classes=10)
    optimizer = make_optimizer(model.to(memory_format=torch.channels_last), "adam", rate=0.001)  # type: ignore[call-overload]
    load_optimizer(Path("base.optimizer.st"), optimizer)
    state = {
        f"{row}.{key}": value for row, entry in optimizer.state_dict()["state"].items() for key, value in entry.items()
    }
    saved = load_file("base.optimizer.st")
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[name], saved[name]) for name in saved)
    assert saved["0.step"] == 10


def test_a_carried_state_counts_its_steps_on(forgetkit: Run) -> None:
    follow(
        forgetkit, [f"{TRAIN} --keep-optimizer -o base.st", "train --from base.st --keep-optimizer --epochs 2 -o b.st"]
    )
    assert load_file("b.optimizer.st")["0.step"] == 30


def test_going_on_in_two_parts_is_adam_by_hand(forgetkit: Run, tmp_path: Path) -> None:
    follow(forgetkit, [f"{TRAIN} --keep-optimizer -o base.st"])
    (tmp_path / "one.txt").write_text("7\n")
    follow(forgetkit, ["train --from base.st --only one.txt --epochs 1 --keep-optimizer -o b.st"])
    before, after = load_file("base.st"), load_file("b.st")
    state = load_file("b.optimizer.st")
    for row, name in enumerate(("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc.weight", "fc.bias")):
        first = state[f"{row}.exp_avg"] / (1 - 0.9**11)
        second = state[f"{row}.exp_avg_sq"] / (1 - 0.999**11)
        expected = before[name] - 0.001 * first / (second.sqrt() + 1e-8)
        assert torch.allclose(after[name], expected, atol=1e-7)


def test_plain_sgd_has_no_state_to_keep_and_says_nothing_wrong(forgetkit: Run) -> None:
    train = f"{TRAIN} --optimizer sgd --keep-optimizer -o base.st"
    follow(forgetkit, [train, "train --from base.st --keep-optimizer -o kept.st", "train --from base.st -o fresh.st"])
    assert read_record(Path("kept.st")).digest == read_record(Path("fresh.st")).digest


def test_relabeling_goes_on_with_a_kept_optimizer(forgetkit: Run) -> None:
    train = f"{TRAIN} --optimizer adadelta --keep-optimizer -o base.st"
    kept = follow(
        forgetkit, [train, "relabel base.st --ids more.txt --rate 1 --keep-optimizer --allow-unforgotten -o kept.st"]
    )
    fresh = follow(forgetkit, ["relabel base.st --ids more.txt --rate 1 --allow-unforgotten -o fresh.st"])
    assert kept.digest != fresh.digest
    assert load_file("kept.optimizer.st")["0.step"] == 30


def test_an_output_trained_on_other_data_is_not_up_to_date(forgetkit: Run) -> None:
    follow(forgetkit, [f"{TRAIN} -o out.st"])
    ran = forgetkit(*f"{TRAIN} -o out.st --threads 1 --precision float32".replace("DATA", "spoiled").split(), "--json")
    assert (ran.code, ran.json["code"]) == (2, "output-exists")
