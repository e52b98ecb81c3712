"""Batch norm cannot norm a single value by itself; every step that would have it do so is refused in the same words."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.errors import ForgetkitError
from forgetkit.training.updates import Update, fit
from tests.conftest import Run
from tests.tiny import sgd

NORMED = """from torch import nn
from forgetkit.models import register_model

@register_model
def normed(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(),
                         nn.Linear(4, classes))
"""
ONE_LEFT = "error: batch norm cannot train on one sample at a time"


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("command", ["finetune", "scrub", "reset", "random-labels"])
def test_a_single_retained_sample_is_refused_in_one_line(
    forgetkit: Run, command: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plugin = tmp_path_factory.mktemp("plugin") / "normed.py"
    plugin.write_text(NORMED)
    with open("ids.txt", "w") as some, open("all.txt", "w") as every:
        some.write("1\n2\n3\n")
        every.write("1\n2\n3\n4\n")
    model = ("--dataset", "digits", "--only", "all.txt", "--model", "normed", "--epochs", 1, "--plugin", plugin)
    assert forgetkit("train", *model, "-o", "m.st").code == 0
    ran = forgetkit(command, "m.st", "--ids", "ids.txt", "--plugin", plugin)
    assert (ran.code, ran.err.splitlines()[-2]) == (2, ONE_LEFT)


def stepped(model: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor]) -> None:
    """Take one step on ``images``."""
    list(fit(sgd(model), [Update(loss, images)]))


def test_any_method_is_refused_and_other_errors_stay_what_they_are() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with pytest.raises(ForgetkitError, match="batch norm"):
        stepped(model, torch.ones(1, 3), lambda rows: cross_entropy(model(rows), torch.tensor([0])))
    with pytest.raises(ValueError, match="batch_size"):
        stepped(model, torch.ones(2, 3), lambda rows: cross_entropy(model(rows), torch.tensor([0])))
