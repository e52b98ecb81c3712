"""On a GPU: recorded steps give the same bytes as steps one kernel at a time, and every command runs there."""

import random
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.methods.relabel import relabel
from forgetkit.training import cuda_graphs as graphs
from forgetkit.training.classifier import Classifier, predict
from forgetkit.training.cuda_graphs import WARM_UP, graphs_of
from forgetkit.training.device import set_up
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.recipe import Recipe
from forgetkit.training.updates import Update, fit
from forgetkit.unlearning.attempt import Meter
from tests.conftest import Run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
COUNT = 640
NEVER = 10**9


class Network(nn.Module):
    """Convolution, batch norm, dropout; ``odd`` adds what a graph must not hold."""

    def __init__(self, odd: str = "") -> None:
        super().__init__()
        self.odd = odd
        self.layers = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8 * 64, 4)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        hidden = self.layers(images)
        if self.odd == "waits" and hidden.sum().item() == 0:
            hidden = hidden + 1
        if self.odd == "synchronizes":
            torch.cuda.synchronize()
        if self.odd == "draws" and random.random() < 0.5:
            hidden = hidden * 2
        found: Tensor = self.head(hidden.flatten(1))
        return found


def samples(count: int = COUNT) -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=source)
    return images.cuda(), torch.randint(4, (count,), generator=source).cuda()


def classifier(odd: str = "", precision: str = "float32") -> Classifier:
    set_up("cuda", precision, 1)
    torch.manual_seed(0)
    model = Network(odd).to("cuda", memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(model, mean=[127.5], std=[73.9], precision=precision)


def trained(odd: str = "", *, precision: str = "float32", **recipe: object) -> Classifier:
    """Return a model after training; 600 of 640 samples fill batches of 50, so that one batch is smaller."""
    given = Recipe(epochs=3, batch_size=50, **recipe)  # type: ignore[arg-type]
    model = classifier(odd, precision)
    optimizer = make_optimizer(model, given.optimizer, rate=given.rate, momentum=given.momentum)
    random.seed(0)
    complete(train_steps(model, *samples(), recipe=given, optimizer=optimizer, tune=samples(8), seed=0))
    steps = graphs_of(optimizer)
    assert steps is not None
    assert bool(steps._recorded) == (not odd and graphs.WARM_UP == WARM_UP)
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    state = other.state_dict()
    return all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "adadelta"])
@pytest.mark.parametrize("augment", ["none", "flip-crop"])
def test_recorded_training_gives_the_same_bytes(
    optimizer: str, augment: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"optimizer": optimizer, "augment": augment, "schedule": "cosine", "rate": 0.01, "momentum": 0.0}
    given |= {"momentum": 0.9} if optimizer == "sgd" else {}
    found = trained(precision=precision, **given)
    monkeypatch.setattr(graphs, "WARM_UP", NEVER)
    assert same(found, trained(precision=precision, **given))


def test_a_budget_counts_every_image() -> None:
    model, recipe, meter = classifier(), Recipe(epochs=2, batch_size=16), Meter(most=10**9)
    optimizer = make_optimizer(model, "adam", rate=0.01)
    with meter.on(model):
        complete(train_steps(model, *samples(), recipe=recipe, optimizer=optimizer, tune=samples(8), seed=0))
    assert meter.spent == 3 * 2 * COUNT


def entropy(model: nn.Module, samples_: tuple[Tensor, Tensor], rows: Tensor) -> Tensor:
    return cross_entropy(model(samples_[0][rows]), samples_[1][rows])


def test_momentum_goes_on_after_a_state_without_any_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a search goes back to its start."""
    found = []
    for warm_up in (WARM_UP, NEVER):
        monkeypatch.setattr(graphs, "WARM_UP", warm_up)
        model = classifier().eval()
        loss = partial(entropy, model, samples())
        optimizer = make_optimizer(model, "sgd", rate=0.01, momentum=0.9)
        empty = optimizer.state_dict()
        for _ in range(2):
            list(fit(optimizer, [Update(loss, rows) for rows in torch.arange(COUNT).split(32)]))
            optimizer.load_state_dict(empty)
        found.append(model)
    assert same(*found)


def test_steps_are_recorded() -> None:
    launched = 0
    model, (images, labels) = classifier().eval(), samples()
    optimizer = make_optimizer(model, "adadelta", rate=0.1)
    for _ in fit(optimizer, relabel(model, (images[:40], labels[:40]), classes=4)):
        found = graphs_of(optimizer)
        assert found is not None
        launched += bool(found._recorded)
    assert launched == 40 - WARM_UP


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "adadelta"])
def test_recorded_relabeling_gives_the_same_bytes(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for warm_up in (WARM_UP, NEVER):
        monkeypatch.setattr(graphs, "WARM_UP", warm_up)
        model, (images, labels) = classifier(), samples()
        made = make_optimizer(model, optimizer, rate=0.01)
        forget, retain = (images[:100], labels[:100]), (images[100:], labels[100:])
        list(fit(made, relabel(model, forget, retain, classes=4, replay=5)))
        found.append(model)
    assert same(*found)


def test_a_model_that_draws_numbers_in_python_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    found = trained("draws")
    monkeypatch.setattr(graphs, "WARM_UP", NEVER)
    assert same(found, trained("draws"))


@pytest.mark.parametrize("odd", ["waits", "synchronizes"])
def test_a_model_that_a_graph_cannot_hold_gives_the_same_bytes(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second kind shows only as its recording fails."""
    monkeypatch.setattr(graphs, "_RECORDS", True)  # put back afterwards
    found = trained(odd)
    assert (odd == "waits") == graphs._RECORDS
    torch.manual_seed(0)  # refused while something is recorded
    monkeypatch.setattr(graphs, "WARM_UP", NEVER)
    assert same(found, trained(odd))


def test_what_is_recorded_after_a_model_that_waits() -> None:
    trained("waits")
    images, labels = samples()
    model = classifier()
    optimizer = make_optimizer(model, "adam", rate=0.01)
    list(fit(optimizer, [Update(lambda batch: cross_entropy(model(batch), labels), images)] * (WARM_UP + 3)))
    assert predict(model, images).isfinite().all()
    found = graphs_of(optimizer)
    assert found is not None
    assert len(found._recorded) == 1


@pytest.fixture
def on_gpu(forgetkit: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs a command on the GPU."""
    monkeypatch.setenv("FORGETKIT_DEVICE", "cuda")
    return forgetkit


def test_the_main_job_twice_gives_the_same_bytes(on_gpu: Run, tmp_path: Path) -> None:
    lines = (
        "train --dataset digits --epochs 6 -o {0}/model.st",
        "forget-ids {0}/model.st --count 40 -o {0}/ids.txt",
        "neutralize {0}/model.st --ids {0}/ids.txt --stop chance -o {0}/neutral.st",
        "distill {0}/neutral.st --teacher {0}/model.st --epochs 3 -o {0}/distilled.st",
        "relabel {0}/model.st --ids {0}/ids.txt --rate 0.001 -o {0}/relabelled.st",
        "ascend {0}/model.st --ids {0}/ids.txt --epochs 1 -o {0}/ascended.st",
        "finetune {0}/model.st --ids {0}/ids.txt --epochs 2 -o {0}/tuned.st",
        "scrub {0}/model.st --ids {0}/ids.txt --epochs 2 -o {0}/scrubbed.st",
        "badteach {0}/model.st --ids {0}/ids.txt -o {0}/taught.st",
        "reset {0}/model.st --ids {0}/ids.txt --epochs 1 -o {0}/reset.st",
        "random-labels {0}/model.st --ids {0}/ids.txt --epochs 2 --stop published -o {0}/random.st",
    )
    for folder in ("first", "second"):
        for line in lines:
            ran = on_gpu(*line.format(folder).split())
            assert ran.code in {0, 1}, ran.err  # 1: a brake that refuses, the same both times
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("first", "second"))
    assert len(first) >= 5
    assert first == second


def test_an_audit_ends_with_a_verdict(on_gpu: Run) -> None:
    for line in (
        "train --dataset digits --epochs 3 -o model.st",
        "forget-ids model.st --count 40 -o ids.txt",
        "train --like model.st --exclude ids.txt --replicas 2 -o refs/{n}.st",
        "relabel model.st --ids ids.txt --rate 0.001 -o out.st",
    ):
        assert on_gpu(*line.split()).code == 0
    ran = on_gpu("audit", "out.st", "--original", "model.st", "--relearn", "--json")
    assert ran.code in {0, 3}, ran.err


@pytest.mark.parametrize("model", ["convnet", "torchvision:mobilenet_v3_small"])
def test_replicas_side_by_side_are_byte_for_byte_single_runs(model: str, on_gpu: Run, tmp_path: Path) -> None:
    command = ("train", "--dataset", "digits", "--model", model, "--epochs", "3")
    for seed in range(6):
        assert on_gpu(*command, "--threads", "1", "--seed", seed, "-o", f"one/{seed}.st").code == 0
    assert on_gpu(*command, "--replicas", "6", "--threads", "6", "-o", "all/{n}.st").code == 0
    for seed in range(6):
        assert (tmp_path / f"all/{seed}.st").read_bytes() == (tmp_path / f"one/{seed}.st").read_bytes()
