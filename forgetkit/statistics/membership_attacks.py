"""The membership attacks of the field that compare a model with models that never saw a sample: arrays in, scores out.

A higher score says "member". Forgotten and unseen samples go through a function together, so that whatever it pools is
pooled over both. Where a model did see a sample, its value is NaN and does not count.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Scores = NDArray[np.float64]
RMIA_A = 0.3
"""The authors' value for CIFAR-10, and their code's default: how far an outside model's certainty tells an inside
one's."""
PRIOR_MODELS = 4.0
"""How many models the pooled variance counts for in BaVarIA's prior: our choice, the smallest whole number with which
the predictive distribution has a variance even if it rests on the prior alone (degrees of freedom above 2) and a fourth
moment as soon as there is one model."""
OWN_VARIANCE_FROM = 64
"""Models from which each sample's variance is estimated by itself, in LiRA."""
SMALLEST = float(np.finfo(np.float64).tiny)


def rmia(certainty: Scores, others: Scores, *, a: float = RMIA_A) -> Scores:
    """Score by the likelihood ratio of RMIA, offline: log of p(x) under the model over p(x) on average.

    The average over models that saw x or not is taken to be ½ ((1 + a) p_out(x) + (1 − a)). The paper's score is the
    share of population samples whose ratio is smaller by a factor γ. It grows with the ratio, so it orders samples
    alike and needs a population only for ties.

    Args:
        certainty: the model's softmax of the true class, float64 of shape ``(n,)``.
        others: that of k >= 1 models that never saw the samples, float64 of shape ``(k, n)``; NaN does not count.
        a: in [0, 1].

    Returns:
        float64 of shape ``(n,)``.

    Source: Zarifzadeh, Liu & Shokri, "Low-Cost High-Power Membership Inference Attacks", 2024, offline form; formula
    and ``a`` as in the authors' ml_privacy_meter.
    """
    average = ((1 + a) * np.nanmean(others, axis=0) + 1 - a) / 2
    return np.asarray(np.log(np.maximum(certainty, SMALLEST)) - np.log(np.maximum(average, SMALLEST)))


def lira(phi: Scores, others: Scores) -> Scores:
    """Score by how many standard deviations φ lies above that of models that never saw the sample: offline LiRA.

    The paper's score is 1 − Pr[N(μ, σ²) > φ], which orders samples alike. Below 64 models σ² is one pooled variance.

    Args:
        phi: of the model, float64 of shape ``(n,)``.
        others: φ of k >= 2 models that never saw the samples, float64 of shape ``(k, n)``; NaN does not count.

    Returns:
        float64 of shape ``(n,)``.

    Source: Carlini et al., "Membership Inference Attacks From First Principles", 2022, sections V and VI-C.
    """
    mean, own, pooled, counts = moments(others)
    variance = np.where(counts < OWN_VARIANCE_FROM, pooled, own)
    return (phi - mean) / _deviation(variance)


def bavaria(phi: Scores, others: Scores) -> Scores:
    """Score by φ in the predictive Student-t distribution of models that never saw the sample: BaVarIA, offline.

    The variance of each sample has an inverse-gamma prior around the pooled variance, and its mean a flat one, so with
    k models the variance is (4 · pooled + (k − 1) · own) / (k + 3), and the predictive distribution has k + 3 degrees
    of freedom. All samples share them, so the standardised φ orders samples as the distribution function does.

    Args:
        phi: of the model, float64 of shape ``(n,)``.
        others: φ of k >= 2 models that never saw the samples, float64 of shape ``(k, n)``; NaN does not count.

    Returns:
        float64 of shape ``(n,)``.

    Source: Brännvall, "Exponential-Family Membership Inference: From LiRA and RMIA to BaVarIA", 2026:
    normal-inverse-gamma prior, Student-t predictive. The strength of the prior is ours.
    """
    mean, own, pooled, counts = moments(others)
    variance = (PRIOR_MODELS * pooled + (counts - 1) * own) / (PRIOR_MODELS + counts - 1)
    return (phi - mean) / _deviation(variance * (1 + 1 / counts))


def u_lira(phi: Scores, inside: Scores, outside: Scores) -> Scores:
    """Score by the log-likelihood ratio of models that saw the sample and forgot it to models that never saw it.

    Both are normal, with a mean for each sample and one pooled variance, as in LiRA with few models.

    Args:
        phi: of the models to judge, float64 of shape ``(..., n)``.
        inside: φ of k >= 2 models that saw the samples and forgot them, float64 ``(k, n)``; NaN does not count.
        outside: φ of models that never saw them, likewise.

    Returns:
        float64 of the shape of ``phi``.

    Source: Hayes et al., "Inexact Unlearning Needs More Careful Evaluations to Avoid a False Sense of Privacy", 2024;
    the pooled variance as in Carlini et al. 2022.
    """
    known, never = (_log_normal(phi, models) for models in (inside, outside))
    return known - never


def ruli(phi: Scores, inside: Scores, outside: Scores) -> Scores:
    """Score as :func:`u_lira` does, with kernel densities in place of normal ones (bandwidth 1, as the authors' code).

    The paper's score is p_in / (p_in + p_out), which orders samples alike.

    Args:
        phi: of the models to judge, float64 of shape ``(..., n)``.
        inside: φ of k >= 1 models that saw the samples and forgot them, float64 ``(k, n)``; NaN does not count.
        outside: φ of models that took the same step and never saw them, likewise.

    Returns:
        float64 of the shape of ``phi``.

    Source: Naderloui et al., "Rectifying Privacy and Efficacy Measurements in Machine Unlearning", 2025 (RULI).
    """
    known, never = (_log_kernel(phi, models) for models in (inside, outside))
    return known - never


def moments(models: Scores) -> tuple[Scores, Scores, float, NDArray[np.int64]]:
    """Return mean, variance and number of models of each sample, ``(n,)`` each, and the pooled variance.

    Args:
        models: float64 of shape ``(k, n)``, at least 2 values of each sample; NaN does not count.
    """
    counts = np.count_nonzero(~np.isnan(models), axis=0)
    mean, own = np.nanmean(models, axis=0), np.nanvar(models, axis=0, ddof=1)
    return mean, own, float(np.average(own, weights=counts - 1)), counts


def _deviation(variance: Scores) -> Scores:
    """Return the standard deviation, never 0."""
    return np.sqrt(np.maximum(variance, SMALLEST))


def _log_normal(phi: Scores, models: Scores) -> Scores:
    mean, _, pooled, _ = moments(models)
    variance = max(pooled, SMALLEST)
    return np.asarray(-((phi - mean) ** 2) / (2 * variance) - np.log(variance) / 2)


def _log_kernel(phi: Scores, models: Scores) -> Scores:
    distance = phi[..., None, :] - models
    weights = ~np.isnan(models) / np.count_nonzero(~np.isnan(models), axis=0)
    found = logsumexp(-(np.nan_to_num(distance) ** 2) / 2, b=np.broadcast_to(weights, distance.shape), axis=-2)
    return np.asarray(found)
