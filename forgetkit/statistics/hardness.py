"""Forgotten samples in thirds by how much the original had memorised them, and what a model still shows of each.

A clean average can hide a few samples that are remembered, if there is nothing to forget of the others. How much was
memorised of a sample is how much surer the original is of it than models that never saw it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from forgetkit.statistics.intervals import Estimate, check_level
from forgetkit.statistics.strata import Scores

PARTS = 3
Mask = NDArray[np.bool_]


def memorised(original: Scores, never_saw: Sequence[Scores]) -> Scores:
    """Return how much surer the original is of each sample than the mean of models that never saw it.

    To compare a model with references on samples that are ordered by this, give references and model: then the order
    treats them all alike, and a model that never saw the samples is one more of them in every part. With the references
    alone, it would seem surer on the first part, where their mean is low by chance.

    Args:
        original: φ of the original, float64 of shape ``(n,)``.
        never_saw: φ of k >= 1 models, each of shape ``(n,)``, or one array ``(k, n)``.
    """
    found: Scores = original - np.mean(np.asarray(never_saw), axis=0)
    return found


def thirds(scores: Scores) -> list[Mask]:
    """Return which samples are in the third with the highest, the middle and the lowest scores, bool ``(n,)`` each.

    Ties go by the order of the samples; the parts differ by one sample at most.
    """
    place = np.empty(len(scores), dtype=np.int64)
    place[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return [place * PARTS // len(scores) == part for part in range(PARTS)]


def surer(model: Scores, others: Sequence[Scores]) -> Scores:
    """Return in which share of the others a model is surer of each sample, ties one half; float64 ``(n,)``."""
    everyone = np.asarray(others)
    found: Scores = ((everyone < model) + 0.5 * (everyone == model)).mean(axis=0)
    return found


@dataclass(frozen=True)
class Group:
    """What models say of samples that are divided into parts.

    Attributes:
        model: φ of the model under audit, float64 of shape ``(n,)``.
        references: φ of k >= 2 models that never saw the samples, each of shape ``(n,)``.
        parts: which samples each part has, bool of shape ``(n,)``; not empty, and chosen with all models alike, or
            without any: see :func:`memorised`.
    """

    model: Scores
    references: Sequence[Scores]
    parts: Sequence[Mask]

    def shifts(self) -> Scores:
        """Return how much surer each model is of each part than the references, float64 of shape ``(1 + k, parts)``.

        The model comes first, then each reference, compared with the others: differences of mean φ, which unlike ranks
        go on growing where a model is the surest already.
        """
        everyone = np.stack([self.model, *self.references])
        means = np.stack([everyone[:, part].mean(axis=1) for part in self.parts], axis=1)
        known, k = means[1:], len(means) - 1
        own = known - (known.sum(axis=0) - known) / max(k - 1, 1)
        return np.concatenate([means[:1] - known.mean(axis=0), own])

    def variances(self) -> Scores:
        """Return the variance of the model's shift over draws of samples, float64 of shape ``(parts,)``."""
        more = self.model - np.mean(np.stack(self.references), axis=0)
        return np.array([more[part].var(ddof=1) / part.sum() for part in self.parts])


def compare_parts(forget: Group, unseen: Group | None, *, level: float = 0.05) -> list[tuple[Estimate, float]]:
    """Estimate for each part how much surer a model is of it than references are, in φ, and the right value.

    The right value is the difference on the same part of unseen samples; for one more reference it is about 0. It takes
    away what the model shows of samples that it never saw, such as more certainty on the whole, or, if it was made from
    the original, the chance by which the original is high. The error is the larger of two: how much the distance from
    the right value varies among references, and how much the model's own varies with the samples, which counts where it
    is like no reference. The former is of Student's t with k - 1 degrees of freedom. ``level`` is divided among the
    parts, so all intervals together miss at most so often.

    Args:
        forget: what the models say of the samples in question.
        unseen: what they say of unseen samples in parts that were chosen in the same way; None: 0 is right.
        level: the share of audits in which an interval of some part may miss the right value, in (0, 0.5).

    Returns:
        For each part the estimate, whose interval is about the distance from the right value, and that value.

    Raises:
        ValueError: fewer than 2 references, or an impossible ``level``.

    Source: the prediction interval for one more value of a normal sample; Bonferroni's correction.
    """
    from scipy.special import ndtri, stdtrit  # as in intervals

    k, each = len(forget.references), check_level(level) / len(forget.parts)
    if k < 2:
        raise ValueError(f"{k} references do not show how much they differ")
    shifts = forget.shifts()
    right = np.zeros_like(shifts) if unseen is None else unseen.shifts()
    # A reference's distance from the k - 1 others varies k / (k - 1) times as much as its own certainty does.
    spread = (shifts - right)[1:].std(axis=0, ddof=1) * (k - 1) / k * sqrt(1 + 1 / k)
    drawn = np.sqrt(forget.variances() + (0.0 if unseen is None else unseen.variances()))
    wide, narrow = (
        np.maximum(spread * float(stdtrit(k - 1, 1 - tail)), drawn * float(ndtri(1 - tail)))
        for tail in (each / 2, each)
    )
    found = []
    for part, value in enumerate(shifts[0].tolist()):
        ends = [(value - float(reach[part]), value + float(reach[part])) for reach in (wide, narrow)]
        found.append((Estimate(value, ends[0], ends[1], int(forget.parts[part].sum())), float(right[0, part])))
    return found


def never_memorised(shares: Scores) -> int:
    """Estimate of how many samples nothing was memorised, from above: the original is no surer than others of these.

    Where nothing was memorised, the original lies below the median of models that never saw the sample as often as
    above it. So twice the number of samples below it is that of all such samples, and of some that were memorised
    little. It needs no distribution of the scores; a test of each sample by Student's t would make false discoveries
    where scores have long tails.

    Args:
        shares: in which share of others the original is surer of each sample, float64 of shape ``(n,)``, in [0, 1].

    Returns:
        at most n.

    Source: Storey, "A direct approach to false discovery rates", 2002, with λ = ½.
    """
    return min(len(shares), round(float(2 * np.sum(shares < 0.5) + np.sum(shares == 0.5))))
