"""Steps that anneal, draw dropout by their number, and have rates relative to the size of each tensor."""

from itertools import count, islice

import pytest
import torch
from torch import nn

from forgetkit.training.optimizers import SMALLEST, make_optimizer
from forgetkit.training.updates import Update, annealed, cosine, fit, seeded
from tests.tiny import network, samples, sgd, weights

CPU = torch.device("cpu")


def test_a_cosine_falls_from_one_to_nothing() -> None:
    assert [cosine(done) for done in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1.0, 0.8535533906, 0.5, 0.0])


def test_the_rate_of_each_group_falls_along_a_cosine_and_the_steps_end() -> None:
    first, second = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.4}, {"params": [second], "lr": 1.0}])
    endless = (Update(lambda _: torch.zeros(()), torch.zeros(1), number) for number in count(1))
    rates = [[group["lr"] for group in optimizer.param_groups] for _ in annealed(optimizer, endless, 4)]
    shape = [1.0, 0.8535533906, 0.5, 0.1464466094]
    assert rates == [pytest.approx([0.4 * part, part]) for part in shape]


def test_dropout_is_drawn_by_the_number_of_a_step_and_nothing_else_is_disturbed() -> None:
    images, labels = samples(8)

    def end(before: int, skip: int = 0) -> torch.Tensor:
        """Take the third of three steps after ``before`` draws of the process."""
        torch.manual_seed(before)
        model = network(dropout=0.5).train()
        torch.manual_seed(before)
        loss = nn.functional.cross_entropy
        updates = (Update(lambda batch: loss(model(batch), labels), images) for _ in range(3))
        list(fit(sgd(model), islice(seeded(updates, 5, CPU), skip, None)))
        return weights(model)

    assert torch.equal(end(1), end(2))
    assert not torch.equal(end(1, skip=1), end(1, skip=2))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    steps = seeded((Update(lambda _: torch.zeros(()), images) for _ in range(2)), 5, CPU)
    drawn = torch.rand(1)
    list(steps)
    assert torch.equal(torch.cat([drawn, torch.rand(1)]), expected)


def test_a_relative_rate_is_multiplied_by_the_size_of_each_tensor() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))
        model.bias.zero_()
    optimizer = make_optimizer(model, "sgd", rate=0.1, relative=True)
    found = {id(group["params"][0]): group["lr"] for group in optimizer.param_groups}
    assert found[id(model.weight)] == pytest.approx(0.1 * 12.5**0.5)
    assert found[id(model.bias)] == pytest.approx(0.1 * SMALLEST)


def test_a_network_ten_times_as_large_takes_steps_ten_times_as_large() -> None:
    steps = []
    for scale in (1.0, 10.0):
        model = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            model.weight.copy_(scale * torch.arange(1.0, 13.0).view(3, 4))
        start = model.weight.detach().clone()
        optimizer = make_optimizer(model, "adam", rate=0.01, relative=True)
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        steps.append((model.weight.detach() - start) / scale)
    assert torch.allclose(*steps, atol=1e-6)
