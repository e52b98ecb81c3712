"""Where a retrained model would be: its outputs do not tell the forget set from unseen samples.

Both papers go further, to chance or to an accuracy of 0. A retrained model still classifies most of the forget set
correctly, since it generalises; a model that does not gives the forget set away as surely as one that remembers it.
What is measured is the membership-inference AUC against the tune half of the unseen split, never against the check
half, on which an audit judges.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc, error_at, leak_of, null_error
from forgetkit.training.classifier import Samples, accuracy, predict
from forgetkit.training.device import generator_for

TOLERANCE = 0.02
"""Distance of the AUC from its goal that always counts as reached."""
LARGEST_READING = 1000
"""Unseen samples that a reading needs at most, for the AUC and for accuracy each."""


@dataclass(frozen=True)
class Reading:
    """How recognisable the forget set is to a model, and how accurate the model is.

    A class *vanishes* if none of its samples are retained: a retrained model knows nothing of it.

    Attributes:
        auc: membership-inference AUC over the classes that do not vanish; None if the forget set has none of them.
        error: standard error of the AUC of a model that never saw the forget set.
        accuracy: accuracy on unseen samples of the classes that do not vanish.
        vanished: accuracy on forgotten samples of classes that vanish; None if there are none.
        goal: AUC of a model that never saw the forget set.
    """

    auc: float | None
    error: float
    accuracy: float
    vanished: float | None = None
    goal: float = 0.5

    @property
    def leak(self) -> float:
        """Distance of the AUC from its goal, by :func:`leak_of`; 0 without an AUC."""
        return 0.0 if self.auc is None else leak_of(self.auc, self.goal)

    @property
    def noise(self) -> float:
        """Standard error of the leak of a model that never saw the forget set."""
        return self.error * error_at(self.goal)

    @property
    def gap(self) -> float:
        """Distance to a retrained model: above 0 there is more to forget, below 0 the step went too far.

        It is the leak or, if that is farther from 0, the accuracy on classes that vanish.
        """
        return max(self.leak, self.vanished or 0.0, key=abs)

    @property
    def tolerance(self) -> float:
        """Largest gap that counts as closed: 0.02, or one standard error if that is more."""
        return max(TOLERANCE, self.noise)


@dataclass(frozen=True)
class Gauge:
    """Measures models on a fixed choice of samples.

    Attributes:
        forget: images and labels of the forget set.
        unseen: of the tune half, matched to the classes of the forget set: for the AUC.
        guard: of the tune half, of the classes that do not vanish: for accuracy.
        kept: for each class whether it does not vanish, bool of shape ``(classes,)``.
        goal: AUC of a model that never saw the forget set: ½, or the one that such a model had.
    """

    forget: Samples
    unseen: Samples
    guard: Samples
    kept: Tensor
    goal: float = 0.5

    @property
    def alike(self) -> bool:
        """Whether the AUC and accuracy use the same unseen samples, so that they are predicted once."""
        return self.guard is self.unseen

    @property
    def size(self) -> int:
        """Number of samples that a reading predicts."""
        return len(self.forget[1]) + len(self.unseen[1]) + (0 if self.alike else len(self.guard[1]))

    @property
    def judges(self) -> bool:
        """Whether a reading can judge: there are unseen samples of a forgotten class, or a class vanishes."""
        labels = self.forget[1]
        return bool(torch.isin(labels, self.unseen[1]).any() or not self.kept[labels].all())

    def read(self, model: nn.Module) -> Reading:
        """Measure a model, which is left as it is."""
        return self.reading(*self.logits(model))

    def logits(self, model: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of a model on ``forget``, ``unseen`` and ``guard``."""
        parts = (self.forget, self.unseen, *(() if self.alike else (self.guard,)))
        found = predict(model, torch.cat([images for images, _ in parts]))
        of_forget, of_unseen, *others = torch.split(found, [len(labels) for _, labels in parts])
        return of_forget, of_unseen, others[0] if others else of_unseen

    def reading(self, of_forget: Tensor, of_unseen: Tensor, of_guard: Tensor) -> Reading:
        """Return what logits on ``forget``, ``unseen`` and ``guard`` show. Those that are not finite count as 0."""
        of_forget, of_unseen, of_guard = (
            torch.nan_to_num(one, nan=0.0, posinf=0.0, neginf=0.0) for one in (of_forget, of_unseen, of_guard)
        )
        labels = self.forget[1]
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
        return Reading(
            auc(*scores) if shared else None,
            null_error(scores[1], scores[3]) if shared else 0.0,
            accuracy(of_guard, self.guard[1]),
            gone,
            self.goal,
        )


def gauge_of(forget: Samples, tune: Samples, kept: Tensor, *, seed: int = 0, most: int = LARGEST_READING) -> Gauge:
    """Choose the samples of a gauge once, so that a reading is cheap however large the tune half is.

    Args:
        forget: images and labels of the forget set.
        tune: images and labels of the tune half of the unseen split.
        kept: for each class whether samples of it are retained, bool of shape ``(classes,)``.
        seed: seed of the choice.
        most: unseen samples for the AUC and for accuracy each; at least as many as the forget set has.
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


def pooled(readings: Sequence[tuple[Reading, int]]) -> Reading:
    """Average readings of several models, weighted by the number of forget samples of each.

    A single small forget set tells nothing; many of its size together do.
    """
    total = sum(count for _, count in readings)

    def mean(name: str) -> float | None:
        """Average a figure over the readings that have it."""
        values = [(getattr(reading, name), count) for reading, count in readings if getattr(reading, name) is not None]
        return sum(value * count for value, count in values) / sum(count for _, count in values) if values else None

    variance = sum((reading.error * count / total) ** 2 for reading, count in readings)
    return Reading(mean("auc"), sqrt(variance), mean("accuracy") or 0.0, mean("vanished"), readings[0][0].goal)


def is_forgotten(after: Reading, before: Reading, *, errors: float = 1.0) -> bool:
    """Return whether the leak is within its tolerance, or so many standard errors, or at most half of what it was.

    If the leak was below 0 there was nothing to forget: it must not fall further, except within the tolerance.
    Accuracy on classes that vanish must be within the tolerance of 0.
    """
    tolerance = max(after.tolerance, errors * after.noise)
    allowed = max(tolerance, abs(before.leak) / 2)
    gone = (after.vanished or 0.0) <= after.tolerance
    return gone and -max(allowed, tolerance - before.leak) <= after.leak <= allowed


def recognisable(after: Reading, before: Reading) -> bool:
    """Return whether a forget set that was recognisable still is.

    That is: more than half remains of a leak of two standard errors, or of the accuracy on classes that vanish.
    """
    known, left = before.vanished or 0.0, after.vanished or 0.0
    leaks = before.auc is not None and before.leak > 2 * before.noise and after.leak > before.leak / 2
    return leaks or (known > before.tolerance and left > known / 2)


def keeps_accuracy(after: Reading, before: Reading, margin: float) -> bool:
    """Return whether accuracy on unseen samples fell by at most ``margin``."""
    return after.accuracy >= before.accuracy - margin


def describe(reading: Reading) -> str:
    """Return a reading in words."""
    gone = f"accuracy on classes without retained samples {reading.vanished or 0.0:.2%} (goal 0 %)"
    if reading.auc is None:
        return f"{gone}, on the others {reading.accuracy:.2%}"
    found = f"membership AUC {reading.auc:.3f} (goal {reading.goal:.3g}), accuracy {reading.accuracy:.2%}"
    return found if reading.vanished is None else f"{found}, {gone}"


def recorded(reading: Reading) -> dict[str, Any]:
    """Return a reading as a record holds it."""
    return {"auc": reading.auc, "accuracy": reading.accuracy, "vanished": reading.vanished, "gap": reading.gap}
