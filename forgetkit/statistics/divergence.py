"""Distance of a model's softmax from that of models that never saw the forgotten samples: the divergence certificate.

The distance of two softmax vectors p and q has a direction and a length: D = 1 - cosine, N = | ||p|| - ||q|| |, and
``N² + 2 ||p|| ||q|| D = ||p - q||²``. The total variation is at most ``½ sqrt(classes) ||p - q||``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetkit.statistics.strata import Scores

Probabilities = NDArray[np.float64]

PROBE_QUANTILE = 0.95
AUTO_FROM = 5
"""Fewest references whose own divergence is a bound."""
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Divergence:
    """Distance of two models at each probe.

    Attributes:
        cosine: D, one less the cosine of the two softmax vectors, float64 of shape ``(n,)``, in [0, 1].
        norm: N, the difference of their Euclidean norms, float64 of shape ``(n,)``, in [0, 1).
        delta: Δ, the Euclidean distance that both make up, float64 of shape ``(n,)``, in [0, √2].
    """

    cosine: Scores
    norm: Scores
    delta: Scores

    @property
    def statistic(self) -> float:
        """T, the 95th percentile of Δ over the probes, in [0, √2]; linear between order statistics."""
        return float(np.quantile(self.delta, PROBE_QUANTILE))

    @property
    def cosine_statistic(self) -> float:
        """The same percentile of D, in [0, 1]. Percentiles do not make up T as D and N make up Δ at each probe."""
        return float(np.quantile(self.cosine, PROBE_QUANTILE))

    @property
    def norm_statistic(self) -> float:
        """The same percentile of N, in [0, 1)."""
        return float(np.quantile(self.norm, PROBE_QUANTILE))


@dataclass(frozen=True)
class AutoBound:
    """The bound that honest retraining keeps.

    Attributes:
        value: the largest T of a reference against the mean of the others.
        statistics: those T, k of them.
        false_alarms: largest probability that one more reference exceeds it by ``least_statistic``: 1 / (k + 1).
    """

    value: float
    statistics: tuple[float, ...]
    false_alarms: float


def divergence(model: Probabilities, mean: Probabilities) -> Divergence:
    """Measure the divergence of a model from the references at each probe.

    Args:
        model: softmax of the model, float of shape ``(n, classes)``.
        mean: mean softmax of the references, of the same shape.

    Raises:
        ValueError: what is no softmax, or shapes that differ.

    Source: the cosine and norm that Li & Ghosh, "Random Relabeling for Efficient Machine Unlearning", 2023, name
    without a formula; the formula is ours.
    """
    p = read_softmax(model, "model")
    q = same_shape(mean, p, "mean")
    lengths = np.linalg.norm(p, axis=1, keepdims=True), np.linalg.norm(q, axis=1, keepdims=True)
    # ½ ||p/|p| - q/|q|||² is 1 - cosine without its cancellation, and never negative.
    cosine = 0.5 * np.sum((p / lengths[0] - q / lengths[1]) ** 2, axis=1)
    return Divergence(cosine, np.abs(lengths[0] - lengths[1])[:, 0], np.linalg.norm(p - q, axis=1))


def auto_bound(references: Iterable[Probabilities]) -> AutoBound:
    """Find the bound that honest retraining keeps: the largest T of a reference against the mean of the others.

    Args:
        references: softmax of k >= 5 references, each float of shape ``(n, classes)``, or one array.

    Raises:
        ValueError: fewer than 5 references, what is no softmax, or shapes that differ.

    Source: ours; the rate as in ``least_statistic``.
    """
    models = read_models(references, fewest=AUTO_FROM)
    others = zip(models, means_of_others(models), strict=True)
    found = tuple(divergence(model, mean).statistic for model, mean in others)
    return AutoBound(max(found), found, 1 / (len(models) + 1))


def least_statistic(model: Probabilities, references: Iterable[Probabilities]) -> float:
    """Measure T as ``auto_bound`` wants it: against each mean of all references but one, the smallest.

    A model above the bound is then further than each reference j from the mean of all models but the two. Of ``k + 1``
    exchangeable models at most one can be further than every other in that way, so one more reference lies above the
    bound with probability at most ``1 / (k + 1)``. The mean of all k would give smaller distances than the bound's.

    Args:
        model: softmax of the model, float of shape ``(n, classes)``.
        references: softmax of k >= 2 references, each of the same shape, or one array ``(k, n, classes)``.

    Raises:
        ValueError: fewer than 2 references, what is no softmax, or shapes that differ.

    Source: the tournament of Barber et al., "Predictive inference with the jackknife+", 2021, proof of theorem 1.
    """
    return least_divergence(model, references).statistic


def least_divergence(model: Probabilities, references: Iterable[Probabilities]) -> Divergence:
    """Return the divergence whose T ``least_statistic`` is; arguments and errors are the same."""
    found = (divergence(model, mean) for mean in means_of_others(read_models(references, fewest=2)))
    return min(found, key=lambda apart: apart.statistic)


def total_variation(p: Probabilities, q: Probabilities) -> Scores:
    """Return half the L1 distance of each row, float64 of shape ``(n,)``, in [0, 1], for two ``(n, classes)``."""
    return np.asarray(0.5 * np.abs(p - q).sum(axis=1))


def mean_of(models: list[Probabilities]) -> Probabilities:
    """Return the mean of arrays of one shape, float64."""
    return np.asarray(sum(models[1:], start=models[0]) / len(models))


def means_of_others(models: list[Probabilities]) -> Iterator[Probabilities]:
    """Yield for each of at least 2 models the mean of all the others, float64 of shape ``(n, classes)``."""
    total = sum(models[1:], start=models[0])
    for model in models:
        yield np.maximum(total - model, 0.0) / (len(models) - 1)


def read_models(references: Iterable[Probabilities], *, fewest: int) -> list[Probabilities]:
    """Return the softmax of each reference, float64 of shape ``(n, classes)``.

    Raises:
        ValueError: fewer than ``fewest``, what is no softmax, or shapes that differ.
    """
    models = [read_softmax(p, f"reference {position}") for position, p in enumerate(references)]
    if len(models) < fewest:
        raise ValueError(f"{len(models)} references are too few: this needs at least {fewest}")
    return [same_shape(p, models[0], f"reference {position}") for position, p in enumerate(models)]


def same_shape(p: Probabilities, other: Probabilities, name: str) -> Probabilities:
    """Return a softmax that has the shape of another.

    Raises:
        ValueError: what is no softmax, or another shape.
    """
    if p.shape != other.shape:
        raise ValueError(f"softmax of {name} has shape {p.shape}, not {other.shape}")
    return read_softmax(p, name)


def read_softmax(p: Probabilities, name: str) -> Probabilities:
    """Return a softmax as float64 of shape ``(n, classes)``, if it is one.

    Raises:
        ValueError: not two-dimensional, empty, a NaN, a negative entry, or a row that does not sum to 1.
    """
    if p.ndim != 2 or not p.size:
        raise ValueError(f"softmax of {name} has shape {p.shape}, not (n, classes) with n >= 1")
    p = p.astype(np.float64, copy=False)
    # Written so that a NaN is wrong too.
    wrong = ~((p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= SUM_TOLERANCE))
    if wrong.any():
        raise ValueError(f"{np.count_nonzero(wrong)} of {len(p)} rows of {name} are no softmax")
    return p
