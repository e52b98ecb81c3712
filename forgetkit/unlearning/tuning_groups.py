"""On what a step finds its setting out: the forget set, or retained samples that stand in for it.

A few ids, or ids that were chosen for what they have in common, say nothing about where a retrained model would be.
Retained samples, drawn at random, are unlearned in their place; the setting that takes them there is then the ids'.
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
from forgetkit.training.classifier import Samples, state_of, take
from forgetkit.training.device import Machine, generator_for
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.membership_gauge import LARGEST_LOOK, Gauge, Look, gauge_of, pooled

FEWEST = 100
"""Ids below which their own AUC is noise."""
REHEARSED = 200
"""Retained samples that stand in for fewer."""
MANY = 1000
"""Ids from which on looks are to cost little."""
SHARES = (0.35, 0.2)
"""Of the time of the steps between two looks, what a look may take; of fewer than 1,000 ids, and from there on."""
BACKWARD = 3
"""What a training step takes, in predictions of as many samples."""


@dataclass(frozen=True)
class Course:
    """What trials run on.

    Attributes:
        groups: the forget set; or groups of retained samples that stand in for it, each for itself.
        gauges: what is looked at, for each group.
        retain: images and labels that a step may draw from: the retain set, less those that stand in.
        why: why others stand in for the forget set; empty where they do not.
        trained: accuracy on the tune half after the last training: what a stream of steps must keep, all together.
        own: what is looked at of the ids themselves, where others stand in for them.
    """

    groups: list[Samples]
    gauges: list[Gauge]
    retain: Samples
    why: str = ""
    trained: float = 0.0
    own: Gauge | None = None

    @property
    def direct(self) -> bool:
        """Whether trials run on the forget set itself."""
        return not self.why

    def says(self) -> str:
        """Say on what the setting is found out."""
        if self.direct:
            return "judged on the forget set and the tune half"
        sizes = len(self.groups), len(self.groups[0][1])
        return f"{self.why}: rehearsed on {sizes[0] * sizes[1]} retained samples, {sizes[0]} times {sizes[1]}"

    def first(self, count: int) -> "Course":
        """Return the same with the first ``count`` groups only, where each is dear."""
        return replace(self, groups=self.groups[:count], gauges=self.gauges[:count])

    def before(self, model: nn.Module) -> Look:
        """Return what the model shows now; its accuracy is at least that of the last training."""
        found = self.rehearse(model, lambda _: None)
        return replace(found, accuracy=max(found.accuracy, self.trained))

    def kept(self, model: nn.Module) -> float:
        """Return the accuracy on the tune half that steps on the ids must keep; at least that of the last training."""
        return max(self.own.look(model).accuracy if self.own else 0.0, self.trained)

    def fault(self, model: nn.Module, kept: float, margin: float) -> str:
        """Say what is wrong with a model after steps on the ids that were rehearsed on others; empty for nothing.

        Args:
            model: after the steps.
            kept: what :meth:`kept` returned before them.
            margin: accuracy that may be lost.
        """
        if self.own is None:
            return ""
        look = self.own.look(model)
        if look.accuracy < kept - margin:
            lost = f"{kept:.2%} → {look.accuracy:.2%} on the tune half"
            return f"{self.says()}; but on the ids themselves accuracy is lost ({lost})"
        if (look.vanished or 0.0) > look.tolerance:
            return f"{self.says()}; but {look.vanished:.2%} of the ids' classes that are gone are right"
        return ""

    def rehearse(self, model: nn.Module, work: Callable[[Samples], object]) -> Look:
        """Do ``work`` on each group, always from the model's present weights, and pool the looks; weights are put back.

        Args:
            model: changed by ``work``.
            work: unlearns one group.
        """
        start = state_of(model)
        looks = []
        for samples, gauge in zip(self.groups, self.gauges, strict=True):
            work(samples)
            looks.append((gauge.look(model), len(samples[1])))
            model.load_state_dict(start)
        return pooled(looks)


def course_of(request: Request, tune: Samples, machine: Machine, *, seed: int) -> Course:
    """Decide on what a step finds its setting out.

    Args:
        request: what is to be forgotten.
        tune: images and labels of the tune half.
        machine: where to compute.
        seed: of the draw of retained samples.

    Raises:
        NotReached: as :func:`check_judges`.
    """
    split, why, trained = request.dataset.train, _reason(request), _trained(request)
    if not why:
        gauge, forget = gauge_on(request, tune, machine, seed=seed), take(split, request.forget_rows, machine.device)
        check_judges(gauge)
        return Course([forget], [gauge], take(split, request.retain_rows, machine.device), trained=trained)
    kept = _kept(request).to(machine.device)
    groups, rest = _stand_ins(request.retain_rows, len(request.forget_rows), seed)
    taken = [take(split, group, machine.device) for group in groups]
    most = max(64, LARGEST_LOOK // len(groups))
    gauges = [gauge_of(samples, tune, kept, seed=seed + place, most=most) for place, samples in enumerate(taken)]
    check_judges(*gauges)
    own = gauge_on(request, tune, machine, seed=seed)
    return Course(taken, gauges, take(split, rest, machine.device), why, trained, own)


def check_judges(*gauges: Gauge) -> None:
    """Refuse to choose by looks that tell nothing.

    Raises:
        NotReached: where the tune half has no sample of the classes.
    """
    if not any(gauge.judges for gauge in gauges):
        message = "no sample of the tune half is of the ids' classes: no setting could be judged"
        raise NotReached(message, "the method as published, see --help; or retrain: train --like … --exclude …")


def _trained(request: Request) -> float:
    """Return the recorded accuracy on the tune half after the last training; 0 where it is of other classes too."""
    trainings = [step for step in request.record.steps if step.trains]
    found = [step.metrics.get("tune_accuracy", 0.0) for step in trainings]
    right = found[-1] if found and bool(_kept(request).all()) else 0.0
    return float(right) if isinstance(right, int | float) else 0.0


def gauge_on(request: Request, tune: Samples, machine: Machine, *, seed: int) -> Gauge:
    """Return the gauge of the forget set itself, less canaries."""
    forget = take(request.dataset.train, request.measured_rows, machine.device)
    return gauge_of(forget, tune, _kept(request).to(machine.device), seed=seed)


def warn_of_nothing(before: Look, tell: Tell) -> bool:
    """Say so where the ids were not recognisable to begin with: then a look cannot tell whether they were forgotten.

    Returns:
        whether it was so.
    """
    if before.auc is None or before.gap > before.tolerance:
        return False
    shown = f"membership AUC {before.auc:.3f} before, where {before.right:.3g} is none"
    tell(Warned("nothing-memorised", f"nothing measurable was memorised: {shown}"))
    return True


def steps_between(gauge: Gauge, images_per_step: int) -> int:
    """Return how many steps to take between two looks; of 1,000 ids, looking costs a fifth of the steps at the most."""
    share = SHARES[len(gauge.forget[1]) >= MANY]
    return max(1, ceil(gauge.size / (share * BACKWARD * images_per_step)))


def _kept(request: Request) -> torch.Tensor:
    """Return for each class whether samples of it are retained, bool of shape ``(classes,)``."""
    pool = request.dataset.train.labels[request.retain_rows]
    return torch.from_numpy(np.bincount(pool, minlength=len(request.dataset.classes)) > 0)


def _reason(request: Request) -> str:
    """Return why the ids cannot speak for themselves, if they cannot; where a class is gone, they must."""
    split = request.dataset.train
    pool, labels = split.labels[request.retain_rows], split.labels[request.measured_rows]
    if not len(labels):
        return "the ids are canaries"
    known = labels[np.isin(labels, pool)]
    if 2 * len(known) < len(labels):
        return ""
    labels = known
    if len(labels) < FEWEST:
        return f"{len(labels)} ids are too few"
    return "" if class_mix(labels, pool) > CHOSEN_LEVEL else "the ids were chosen, not drawn, by their mix of classes"


def _stand_ins(retain: NDArray[np.int64], count: int, seed: int) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Draw groups of ``count`` retained rows, 200 rows in all; return them, and the other retained rows."""
    order = torch.randperm(len(retain), generator=generator_for(seed, "rehearse")).numpy()
    size = min(count, max(1, len(retain) // 2))
    number = max(1, min(ceil(REHEARSED / size), len(retain) // 2 // size))
    drawn = retain[order]
    return [drawn[start : start + size] for start in range(0, number * size, size)], drawn[number * size :]
