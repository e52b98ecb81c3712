"""What the shadow models say of the samples of an audit, after they took the step under audit themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.subject import Subject
from forgetkit.data.attributes import column_of
from forgetkit.data.dataset import Split
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import load_classifier, predict, take
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.recipe import MACHINE
from forgetkit.training.shadows import Shadows

OWN = MACHINE | {"steps", "shadows", "searched", "budget", "utility_margin", "mask"}
"""Options of a step that differ between a model and its shadow models, or say nothing of how it forgets."""
Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class OnSamples:
    """φ of each shadow model on some samples, and what each pair has to do with them.

    Attributes:
        scores: float64 of shape ``(shadow models, samples)``.
        sides: whether the second twin's half has the sample, bool of shape ``(pairs, samples)``.
        groups: number of each sample's group, int64 of shape ``(samples,)``.
    """

    scores: Scores
    sides: Mask
    groups: NDArray[np.int64]

    @property
    def never(self) -> Mask:
        """Whether the half of a shadow model has not the sample, bool of the shape of the scores."""
        found = np.empty(self.scores.shape, dtype=bool)
        found[::2], found[1::2] = self.sides, ~self.sides
        return found

    @property
    def usual(self) -> Scores:
        """Mean φ over the shadow models whose half has not the sample, float64 of shape ``(samples,)``."""
        never = self.never
        found: Scores = (self.scores * never).sum(0) / never.sum(0)
        return found


@dataclass(frozen=True)
class ShadowPredictions:
    """Predictions of all shadow models.

    Attributes:
        forget: on the samples in question.
        unseen: on the check half, with sides drawn at random.
        retained: on retained samples of the same classes, which the twin that saw them still knows.
        counts: which samples the twin that saw them forgot by the step under audit, bool of shape ``(pairs, samples)``.
        why: why none counts; empty if some do.
    """

    forget: OnSamples
    unseen: OnSamples
    retained: OnSamples
    counts: Mask
    why: str


def predict_shadows(
    shadows: Shadows, subject: Subject, machine: Machine, *, attributes: str | None
) -> ShadowPredictions:
    """Evaluate the shadow models.

    Args:
        shadows: those of the original.
        subject: what is judged.
        machine: where to compute.
        attributes: table with the column that samples are grouped by, if the data set has not.

    Raises:
        ForgetkitError: as reading checkpoints and the table.
    """
    train, test, rows = subject.dataset.train, subject.dataset.test, subject.retain_rows
    retained = rows[draw_retained(train.labels[subject.rows], train.labels[rows])]
    here = np.stack([second.record.was_trained(train.ids) for second in shadows.members[1::2]])
    groups, grouped = _groups(shadows, subject, attributes)
    parts: list[tuple[Split, NDArray[np.int64]]] = [(train, subject.rows), (test, subject.dataset.check_rows)]
    samples = [take(split, rows, machine.device) for split, rows in [*parts, (train, retained)]]
    scores: list[list[Scores]] = [[], [], []]
    for one in shadows.members:
        model = load_classifier(one.path, one.record, machine)
        for found, (images, labels) in zip(scores, samples, strict=True):
            found.append(phi(predict(model, images), labels).cpu().numpy())
    unseen = len(subject.dataset.check_rows)
    drawn = subject.rows[draw_sides(len(subject.rows), unseen)]
    counts, why = _counting(shadows, subject, train.ids_at(subject.rows))
    return ShadowPredictions(
        OnSamples(np.stack(scores[0]), here[:, subject.rows], groups[subject.rows]),
        OnSamples(np.stack(scores[1]), here[:, drawn], np.arange(unseen)),
        OnSamples(np.stack(scores[2]), here[:, retained], groups[retained]),
        counts if grouped else np.zeros_like(counts),
        why if grouped else f"the halves go by {shadows.group}: name the table that has it, --attributes FILE.csv",
    )


def draw_sides(size: int, count: int) -> NDArray[np.int64]:
    """Draw ``count`` of ``size`` places, with replacement: unseen samples are judged as forgotten ones are."""
    return np.random.default_rng(seed_for(0, "sides")).integers(0, size, count) if size else np.empty(0, dtype=np.int64)


def draw_retained(forget: NDArray[np.int64], retain: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw retained samples of the forgotten ones' classes, at least 200 if there are; return their places.

    Args:
        forget: labels of the forgotten samples, int64.
        retain: labels of the retained ones, int64.
    """
    wanted = np.bincount(forget)
    factor = max(1, -(-200 // max(1, len(forget))))
    order = np.random.default_rng(seed_for(0, "retained")).permutation(len(retain))
    chosen = [order[retain[order] == label][: factor * count] for label, count in enumerate(wanted)]
    return np.concatenate([order[:0], *chosen])


def _groups(shadows: Shadows, subject: Subject, attributes: str | None) -> tuple[NDArray[np.int64], bool]:
    """Return the number of each training sample's group, and whether the groups are known."""
    ids = subject.dataset.train.ids
    if shadows.group is None:
        return np.arange(len(ids)), True
    if attributes is None and shadows.group not in subject.dataset.attributes:
        return np.arange(len(ids)), False
    values = column_of(subject.dataset, shadows.group, attributes)
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return np.array([numbers[value] for value in values]), True


class Taken(Protocol):
    """A step, as a record has it."""

    @property
    def command(self) -> str:
        """The command."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Its resolved options."""


@dataclass(frozen=True)
class Course:
    """What became of the samples in question in one shadow model.

    Attributes:
        saw: which it was ever trained on, bool of shape ``(samples,)``.
        holds: which of them it has not forgotten.
        step: its last step that unlearned; None if there is none.
    """

    saw: Mask
    holds: Mask
    step: Taken | None


def _counting(shadows: Shadows, subject: Subject, ids: Sequence[str]) -> tuple[Mask, str]:
    """Say which twins forgot which samples by the step under audit; and why none did."""
    courses = [
        Course(one.record.was_trained(ids), one.holds(ids), next(iter(one.record.unlearning[::-1]), None))
        for one in shadows.members
    ]
    refresh = f"forgetkit shadows refresh {shadows.folder} --ids IDS.txt"
    return count_twins(courses, next(iter(subject.record.unlearning[::-1]), None), refresh)


def count_twins(courses: Sequence[Course], step: Taken | None, refresh: str) -> tuple[Mask, str]:
    """Say which twins forgot which samples by the step under audit, bool of shape ``(pairs, samples)``; why none did.

    Args:
        courses: of each shadow model; twins follow each other.
        step: the step under audit; None if the model took none.
        refresh: how to make the shadow models forget.
    """
    took, why = np.zeros((len(courses), len(courses[0].saw)), dtype=bool), ""
    for number, one in enumerate(courses):
        if one.holds.any():
            why = f"shadow models still hold ids: {refresh}"
        elif step is None:
            why = "the model took no step that shadow models could repeat: it was trained without the ids"
        elif one.step is None:
            why = why or "the shadow models were retrained: that tells nothing of the step"
        elif different := differences(one.step, step):
            why = f"the shadow models took another step ({different})"
        else:
            took[number] = one.saw
    # Where only one twin took the step, all coins would lie on one side, and the median would hide what it knows.
    first, second = took[::2], took[1::2]
    both = np.any(first, axis=1, keepdims=True) & np.any(second, axis=1, keepdims=True)
    counts: Mask = (first | second) & both
    return counts, "" if counts.any() else why or "no shadow model saw the ids"


def differences(own: Taken, step: Taken) -> str:
    """Say in what a shadow model's step differs from the step under audit; nothing if it is the same."""
    if own.command != step.command:
        return own.command
    shared = (own.options.keys() & step.options.keys()) - OWN
    return ", ".join(sorted(name for name in shared if own.options[name] != step.options[name]))
