"""Where a retrained model would be: the forget set looks like data never seen, neither better known nor worse.

Both papers go further, to chance or to all wrong. A retrained model is right on most of the forget set: it generalises;
one that is not marks its members as surely as one that remembers them. What is measured here is the membership AUC
against the tune half of the unseen split, never the check half, on which an audit judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc, null_error
from forgetkit.training.classifier import Samples, accuracy, predict
from forgetkit.training.device import generator_for

TOLERANCE = 0.02
"""Distance of the AUC from ½ that always counts as none."""
LARGEST_LOOK = 1000
"""Unseen samples that a look takes at the most for each of its two questions."""


@dataclass(frozen=True)
class Look:
    """What a model shows of a forget set.

    Attributes:
        auc: membership AUC over the classes that keep retained samples; None where the forget set has no such sample.
        error: its standard error where nothing leaks.
        accuracy: on unseen samples of the classes that keep retained samples.
        vanished: accuracy on forgotten samples of classes of which nothing is retained; None where there are none.
        right: the AUC that a model shows which never saw the forget set.
    """

    auc: float | None
    error: float
    accuracy: float
    vanished: float | None = None
    right: float = 0.5

    @property
    def leak(self) -> float:
        """How far the AUC is from where a model has it that never saw the forget set; 0 where there is none."""
        return 0.0 if self.auc is None else self.auc - self.right

    @property
    def gap(self) -> float:
        """How much is left to forget; 0 where a retrained model would be, below 0 where it was too much.

        It is the leak, or, if that is farther from 0, the accuracy on classes that are gone, of which a retrained model
        knows nothing.
        """
        return max(self.leak, self.vanished or 0.0, key=abs)

    @property
    def tolerance(self) -> float:
        """The distance from 0 at which the gap counts as closed: 0.02, or one standard error if that is more."""
        return max(TOLERANCE, self.error)


@dataclass(frozen=True)
class Gauge:
    """The samples that a look takes.

    Attributes:
        forget: the forget set.
        unseen: a sample of the tune half, matched to the classes of the forget set.
        guard: a sample of the tune half, of the classes that keep retained samples.
        kept: for each class whether it keeps retained samples, bool of shape ``(classes,)``.
        right: the AUC that a model shows which never saw the forget set: ½, or what such a model showed.
    """

    forget: Samples
    unseen: Samples
    guard: Samples
    kept: Tensor
    right: float = 0.5

    @property
    def alike(self) -> bool:
        """Whether the same unseen samples answer both questions, so that they are predicted once."""
        return self.guard is self.unseen

    @property
    def size(self) -> int:
        """How many samples a look takes."""
        return len(self.forget[1]) + len(self.unseen[1]) + (0 if self.alike else len(self.guard[1]))

    @property
    def judges(self) -> bool:
        """Whether a look tells anything: there is an unseen sample of a forgotten class, or a class that is gone."""
        labels = self.forget[1]
        return bool(torch.isin(labels, self.unseen[1]).any() or not self.kept[labels].all())

    def look(self, model: nn.Module) -> Look:
        """Measure a model; nothing of it is changed. Outputs that are not finite count as 0: they know nothing."""
        parts = (self.forget, self.unseen, *(() if self.alike else (self.guard,)))
        logits = predict(model, torch.cat([images for images, _ in parts]))
        logits = torch.nan_to_num(logits, nan=0.0, posinf=0.0, neginf=0.0)
        of_forget, of_unseen, *others = torch.split(logits, [len(labels) for _, labels in parts])
        of_guard, labels = others[0] if others else of_unseen, self.forget[1]
        known = self.kept[labels]
        gone = None if bool(known.all()) else accuracy(of_forget[~known], labels[~known])
        scores = [
            values.cpu().numpy()
            for values in (
                phi(of_forget[known], labels[known]),
                labels[known],
                phi(of_unseen, self.unseen[1]),
                self.unseen[1],
            )
        ]
        shared = bool(np.isin(scores[1], scores[3]).any())
        return Look(
            auc(*scores) if shared else None,
            null_error(scores[1], scores[3]) if shared else 0.0,
            accuracy(of_guard, self.guard[1]),
            gone,
            self.right,
        )


def gauge_of(forget: Samples, tune: Samples, kept: Tensor, *, seed: int = 0, most: int = LARGEST_LOOK) -> Gauge:
    """Choose the samples that looks take, once, so that looking costs little however large the tune half is.

    Args:
        forget: the forget set.
        tune: the tune half of the unseen split.
        kept: for each class whether it keeps retained samples, bool of shape ``(classes,)``.
        seed: of the choice.
        most: samples for each of the two questions; not fewer than the forget set has.
    """
    order = torch.randperm(len(tune[1]), generator=generator_for(seed, "look")).to(tune[1].device)
    images, labels = tune
    size, counts = max(most, len(forget[1])), torch.bincount(forget[1], minlength=len(kept))
    matched, guarded = order[counts[labels[order]] > 0], order[kept[labels[order]]][:size]
    if len(matched) > size:
        quota = (counts * size + len(forget[1]) - 1) // len(forget[1])
        place = torch.zeros_like(matched)
        for label in torch.nonzero(counts).flatten():
            of_class = labels[matched] == label
            place[of_class] = torch.arange(int(of_class.sum()), device=place.device)
        matched = matched[place < quota[labels[matched]]]
    unseen = images[matched], labels[matched]
    return Gauge(forget, unseen, unseen if torch.equal(matched, guarded) else (images[guarded], labels[guarded]), kept)


def pooled(looks: Sequence[tuple[Look, int]]) -> Look:
    """Return one look of several models, each with the number of forget samples that it was taken of.

    A small forget set says nothing by itself; that of many copies of it together does.
    """
    total = sum(count for _, count in looks)

    def mean(name: str) -> float | None:
        values = [(getattr(look, name), count) for look, count in looks if getattr(look, name) is not None]
        return sum(value * count for value, count in values) / sum(count for _, count in values) if values else None

    variance = sum((look.error * count / total) ** 2 for look, count in looks)
    return Look(mean("auc"), sqrt(variance), mean("accuracy") or 0.0, mean("vanished"), looks[0][0].right)


def closes(after: Look, before: Look) -> bool:
    """Say whether what there was to forget is gone: within the tolerance, or no more than half of it is left.

    Where the leak was below 0 there was nothing to forget; then it must not be further below, but for the tolerance.
    Of classes that are gone nothing may be left.
    """
    allowed = max(after.tolerance, abs(before.leak) / 2)
    gone = (after.vanished or 0.0) <= after.tolerance
    return gone and -max(allowed, after.tolerance - before.leak) <= after.leak <= allowed


def recognisable(after: Look, before: Look) -> bool:
    """Say whether a forget set is as recognisable as it was, and was so: more than half of a leak of two errors.

    Or whether more than half of the accuracy on classes that are gone is left.
    """
    known, left = before.vanished or 0.0, after.vanished or 0.0
    leaks = before.auc is not None and before.leak > 2 * before.error and after.leak > before.leak / 2
    return leaks or (known > before.tolerance and left > known / 2)


def keeps(after: Look, before: Look, margin: float) -> bool:
    """Say whether accuracy on unseen samples has not fallen by more than ``margin``."""
    return after.accuracy >= before.accuracy - margin


def words(look: Look) -> str:
    """Say what a look saw."""
    gone = f"{look.vanished or 0.0:.2%} right on classes that are gone (goal 0)"
    if look.auc is None:
        return f"{gone}, accuracy on the others {look.accuracy:.2%}"
    found = f"membership AUC {look.auc:.3f} (goal {look.right:.3g}), accuracy {look.accuracy:.2%}"
    return found if look.vanished is None else f"{found}, {gone}"


def entry(look: Look) -> dict[str, Any]:
    """Return a look as it stands in a record."""
    return {"auc": look.auc, "accuracy": look.accuracy, "vanished": look.vanished, "gap": look.gap}
