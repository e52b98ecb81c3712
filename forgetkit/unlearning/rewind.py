"""All epochs of a method, then back to the one whose forget error is nearest to the error on unseen samples."""

from collections.abc import Callable, Iterator
from itertools import groupby
from math import inf

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from forgetkit.training.classifier import Samples, accuracy, predict
from forgetkit.training.packing import pack, part, unpack
from forgetkit.training.resume import Bookmark, Place
from forgetkit.training.updates import Update, fit, started
from forgetkit.unlearning.outcome import Outcome

REWIND = "rewind"


def rewind(
    model: nn.Module,
    forget: Samples,
    tune: Samples,
    start: Callable[[], tuple[Optimizer, Iterator[Update]]],
    bookmark: Bookmark,
) -> Outcome:
    """Take all epochs, then return to the one whose forget error is nearest to the error on unseen samples.

    Args:
        model: changed in place.
        forget: images and labels of the forget set.
        tune: images and labels of the tune half; only classes of the forget set count, if it has any.
        start: begins the method; its updates name their epochs.
        bookmark: keeps and recalls the state of the run.

    Source: Kurmanji et al., "Towards Unbounded Machine Unlearning", NeurIPS 2023, section 3.2 (SCRUB+R).
    """
    left = bookmark.open(REWIND)
    taken, at, nearest = (left.at["steps"], left.at["epoch"], left.at["nearest"]) if left else (0, 0, inf)
    best: dict[str, Tensor] = part(left.tensors, "best.") if left else {}
    optimizer, updates = start()
    updates = started(updates, taken)
    if left:
        unpack(left.tensors, model, optimizer)
    alike = torch.isin(tune[1], forget[1])
    alike = alike if bool(alike.any()) else ~alike

    def place() -> Place:
        """Return the position to keep."""
        whole = {f"best.{name}": tensor for name, tensor in best.items()}
        return Place({"steps": taken, "epoch": at, "nearest": nearest}, whole | pack(model, optimizer))

    for epoch, group in groupby(updates, key=lambda update: update.epoch):
        taken += sum(1 for _ in fit(optimizer, group))
        unseen = accuracy(predict(model, tune[0][alike]), tune[1][alike])
        gap = abs(accuracy(predict(model, forget[0]), forget[1]) - unseen)
        bookmark.log.append({"epoch": epoch, "error_gap": gap})
        if gap <= nearest:
            at, nearest, best = epoch, gap, pack(model)
        bookmark.reached(REWIND, place)
    unpack(best, model)
    return Outcome({"steps": taken, "epoch": at, "error_gap": nearest})
