"""The data of an audit's figures: scores of single samples, and the curves through them."""

from dataclasses import dataclass

import numpy as np

from forgetkit.statistics.references import Closer, Rank
from forgetkit.statistics.strata import Labels, Scores, forget_placements, shared_strata

POINTS = 200
"""Most points of a curve; thinning moves it by at most 1/POINTS."""


@dataclass(frozen=True)
class Curves:
    """The scores behind an audit's figures, and the results of the checks against references.

    Attributes:
        forget: φ of the model under audit on the forget set, float64 of shape ``(n,)``.
        labels: classes of the forget set, int64 of shape ``(n,)``.
        unseen: its φ on unseen samples of these classes, float64 of shape ``(m,)``; may be empty.
        unseen_labels: their classes, int64 of shape ``(m,)``.
        original: φ of the original on the forget set, ``(n,)``, if it was given.
        original_unseen: its φ on the same unseen samples, ``(m,)``, if it was given.
        references: φ of each reference on the forget set, each ``(n,)``; may be empty.
        rank: result of ``references.rank``, if it was run.
        closer: result of ``references.closer``, if it was run.
    """

    forget: Scores
    labels: Labels
    unseen: Scores
    unseen_labels: Labels
    original: Scores | None = None
    original_unseen: Scores | None = None
    references: tuple[Scores, ...] = ()
    rank: Rank | None = None
    closer: Closer | None = None


@dataclass(frozen=True)
class Curve:
    """A step function that starts at height 0.

    Attributes:
        x: where it rises, ascending, float64 of shape ``(points,)``.
        height: its height from there on, ascending to 1, of the same shape.
    """

    x: Scores
    height: Scores


def shares(values: Scores, weights: Scores | None = None) -> Curve:
    """Return the share of values at or below each value, weighted, thinned to ``POINTS``.

    Args:
        values: float64 of shape ``(n,)``, n >= 1, finite.
        weights: at least 0 and not all 0, of the same shape; equal if not given.
    """
    order = np.argsort(values, kind="stable")
    height = np.cumsum(np.ones(values.size) if weights is None else weights[order])
    height /= height[-1]
    kept = np.arange(values.size)
    if values.size > POINTS:
        kept = np.unique([0, *np.searchsorted(height, np.arange(1, POINTS) / POINTS), values.size - 1])
    return Curve(values[order][kept], height[kept])


def envelope(models: tuple[Scores, ...]) -> tuple[Curve, Curve]:
    """Return the leftmost and the rightmost of the curves of several models at each height.

    Args:
        models: scores of each model on the same samples, each float64 of shape ``(n,)``, at least one model.
    """
    ordered = np.sort(np.stack(models), axis=1)
    return shares(ordered.min(axis=0)), shares(ordered.max(axis=0))


def same_mix(labels: Labels, unseen_labels: Labels) -> Scores:
    """Return weights that give unseen samples the forget set's mix of classes.

    Args:
        labels: classes of the forget set, int64 of shape ``(n,)``.
        unseen_labels: classes of the unseen samples, int64 of shape ``(m,)``.

    Returns:
        float64 of shape ``(m,)``; 0 for classes that the forget set does not have.
    """
    size = int(max(labels.max(initial=0), unseen_labels.max(initial=0))) + 1
    wanted, there = np.bincount(labels, minlength=size), np.bincount(unseen_labels, minlength=size)
    return np.asarray(wanted[unseen_labels] / there[unseen_labels], dtype=np.float64)


def roc(forget: Scores, labels: Labels, unseen: Scores, unseen_labels: Labels) -> Curve:
    """Return the true-positive rate (height) over the false-positive rate among unseen samples of the same class (x).

    The area under it is the class-stratified AUC of the membership check.

    Args:
        forget: φ on the forget set, float64 of shape ``(n,)``.
        labels: their classes, int64 of shape ``(n,)``.
        unseen: φ on unseen samples, float64 of shape ``(m,)``.
        unseen_labels: their classes, int64 of shape ``(m,)``; at least one of the forget set's.

    Source: Janes & Pepe, "Adjusting for covariate effects on classification accuracy using the covariate-adjusted
    receiver operating characteristic curve", 2009, section 2.
    """
    strata, _ = shared_strata(forget, labels, unseen, unseen_labels)
    return shares(1 - forget_placements(strata))
