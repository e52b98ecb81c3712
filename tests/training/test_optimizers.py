"""Optimizers are torch's, bit for bit, and no step waits for torch's compiler."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from forgetkit.training.optimizers import make_optimizer

KINDS = {
    "adam": lambda weights: torch.optim.Adam(weights, lr=0.1, weight_decay=0.01, fused=True),
    "adamw": lambda weights: torch.optim.AdamW(weights, lr=0.1, weight_decay=0.01, fused=True),
    "adadelta": lambda weights: torch.optim.Adadelta(weights, lr=0.1, weight_decay=0.01),
    "sgd": lambda weights: torch.optim.SGD(weights, lr=0.1, weight_decay=0.01, momentum=0.9),
}


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", KINDS)
def test_steps_and_state_are_those_of_torch(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    other = copy.deepcopy(model)
    momentum = 0.9 if name == "sgd" else 0.0
    ours, plain = (
        make_optimizer(model, name, rate=0.1, momentum=momentum, weight_decay=0.01),
        KINDS[name](other.parameters()),
    )
    for _ in range(3):
        step(model, ours)
        step(other, plain)
    again = make_optimizer(model, name, rate=0.5, momentum=momentum)
    again.load_state_dict(copy.deepcopy(plain.state_dict()))
    step(model, again)
    step(other, plain)
    assert torch.equal(model.weight, other.weight)
    assert type(ours).__name__ == type(plain).__name__
    found, expected = ours.state_dict(), plain.state_dict()
    assert found["param_groups"] == expected["param_groups"]
    assert found["state"].keys() == expected["state"].keys()


def test_a_step_leaves_the_compiler_alone(model: Path, ids: Path, tmp_path: Path) -> None:
    words = ["relabel", "model.st", "-i", "ids.txt", "--rate", "0.1", "-q"]
    code = (
        f"import sys, forgetkit.cli.app as cli\nassert cli.run({words}) == 0\nassert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
