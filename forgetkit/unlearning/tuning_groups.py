"""On which samples a step tunes its settings: the forget set itself, or retained samples that stand in for it.

A few ids, or ids that were chosen for what they have in common, do not show where a retrained model would be. Groups of
retained samples, drawn at random, are then unlearned instead; the setting that works for them is used for the ids.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from forgetkit.errors import NotReached
from forgetkit.events import Tell, Warned
from forgetkit.statistics.exchangeability import CHOSEN_LEVEL, class_mix
from forgetkit.training.classifier import state_of
from forgetkit.training.device import generator_for
from forgetkit.unlearning.membership_gauge import LARGEST_READING, Gauge, Reading, gauge_of, pooled
from forgetkit.unlearning.sets import Pool, Sets

FEWEST = 100
"""Ids below which the AUC of the ids alone is noise."""
REHEARSED = 200
"""Retained samples that stand in for fewer ids."""
MANY = 1000
"""Ids from which on readings must cost less."""
SHARES = (0.35, 0.2)
"""Time of a reading as a share of the steps between two, for fewer than 1,000 ids and from there on."""
BACKWARD = 3
"""Cost of a training step in predictions of as many samples."""


@dataclass(frozen=True)
class TuningGroups:
    """The groups of samples that settings are tried on.

    Attributes:
        groups: the forget set alone, or groups of retained samples that stand in for it.
        gauges: a gauge for each group.
        retain: what a step may train on: the retain set without those groups.
        reason: why others stand in for the forget set; empty if they do not.
        eroded: accuracy that steps since the last training have cost: what was lost counts as to be kept.
        own: the gauge of the forget set itself, if others stand in for it.
    """

    groups: list[Pool]
    gauges: list[Gauge]
    retain: Pool
    reason: str = ""
    eroded: float = 0.0
    own: Gauge | None = None

    @property
    def direct(self) -> bool:
        """Whether settings are tried on the forget set itself."""
        return not self.reason

    def describe(self) -> str:
        """Return in words which samples settings are tried on."""
        if self.direct:
            return "judged on the forget set and the tune half"
        number, size = len(self.groups), len(self.groups[0])
        return f"{self.reason}: rehearsed on {number * size} retained samples, {number} times {size}"

    def first(self, count: int) -> "TuningGroups":
        """Return the same with at most ``count`` groups, for steps that are expensive."""
        return replace(self, groups=self.groups[:count], gauges=self.gauges[:count])

    def before(self, model: nn.Module) -> Reading:
        """Measure the model before any step; its accuracy counts as that of the last training."""
        found = self.rehearse(model, lambda _: None)
        return replace(found, accuracy=found.accuracy + self.eroded)

    def accuracy_to_keep(self, model: nn.Module) -> float:
        """Return the accuracy on the tune half that steps on the ids themselves must keep."""
        return (self.own.read(model).accuracy if self.own else 0.0) + self.eroded

    def fault(self, model: nn.Module, kept: float, margin: float) -> str:
        """Check a model after steps on the ids whose setting was found on others.

        Args:
            model: after the steps.
            kept: what :meth:`accuracy_to_keep` returned before them.
            margin: accuracy that may be lost.

        Returns:
            what is wrong with the model; empty if nothing is.
        """
        found = self.own and fault_of(self.own.read(model), kept, margin)
        return f"{self.describe()}; but on the ids themselves {found}" if found else ""

    def rehearse(self, model: nn.Module, work: Callable[[Pool], object]) -> Reading:
        """Apply ``work`` to each group, always from the present weights, which are restored; return the pooled reading.

        Args:
            model: changed by ``work``, then restored.
            work: unlearns one group.
        """
        start = state_of(model)
        readings = []
        for group, gauge in zip(self.groups, self.gauges, strict=True):
            work(group)
            readings.append((gauge.read(model), len(group)))
            model.load_state_dict(start)
        return pooled(readings)


def fault_of(reading: Reading, kept: float, margin: float) -> str:
    """Return what is wrong with a model after steps whose setting was found on others; empty if nothing is.

    Args:
        reading: of the ids themselves.
        kept: accuracy on the tune half that was to be kept.
        margin: accuracy that may be lost.
    """
    if reading.accuracy < kept - margin:
        return f"accuracy is lost ({kept:.2%} → {reading.accuracy:.2%} on the tune half)"
    if (reading.vanished or 0.0) > reading.tolerance:
        return f"accuracy on their classes without retained samples is {reading.vanished:.2%}"
    return ""


def tuning_groups(sets: Sets, *, seed: int) -> TuningGroups:
    """Decide which samples settings are tried on.

    Args:
        sets: forget set, retain set and tune half.
        seed: seed of the draw of retained samples.

    Raises:
        NotReached: as :func:`check_judges`.
    """
    reason = why_others(sets)
    if not reason:
        gauge = gauge_on(sets, seed=seed)
        check_judges(gauge)
        return TuningGroups([sets.forget], [gauge], sets.retain, eroded=sets.eroded)
    chosen, rest = _stand_ins(len(sets.retain), len(sets.forget), seed)
    groups = [sets.retain.choose(rows) for rows in chosen]
    most = max(64, LARGEST_READING // len(groups))
    gauges = [
        gauge_of(group.samples, sets.tune, sets.kept_classes, seed=seed + place, most=most)
        for place, group in enumerate(groups)
    ]
    check_judges(*gauges)
    own = gauge_on(sets, seed=seed)
    return TuningGroups(groups, gauges, sets.retain.choose(rest), reason, sets.eroded, own)


def gauge_on(sets: Sets, *, seed: int, most: int = LARGEST_READING) -> Gauge:
    """Return the gauge of the forget set itself, without canaries, on ``most`` unseen samples."""
    return gauge_of(sets.measured_samples, sets.tune, sets.kept_classes, seed=seed, most=most)


def check_judges(*gauges: Gauge) -> None:
    """Refuse to choose a setting by readings that cannot judge.

    Raises:
        NotReached: if the tune half has no sample of the ids' classes.
    """
    if not any(gauge.judges for gauge in gauges):
        message = "the tune half has no sample of the ids' classes, so no setting can be judged"
        raise NotReached(message, "use the method as published, see --help; or retrain: train --like … --exclude …")


def warn_if_not_memorised(before: Reading, tell: Tell) -> bool:
    """Warn if the ids were not recognisable to begin with: no reading can then tell whether they were forgotten.

    Returns:
        whether it warned.
    """
    if before.auc is None or before.gap > before.tolerance:
        return False
    shown = f"membership AUC {before.auc:.3f} before the step, where {before.goal:.3g} means none"
    tell(Warned("nothing-memorised", f"nothing measurable was memorised: {shown}"))
    return True


def steps_between(gauge: Gauge, images_per_step: int) -> int:
    """Return the number of steps between two readings, so that readings cost a small share of the time."""
    share = SHARES[len(gauge.forget[1]) >= MANY]
    return max(1, ceil(gauge.size / (share * BACKWARD * images_per_step)))


def why_others(sets: Sets) -> str:
    """Return why settings must be tried on other samples than the ids; empty if they can be tried on the ids.

    If most of their classes vanish they must be: no retained sample can stand in for those.
    """
    labels, pool = sets.measured_labels, sets.retain.labels
    if not len(labels):
        return "the ids are canaries"
    known = labels[np.isin(labels, pool)]
    if 2 * len(known) < len(labels):
        return ""
    if len(known) < FEWEST:
        return f"{len(known)} ids are too few"
    return "" if class_mix(known, pool) > CHOSEN_LEVEL else "the ids were chosen, not drawn, by their mix of classes"


def _stand_ins(retained: int, count: int, seed: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Draw groups of ``count`` rows of the retain set, 200 rows in all; return them, and the other rows."""
    order = torch.randperm(retained, generator=generator_for(seed, "rehearse")).numpy()
    size = min(count, max(1, retained // 2))
    number = max(1, min(ceil(REHEARSED / size), retained // 2 // size))
    return [order[start : start + size] for start in range(0, number * size, size)], order[number * size :]
