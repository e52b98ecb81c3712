"""The log of a run's epochs: means of losses, the same after a halt."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from forgetkit.training.resume import Bookmark
from forgetkit.training.updates import Update, fit, walk
from tests.tiny import Halted, Halting, network, recall, samples, sgd

EPOCHS = [1, 1, 1, 2, 2, 3]
"""The epoch of each of six updates."""


def updates(model: nn.Module, epochs: list[int]) -> Iterator[Update]:
    """Yield updates of these epochs, each on some of 60 samples."""
    images, labels = samples(60)

    def loss(rows: Tensor) -> Tensor:
        return cross_entropy(model(images[rows]), labels[rows])

    yield from (Update(loss, torch.arange(start, 60, 6), epoch) for start, epoch in enumerate(epochs))


def logged(bookmark: Bookmark, epochs: list[int], *, on: bool = True) -> list[dict[str, float]]:
    """Return the log of a run of these epochs."""
    model = network(dropout=0.0).eval()
    walk(bookmark, "steps", model, lambda: (sgd(model), updates(model, epochs)), logged=on)
    return bookmark.log


def test_an_entry_holds_the_mean_loss_of_the_steps_of_its_epoch() -> None:
    model = network(dropout=0.0).eval()
    losses = [float(loss) for loss in fit(sgd(model), updates(model, EPOCHS))]
    log = logged(Bookmark(), EPOCHS)
    assert [(entry["epoch"], entry["steps"]) for entry in log] == [(1, 3), (2, 2), (3, 1)]
    means = [sum(losses[:3]) / 3, sum(losses[3:5]) / 2, losses[5]]
    assert [entry["loss"] for entry in log] == pytest.approx(means)


def test_updates_without_an_epoch_are_one_entry() -> None:
    (entry,) = logged(Bookmark(), [0] * 6)
    assert entry.keys() == {"steps", "loss"}
    assert entry["steps"] == 6


def test_nothing_is_logged_unless_asked_for() -> None:
    assert logged(Bookmark(), EPOCHS, on=False) == []


@pytest.mark.parametrize("after", [1, 3, 4, 6])
def test_the_log_is_the_same_after_a_halt(after: int, tmp_path: Path) -> None:
    with pytest.raises(Halted):
        logged(Halting(tmp_path, after), EPOCHS)
    assert logged(recall(tmp_path), EPOCHS) == logged(Bookmark(), EPOCHS)


def test_a_loss_that_is_not_finite_is_null(tmp_path: Path) -> None:
    model = network(dropout=0.0).eval()
    endless = (Update(lambda rows: model(samples(6)[0]).sum() * rows, torch.tensor(float("inf")), 1) for _ in range(1))
    walk(bookmark := Bookmark(tmp_path), "steps", model, lambda: (sgd(model), endless), logged=True)
    assert bookmark.log == [{"epoch": 1, "steps": 1, "loss": None}]
