"""Is the model like models that never saw the forgotten samples? Statistics of an audit with references.

A reference is trained by the original's recipe without the forgotten samples; k of them show the result of honest
retraining and its variation. A copy is not a second reference.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from forgetkit.statistics.divergence import (
    Probabilities,
    mean_of,
    means_of_others,
    read_models,
    same_shape,
    total_variation,
)
from forgetkit.statistics.intervals import Estimate, Verdict, check_level, references_needed
from forgetkit.statistics.strata import Scores, check_scores

CLOSER_MARGIN = 0.05
ROUNDING = 1e-12


@dataclass(frozen=True)
class Closer:
    """Distance of a model from the references, as a share of the original's distance.

    Attributes:
        ratio: 0 at the references' mean, 1 as far away as the original.
        floors: the distance of each reference to the mean of the others, as a share of the original's to that mean.
        ends: upper end of the wide interval of each floor.
    """

    ratio: Estimate
    floors: tuple[float, ...]
    ends: tuple[float, ...]

    @property
    def ceiling(self) -> float:
        """The largest ratio that still counts as near: the largest floor plus a margin of 0.05."""
        return max(self.floors) + CLOSER_MARGIN

    @property
    def possible(self) -> bool:
        """Whether the original lies above the ceiling; if not, nothing can pass."""
        return self.ceiling < 1

    @property
    def resolved(self) -> bool:
        """Whether there are so many samples that at least half of the references would themselves pass."""
        return float(np.median(self.ends)) <= self.ceiling

    @property
    def verdict(self) -> Verdict:
        """Pass if the wide interval lies below the ceiling, fail if it lies above both the ceiling and 1.05."""
        if self.possible and self.ratio.wide[1] <= self.ceiling:
            return "pass"
        return "fail" if self.ratio.wide[0] > max(1 + CLOSER_MARGIN, self.ceiling) else "inconclusive"


@dataclass(frozen=True)
class Rank:
    """Rank of a model among the references by the distance of its scores from the others.

    Attributes:
        p: the share of models, itself included, that are at least as far apart; in ``[1 / (k + 1), 1]``.
        p_before: p of the original; None without one.
        signed_before: ``signed`` of the original; None without one.
        apart: mean absolute distance from the other models, in standard deviations.
        signed: mean distance with its sign; positive is remembered, negative over-forgotten.
        references: ``apart`` of each reference, k of them.
        needed: the fewest references with which anything can fail, or pass, at this level.
    """

    p: float
    p_before: float | None
    signed_before: float | None
    apart: float
    signed: float
    references: tuple[float, ...]
    needed: int
    verdict: Verdict

    @property
    def possible(self) -> bool:
        """Whether there are enough references; otherwise the verdict is always inconclusive."""
        return len(self.references) >= self.needed

    @property
    def control_remembers(self) -> bool:
        """Whether the original knows more of the samples than the references do."""
        return (self.signed_before or 0) > 0


def closer(
    after: Probabilities,
    before: Probabilities,
    references: Iterable[Probabilities],
    *,
    level: float = 0.05,
    draws: int = 2000,
    seed: int = 0,
) -> Closer:
    """Compare a model's distance to the mean of the references with the original's, in mean total variation.

    Args:
        after: softmax of the model under audit, float of shape ``(n, classes)``.
        before: softmax of the original, of the same shape.
        references: softmax of k >= 2 references, each of the same shape, or one array ``(k, n, classes)``.
        level: the share of wide intervals that may miss, in (0, 0.5).
        draws: bootstrap resamples of the samples, at least 1.
        seed: of the resampling.

    Raises:
        ValueError: what is no softmax, shapes that differ, fewer than 2 references, an original that equals their mean,
            no draw, or an impossible ``level``.

    Source: the interval of Efron, "Bootstrap methods: another look at the jackknife", 1979; the rest is ours.
    """
    models = read_models(references, fewest=2)
    after, before = (same_shape(p, models[0], name) for p, name in ((after, "after"), (before, "before")))
    middle = mean_of(models)
    far = total_variation(before, middle)
    if far.mean() <= ROUNDING:
        raise ValueError("the original equals the mean of the references on every sample: nothing to come closer to")
    pairs = list(zip(models, means_of_others(models), strict=True))
    near = np.stack([total_variation(one, mean) for one, mean in [(after, middle), *pairs]])
    away = np.stack([far, *(total_variation(before, mean) for _, mean in pairs)])
    ratio, *own = _ratios(near, away, level=level, draws=draws, seed=seed)
    return Closer(ratio, tuple(one.value for one in own), tuple(one.wide[1] for one in own))


def rank(
    phi_after: Scores, phi_before: Scores | None, phi_references: Iterable[Scores], *, level: float = 0.05
) -> Rank:
    """Test exactly whether a model's scores could be those of one more reference.

    Every model is compared with the mean of the others, in standard deviations over all k + 1 models at that sample;
    samples where all agree count 0. The test errs at most at ``level`` however samples depend on each other, if the
    model is exchangeable with the references. One nearer to the middle than any reference does not fail.

    Args:
        phi_after: scores of the model under audit, float64 of shape ``(n,)``, finite.
        phi_before: scores of the original on the same samples, float64 of shape ``(n,)``; None without it: then nothing
            shows that a model that remembers would fail, and no model passes.
        phi_references: scores of k >= 1 references, each of shape ``(n,)``, or one array ``(k, n)``.
        level: the error of the test, in (0, 0.5).

    Returns:
        "fail" if ``p <= level``; "pass" if it is above, and the original's is not, on the side that remembers; else
        "inconclusive".

    Raises:
        ValueError: scores that are not finite, shapes that differ, no reference, or an impossible ``level``.

    Source: Barnard's Monte Carlo test, 1963, as in Phipson & Smyth, "Permutation P-values should never be zero", 2010.
    """
    check_level(level)
    references = list(phi_references)
    known = [] if phi_before is None else [phi_before]
    everyone = [check_scores(phi, "ranked") for phi in (phi_after, *known, *references)]
    shapes = {phi.shape for phi in everyone}
    if not references or len(shapes) > 1 or not all(np.isfinite(phi).all() for phi in everyone):
        raise ValueError(f"cannot rank {len(references)} references: one shape, not {sorted(shapes)}, all finite")
    apart, signed, p = _place(phi_after, references)
    signed_before, p_before = (None, None) if phi_before is None else _place(phi_before, references)[1:]
    # A control that knows less of the samples than the references do, such as another model, remembers nothing.
    caught = p_before is not None and p_before <= level and (signed_before or 0) > 0
    verdict: Verdict = "fail" if p <= level else "pass" if caught else "inconclusive"
    needed = references_needed(level)
    return Rank(p, p_before, signed_before, float(apart[0]), signed, tuple(apart[1:].tolist()), needed, verdict)


def _ratios(near: Scores, far: Scores, *, level: float, draws: int, seed: int) -> list[Estimate]:
    """Return for each model the ratio of two means over the same samples, with percentile intervals over resamples.

    Args:
        near: float64 of shape ``(models, n)``.
        far: likewise.
        level: of the wide interval.
        draws: resamples, the same for all models.
        seed: of the resampling.
    """
    if draws < 1:
        raise ValueError(f"{draws} draws make no interval")
    tails = check_level(level) / 2, level
    (models, n), rng = near.shape, np.random.default_rng(seed)
    ratios = np.full((draws, models), np.inf)
    for draw in range(draws):
        rows = rng.integers(n, size=n)
        below = far[:, rows].sum(axis=1)
        # A draw of samples where the original is at no distance stays infinite: it can only keep a model from passing.
        np.divide(near[:, rows].sum(axis=1), below, out=ratios[draw], where=below > ROUNDING * n)
    low, less = np.quantile(ratios, tails, axis=0, method="lower")
    high, more = np.quantile(ratios, [1 - tail for tail in tails], axis=0, method="higher")
    values = near.sum(axis=1) / far.sum(axis=1)
    wide = zip(np.minimum(low, values).tolist(), np.maximum(high, values).tolist(), strict=True)
    narrow = zip(np.minimum(less, values).tolist(), np.maximum(more, values).tolist(), strict=True)
    return [Estimate(value, outer, inner, n) for value, outer, inner in zip(values.tolist(), wide, narrow, strict=True)]


def _place(candidate: Scores, references: list[Scores]) -> tuple[Scores, float, float]:
    """Return the distance of each model from the others, the candidate first; the candidate's sign; and its p."""
    models = np.vstack([candidate, *references], dtype=np.float64)
    # Where all agree, rounding of their mean must not look like a distance.
    centred = np.where(np.ptp(models, axis=0) > 0, models - models.mean(axis=0), 0.0)
    spread = centred.std(axis=0, ddof=1)
    # The mean of the other k lies k + 1 kths as far as the mean of all.
    distances = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0) * len(models) / len(references)
    apart = np.abs(distances).mean(axis=1)
    beyond = np.count_nonzero(apart[1:] >= apart[0] * (1 - ROUNDING))
    return apart, float(distances[0].mean()), (1 + beyond) / len(models)
