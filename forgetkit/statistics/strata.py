"""Scores sorted into classes, so that every class can be ranked in one pass over integer keys."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Strata:
    """Forget and unseen samples as rank keys.

    Attributes:
        forget: rank keys of the forget samples, int64 of shape ``(n,)``. A key orders by class first, by score second;
            equal scores of a class have equal keys.
        unseen: rank keys of the unseen samples, int64 of shape ``(m,)``.
        forget_class: class positions of the forget samples, int64 of shape ``(n,)``.
        unseen_class: class positions of the unseen samples, int64 of shape ``(m,)``.
        forget_counts: forget samples per class, int64 of shape ``(classes,)``.
        unseen_counts: unseen samples per class, int64 of shape ``(classes,)``.
    """

    forget: Labels
    unseen: Labels
    forget_class: Labels
    unseen_class: Labels
    forget_counts: Labels
    unseen_counts: Labels


def check_scores(scores: Scores, name: str) -> Scores:
    """Return ``scores`` if they can be ranked.

    Raises:
        ValueError: not one-dimensional, empty, or with a NaN.
    """
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"{name} scores have shape {scores.shape}, not (n,) with n >= 1")
    if np.isnan(scores).any():
        raise ValueError(f"{np.count_nonzero(np.isnan(scores))} of {scores.size} {name} scores are NaN")
    return scores


def check_labels(scores: Scores, labels: Labels, name: str) -> None:
    """Check that every score can be ranked and has a label.

    Raises:
        ValueError: scores that cannot be ranked, or not exactly one label each.
    """
    if check_scores(scores, name).shape != labels.shape:
        raise ValueError(f"{name} scores of shape {scores.shape} do not fit labels of shape {labels.shape}")


def stratify(forget: Scores, forget_labels: Labels, unseen: Scores, unseen_labels: Labels) -> Strata:
    """Sort samples into classes.

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``.
        forget_labels: their classes, int64 of shape ``(n,)``.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        unseen_labels: their classes, int64 of shape ``(m,)``.

    Raises:
        ValueError: an empty set, a NaN, or labels that do not fit the scores.
    """
    check_labels(forget, forget_labels, "forget")
    check_labels(unseen, unseen_labels, "unseen")
    scores = np.concatenate([forget, unseen])
    names, position = np.unique(np.concatenate([forget_labels, unseen_labels]), return_inverse=True)
    # Ranks in place of scores: an integer key keeps ties exact and stays ordered by class however large a score is.
    keys = position * scores.size + np.unique(scores, return_inverse=True)[1]
    n = forget.size
    return Strata(
        forget=keys[:n],
        unseen=keys[n:],
        forget_class=position[:n],
        unseen_class=position[n:],
        forget_counts=np.bincount(position[:n], minlength=names.size),
        unseen_counts=np.bincount(position[n:], minlength=names.size),
    )


def auc(forget: Scores, forget_labels: Labels, unseen: Scores, unseen_labels: Labels) -> float:
    """Compute the class-stratified AUC without its interval, for rules that measure it often.

    Args:
        forget: scores of the forget set, float64 of shape ``(n,)``.
        forget_labels: their classes, int64 of shape ``(n,)``.
        unseen: scores of the unseen set, float64 of shape ``(m,)``.
        unseen_labels: their classes, int64 of shape ``(m,)``.

    Returns:
        The probability that a forget sample scores above an unseen one of its class; a tie counts half.

    Raises:
        ValueError: an empty set, a NaN, labels that do not fit, or no class in both sets.
    """
    strata, _ = shared_strata(forget, forget_labels, unseen, unseen_labels)
    return float(forget_placements(strata).mean())


def shared_strata(
    forget: Scores, forget_labels: Labels, unseen: Scores, unseen_labels: Labels
) -> tuple[Strata, NDArray[np.bool_]]:
    """Stratify over the classes that both sets have; also tell which forget samples that kept, bool ``(n,)``."""
    check_labels(forget, forget_labels, "forget")
    check_labels(unseen, unseen_labels, "unseen")
    used = np.isin(forget_labels, unseen_labels)
    if not used.any():
        raise ValueError("the forget and the unseen set share no class, so no AUC can be computed")
    shared = np.isin(unseen_labels, forget_labels)
    return stratify(forget[used], forget_labels[used], unseen[shared], unseen_labels[shared]), used


def forget_placements(strata: Strata) -> Scores:
    """Return for every forget sample the share of its class's unseen samples below it, float64 ``(n,)``."""
    return placements(strata.forget, strata.unseen, strata.forget_class, strata.unseen_counts)


def placements(own: Labels, other: Labels, own_class: Labels, other_counts: Labels) -> Scores:
    """Return for every own key the share of other keys of its class below it, ties counted half."""
    ordered = np.sort(other)
    below = (np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")) / 2
    # Keys order by class first, so all other samples of earlier classes rank below as well.
    earlier = np.cumsum(other_counts) - other_counts
    return np.asarray((below - earlier[own_class]) / other_counts[own_class])


def null_error(forget_labels: Labels, unseen_labels: Labels) -> float:
    """Return the standard error of the class-stratified AUC if nothing leaks.

    Args:
        forget_labels: int64 of shape ``(n,)``.
        unseen_labels: int64 of shape ``(m,)``; at least one class in common.

    Source: Mann & Whitney, "On a test of whether one of two random variables is stochastically larger", 1947.
    """
    size = int(max(forget_labels.max(), unseen_labels.max())) + 1
    n, m = (np.bincount(labels, minlength=size).astype(float) for labels in (forget_labels, unseen_labels))
    n, m = n[(n > 0) & (m > 0)], m[(n > 0) & (m > 0)]
    return float(np.sqrt(np.sum((n / n.sum()) ** 2 * (n + m + 1) / (12 * n * m))))


EXTREME = 1e-3
"""AUCs nearer to 0 or 1 than this count as so near: normal scores have no AUC of 0."""


def leak_of(auc: float, goal: float) -> float:
    """Return how far an AUC is from its goal: what is more than ½ of the AUC that the same shift would give from ½.

    Near 0 and 1 an AUC hardly moves, however much is remembered: between normal scores, it takes the same shift to go
    from 0.02 to 0.05 as from 0.5 to 0.66.

    Args:
        auc: in [0, 1].
        goal: the AUC without a leak, in [0, 1].

    Source: the binormal model, AUC = Φ(d / √2): Hanley & McNeil, "The meaning and use of the area under a receiver
    operating characteristic (ROC) curve", 1982.
    """
    if goal == 0.5:
        return auc - 0.5
    from scipy.special import ndtr, ndtri  # too slow an import for --help

    found, right = np.clip([auc, goal], EXTREME, 1 - EXTREME)
    return float(ndtr(ndtri(found) - ndtri(right)) - 0.5)


def error_at(goal: float) -> float:
    """Return by how much the standard error of :func:`leak_of` at a goal exceeds that at ½; 1 or more.

    Args:
        goal: the AUC without a leak, in [0, 1].

    Source: Hanley & McNeil, as above, for equal numbers of both kinds of samples.
    """
    if goal == 0.5:
        return 1.0
    from scipy.special import ndtri

    high = min(max(goal, 1 - goal), 1 - EXTREME)
    variance = (high / (2 - high) + 2 * high**2 / (1 + high)) / 2 - high**2
    return float(np.sqrt(12 * variance) * np.exp(ndtri(high) ** 2 / 2))
