"""Training from Python: the same checkpoints as the command writes, and modules of one's own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError
from forgetkit.events import Event, Note, Progress
from forgetkit.files.header import read_record
from forgetkit.options import Compute, ResumableOutput
from forgetkit.training.recipe import Recipe
from forgetkit.training.train import fit_model, train, train_all
from forgetkit.training.train_options import Seeds, Start, Training, TrainOptions
from tests.conftest import Run

IDS = ["3", "1", "20"]
COMPUTE = Compute(precision="float32", threads=1)
OPTIONS = TrainOptions(compute=COMPUTE)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def samples(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return a table of 64 rows, and which of the first four columns is the largest."""
    rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(seed))
    return rows, rows[:, :4].argmax(1)


def test_a_training_writes_what_the_command_writes(forgetkit: Run, tmp_path: Path) -> None:
    assert forgetkit("train", "--dataset", "digits", "--epochs", 1, "--rate", 0.01, "--seed", 4, "-o", "a.st").code == 0
    written = train("digits", out=tmp_path / "b.st", epochs=1, rate=0.01, seed=4, options=OPTIONS)
    assert (written.path, written.state) == (tmp_path / "b.st", "written")
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()
    assert train("digits", out=tmp_path / "b.st", epochs=1, rate=0.01, seed=4, options=OPTIONS).state == "up to date"


def test_ids_in_memory_are_those_of_a_list(model: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("".join(f"{id_}\n" for id_ in IDS))
    train(like=model, exclude=tmp_path / "ids.txt", out=tmp_path / "a.st", epochs=1, options=OPTIONS)
    written = train(like=model, exclude=(int(id_) for id_ in IDS), out=tmp_path / "b.st", epochs=1, options=OPTIONS)
    assert len(written.record.forgotten) == 3
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()


def test_a_training_continues_on_some_ids_only(model: Path, tmp_path: Path) -> None:
    written = train(start=model, only=IDS, out=tmp_path / "more.st", epochs=1, options=OPTIONS)
    assert written.record.steps[-1].parent == read_record(model).digest
    assert written.source == model


@pytest.mark.parametrize(("ids", "code"), [(["3", "x"], "ids-unknown"), (["3", ""], "ids-malformed")])
def test_a_wrong_id_in_memory_is_named_by_its_place(tmp_path: Path, ids: list[str], code: str) -> None:
    with pytest.raises(ForgetkitError, match="exclude:2: ") as caught:
        train("digits", exclude=ids, out=tmp_path / "a.st")
    assert caught.value.code == code


def test_no_id_to_train_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match="only: holds no ids"):
        train("digits", only=[], out=tmp_path / "a.st")


def test_a_list_is_no_output(model: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("1\n")
    options = TrainOptions(output=ResumableOutput(force=True))
    with pytest.raises(ForgetkitError) as caught:
        train(like=model, exclude=tmp_path / "ids.txt", out=tmp_path / "ids.txt", options=options)
    assert caught.value.code == "output-unwritable"


def test_options_hold_what_the_arguments_do_not_say(tmp_path: Path) -> None:
    training = Training(epochs=9, schedule="cosine", batch_size=64)
    options = replace(OPTIONS, training=training, seeds=Seeds(seed=7))
    step = train("digits", out=tmp_path / "a.st", epochs=1, options=options).record.steps[-1]
    found = [step.options[name] for name in ("epochs", "schedule", "batch_size")]
    assert (found, step.seed) == ([1, "cosine", 64], 7)


def test_a_training_tells_what_it_does(tmp_path: Path) -> None:
    told: list[Event] = []
    train("digits", out=tmp_path / "a.st", epochs=1, options=OPTIONS, tell=told.append)
    notes = [event.text for event in told if isinstance(event, Note)]
    assert notes[0].startswith(
        "train: 1297 samples of digits, convnet, 1 epoch of adam at rate 0.001, cpu, float32, 1 thread"
    )
    assert notes[1] == "  10 classes: 0, 1, 2, 3, 4, …"
    assert "accuracy, unseen samples" in notes[2]
    assert any(isinstance(event, Progress) for event in told)


def test_replicas_are_returned_in_the_order_of_their_seeds(model: Path, tmp_path: Path) -> None:
    output, start = ResumableOutput(out=str(tmp_path / "{n}.st")), Start(like=str(model))
    found = train_all(TrainOptions(start=start, seeds=Seeds(replicas=2), compute=COMPUTE, output=output), exclude=IDS)
    assert [written.path.name for written in found] == ["1.st", "2.st"]
    assert [written.record.steps[-1].seed for written in found] == [1, 2]


def test_a_module_of_ones_own_learns_and_the_seed_decides() -> None:
    ends = []
    for seed in (1, 1, 2):
        history = fit_model(model := network(), *samples(), recipe=Recipe(epochs=60, rate=0.01), seed=seed)
        ends.append(torch.cat([weight.detach().flatten() for weight in model.parameters()]))
    assert history.epochs[-1]["loss"] < 0.5 < history.epochs[0]["loss"]
    assert "tune_accuracy" not in history.epochs[-1]
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_a_module_of_ones_own_keeps_the_best_epoch_of_unseen_samples() -> None:
    recipe, told = Recipe(epochs=5, keep="best"), list[Event]()
    history = fit_model(network(), *samples(), recipe=recipe, tune=samples(1), tell=told.append)
    found = [entry["tune_accuracy"] for entry in history.epochs]
    assert history.best_epoch == found.index(max(found)) + 1
    assert any(isinstance(event, Progress) for event in told)
    with pytest.raises(ForgetkitError, match="unseen samples"):
        fit_model(network(), *samples(), recipe=recipe)


def test_a_recipe_that_cannot_be_is_refused() -> None:
    with pytest.raises(ForgetkitError, match="'sdg'"):
        fit_model(network(), *samples(), recipe=Recipe(optimizer="sdg"))


def test_the_options_are_read_without_torch() -> None:
    code = "import sys, forgetkit.training.train\nassert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
