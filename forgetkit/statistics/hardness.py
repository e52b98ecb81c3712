"""Forgotten samples in thirds by how much the original had memorised them, and what a model still shows of each.

A clean average can hide a few samples that are remembered, if there is nothing to forget of the others. How much was
memorised of a sample is how much surer the original is of it than models that never saw it.
"""

from collections.abc import Sequence
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


def compare_parts(
    model: Scores, references: Sequence[Scores], parts: Sequence[Mask], *, level: float = 0.05
) -> list[Estimate]:
    """Estimate for each part how often a model is surer of a sample than a reference is; ½ for one more reference.

    The error is how much references differ from each other: each one's share among the others, with Student's t for the
    k - 1 degrees of freedom. ``level`` is divided among the parts, so all intervals together miss at most so often.

    Args:
        model: φ of the model, float64 of shape ``(n,)``.
        references: φ of k >= 2 models that never saw the samples, each of shape ``(n,)``.
        parts: which samples each part has, bool of shape ``(n,)``; not empty, and chosen with all models alike, or
            without any: see :func:`memorised`.
        level: the share of audits in which an interval of some part may miss, in (0, 0.5).

    Raises:
        ValueError: fewer than 2 references, or an impossible ``level``.

    Source: the prediction interval for one more value of a normal sample; Bonferroni's correction.
    """
    from scipy.special import stdtrit  # as in intervals

    k, each = len(references), check_level(level) / len(parts)
    if k < 2:
        raise ValueError(f"{k} references do not show how much they differ")
    own = [surer(one, [*references[:row], *references[row + 1 :]]) for row, one in enumerate(references)]
    shares = surer(model, references)
    found = []
    for part in parts:
        value = float(shares[part].mean())
        # A reference's share among the k - 1 others varies k / (k - 1) times as much as its own certainty does.
        spread = float(np.std([share[part].mean() for share in own], ddof=1)) * (k - 1) / k * sqrt(1 + 1 / k)
        wide, narrow = (spread * float(stdtrit(k - 1, 1 - tail)) for tail in (each / 2, each))
        ends = [(max(0.0, value - reach), min(1.0, value + reach)) for reach in (wide, narrow)]
        found.append(Estimate(value, ends[0], ends[1], int(part.sum())))
    return found


def never_memorised(shares: Scores) -> int:
    """Estimate of how many samples nothing was memorised, from above: the original is no surer than others of these.

    Where nothing was memorised, the original lies below the median of models that never saw the sample as often as
    above it. So twice the number of samples below it is that of all such samples, and of some that were memorised
    little. It needs no distribution of the scores: a test for each sample by Student's t, whose scores have longer
    tails, made false discoveries in half of all simulated requests.

    Args:
        shares: in which share of others the original is surer of each sample, float64 of shape ``(n,)``, in [0, 1].

    Returns:
        at most n.

    Source: Storey, "A direct approach to false discovery rates", 2002, with λ = ½.
    """
    return min(len(shares), round(float(2 * np.sum(shares < 0.5) + np.sum(shares == 0.5))))
