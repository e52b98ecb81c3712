"""Recorded steps: the same weights as without, and when none is recorded. On a CPU, a stand-in takes the step again."""

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training import cuda_graphs as graphs
from forgetkit.training.cuda_graphs import MOST, WARM_UP, Graphs, Step, graphs_of, record, take_step
from forgetkit.training.optimizers import make_optimizer
from forgetkit.unlearning.attempt import Meter
from tests import tiny

Batch = tuple[Tensor, Tensor]


def unseen(step: Step) -> tuple[Tensor, bool]:
    """Take a step; nothing is wrong with it."""
    return step(), True


class Recorder:
    """Records steps, and counts the launches of each."""

    def __init__(self) -> None:
        self.launches: list[int] = []

    def __call__(self, step: Step) -> Step:
        """Return what takes the step."""
        number = len(self.launches)
        self.launches.append(0)

        def launch() -> Tensor:
            self.launches[number] += 1
            return step()

        return launch


def network() -> nn.Module:
    return tiny.network(norm=False, dropout=0.0).float()


def batches(count: int, size: int = 6, seed: int = 0) -> list[Batch]:
    images, labels = tiny.samples(count * size, seed)
    return list(zip(images.float().split(size), labels.split(size), strict=True))


def loss_of(model: nn.Module) -> Callable[[Batch], Tensor]:
    return lambda batch: cross_entropy(model(batch[0]), batch[1])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "adadelta"])
def test_recorded_steps_end_at_the_same_weights(name: str) -> None:
    """Batches of two sizes come in turn, and the rate changes with each step, by powers of 2: exact in float32."""
    found = []
    for recorded in (False, True):
        optimizer = make_optimizer(model := network(), name, rate=0.5, momentum=0.5, weight_decay=0.25)
        steps, loss, losses = Graphs(optimizer, Recorder(), unseen), loss_of(model), []
        for step, (long, short) in enumerate(zip(batches(20), batches(20, size=2, seed=1), strict=True)):
            optimizer.param_groups[0]["lr"] = 0.5 ** (step % 7)
            for batch in (long, short):
                take = steps.take_step if recorded else take_step
                losses.append(take(optimizer, loss, batch))
        found.append([torch.stack(losses), *(weight.detach() for weight in model.parameters())])
    for recorded, plain in zip(*found, strict=True):
        assert torch.equal(recorded, plain)


def test_each_kind_of_step_is_recorded_after_its_warm_up() -> None:
    model, seen = network(), Recorder()
    optimizer = make_optimizer(model, "sgd", rate=0.1)
    steps, loss, other = Graphs(optimizer, seen, unseen), loss_of(model), loss_of(model)
    for batch in batches(WARM_UP + 3):
        steps.take_step(optimizer, loss, batch)
    assert seen.launches == [3]
    for batch in batches(WARM_UP + 1, size=2):
        steps.take_step(optimizer, loss, batch)
    assert seen.launches == [3, 1]
    for batch in batches(WARM_UP + 2):
        steps.take_step(optimizer, other, batch)
    assert seen.launches == [3, 1, 2]
    steps.take_step(optimizer, loss, batches(1)[0])
    assert seen.launches == [4, 1, 2]


def test_the_losses_are_kept_apart() -> None:
    model = network()
    optimizer = make_optimizer(model, "sgd", rate=0.5)
    steps, loss, value = Graphs(optimizer, lambda step: lambda: kept.copy_(step()), unseen), loss_of(model), []
    kept = torch.zeros(())  # as a graph writes each loss to the same place
    for batch in batches(WARM_UP + 5):
        value.append(steps.take_step(optimizer, loss, batch))
    assert len({float(one) for one in value}) == len(value)


def test_only_the_last_graphs_are_kept() -> None:
    model, seen = network(), Recorder()
    optimizer = make_optimizer(model, "sgd", rate=0.1)
    steps, loss = Graphs(optimizer, seen, unseen), loss_of(model)
    for size in range(2, 2 + MOST + 1):
        for batch in batches(WARM_UP + 1, size=size):
            steps.take_step(optimizer, loss, batch)
    assert seen.launches == [1] * (MOST + 1)
    for batch in batches(WARM_UP + 1, size=2):  # the first were dropped
        steps.take_step(optimizer, loss, batch)
    assert seen.launches == [1] * (MOST + 2)


@pytest.mark.parametrize("empty", [False, True])
def test_a_loaded_state_ends_what_was_recorded_with_the_one_before(empty: bool) -> None:
    """An empty one is filled by the next step, which must not be a recorded one: each launch would begin it anew."""
    model, seen = network(), Recorder()
    optimizer = make_optimizer(model, "adam", rate=0.1)
    steps, loss = Graphs(optimizer, seen, unseen), loss_of(model)
    state = copy.deepcopy(optimizer.state_dict())
    for batch in batches(WARM_UP + 2):
        steps.take_step(optimizer, loss, batch)
    optimizer.load_state_dict(state if empty else copy.deepcopy(optimizer.state_dict()))
    for batch in batches(WARM_UP):
        steps.take_step(optimizer, loss, batch)
    assert seen.launches == [2]
    steps.take_step(optimizer, loss, batches(1)[0])
    assert seen.launches == [2, 1]


@pytest.mark.parametrize("draw", [random.random, np.random.rand, lambda: torch.rand(()).item()])
def test_a_step_that_draws_what_a_graph_would_not_is_never_launched(draw: Callable[[], float]) -> None:
    """What the recording drew is drawn again by the step."""
    model, seen, drawn = network(), Recorder(), list[float]()
    optimizer = make_optimizer(model, "sgd", rate=0.1)

    def loss(batch: Batch) -> Tensor:
        drawn.append(draw())
        return cross_entropy(model(batch[0]), batch[1]) * drawn[-1]

    def recording(step: Step) -> Step:
        step()  # as CUDA does, once
        return seen(step)

    steps = Graphs(optimizer, recording, unseen)
    for batch in batches(WARM_UP + 5):
        steps.take_step(optimizer, loss, batch)
    assert seen.launches == [0]
    assert drawn.pop(WARM_UP) == drawn[WARM_UP]
    assert len(set(drawn)) == WARM_UP + 5


def test_a_step_that_cannot_be_recorded_is_taken_one_kernel_at_a_time() -> None:
    tries = []

    def refuse(_: Step) -> Step:
        tries.append(1)
        raise RuntimeError("operation not permitted when stream is capturing")

    found = []
    for make in (lambda optimizer: Graphs(optimizer, refuse, unseen), lambda _: None):
        optimizer = make_optimizer(model := network(), "adam", rate=0.125)
        steps, loss = make(optimizer), loss_of(model)
        for batch in batches(WARM_UP + 5):
            (steps.take_step if steps else take_step)(optimizer, loss, batch)
        found.append(model.state_dict())
    assert len(tries) == 1
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_step_that_waits_for_the_gpu_is_not_recorded() -> None:
    model, seen = network(), Recorder()
    optimizer = make_optimizer(model, "sgd", rate=0.1)
    steps, loss = Graphs(optimizer, seen, lambda step: (step(), False)), loss_of(model)
    for batch in batches(WARM_UP + 5):
        steps.take_step(optimizer, loss, batch)
    assert seen.launches == []


def test_a_batch_of_anything_but_tensors_is_not_recorded() -> None:
    model, seen = network(), Recorder()
    optimizer = make_optimizer(model, "sgd", rate=0.1)
    steps, images = Graphs(optimizer, seen, unseen), torch.ones(2, 1, 6, 6)
    for number in range(WARM_UP + 5):
        steps.take_step(optimizer, lambda scale: scale[0] * model(images).square().mean(), (number, images))
    assert seen.launches == []


def test_the_rates_stay_numbers() -> None:
    model = network()
    optimizer = make_optimizer(model, "adam", rate=0.1)
    steps, loss = Graphs(optimizer, Recorder(), unseen), loss_of(model)
    for batch in batches(WARM_UP + 2):
        steps.take_step(optimizer, loss, batch)
        assert optimizer.param_groups[0]["lr"] == 0.1


def test_nothing_is_recorded_on_a_cpu() -> None:
    assert graphs_of(make_optimizer(network(), "adam", rate=0.1)) is None


def test_graphs_end_with_their_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_can_be_recorded", lambda _: True)
    optimizer = make_optimizer(network(), "adam", rate=0.1)
    before = len(graphs._GRAPHS)
    assert graphs_of(optimizer) is graphs_of(optimizer)
    assert len(graphs._GRAPHS) == before + 1
    del optimizer
    assert len(graphs._GRAPHS) == before


def test_nothing_is_recorded_while_images_are_counted() -> None:
    model, seen, meter = network(), Recorder(), Meter(most=1000)
    loss = loss_of(model)
    with meter.on(model):
        optimizer = make_optimizer(model, "sgd", rate=0.1)
        steps = Graphs(optimizer, seen, unseen)
        for batch in batches(WARM_UP + 5, size=2):
            steps.take_step(optimizer, loss, batch)
    assert seen.launches == []
    assert meter.spent == (WARM_UP + 5) * 2 * 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, which tests/training/test_gpu.py uses")
def test_record_needs_a_gpu() -> None:
    with pytest.raises((RuntimeError, AssertionError)):
        record(lambda: torch.zeros(()))
