"""The attacks of the field: by hand, and against the papers' formulas written out one sample at a time."""

from collections.abc import Callable
from math import exp, inf, log, nan, pi, sqrt

import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy import stats

from forgetkit.statistics.membership_attacks import OWN_VARIANCE_FROM, bavaria, lira, moments, rmia, ruli, u_lira
from forgetkit.statistics.strata import auc

Scores = NDArray[np.float64]


def order(scores: Scores) -> list[int]:
    return np.argsort(scores, kind="stable").tolist()


def models(k: int, n: int, seed: int = 0) -> tuple[Scores, Scores]:
    """Return φ of a model and of ``k`` others on samples of different difficulty and spread."""
    draw = default_rng(seed)
    level, spread = 3 * draw.standard_normal(n), np.exp(draw.standard_normal(n))
    found = level + spread * draw.standard_normal((k + 1, n))
    return found[0], found[1:]


def test_rmia_by_hand() -> None:
    others = np.array([[0.2, 0.9], [0.4, 0.7]])
    average = [(1.3 * 0.3 + 0.7) / 2, (1.3 * 0.8 + 0.7) / 2]
    expected = [log(0.6 / average[0]), log(0.5 / average[1])]
    assert rmia(np.array([0.6, 0.5]), others, a=0.3) == pytest.approx(expected)


def rmia_of_the_paper(x: Scores, x_out: Scores, z: Scores, z_out: Scores, gamma: float) -> Scores:
    """Return the share of population samples that each sample's ratio beats by γ (Zarifzadeh et al. 2024)."""

    def ratio(p: float, p_out: Scores) -> float:
        return p / (0.5 * ((1 + 0.3) * float(np.mean(p_out)) + (1 - 0.3)))

    population = [ratio(p, z_out[:, at]) for at, p in enumerate(z)]
    return np.array([np.mean([ratio(p, x_out[:, at]) / r > gamma for r in population]) for at, p in enumerate(x)])


@pytest.mark.parametrize("gamma", [1.0, 2.0])
def test_rmia_orders_samples_as_the_papers_score_does(gamma: float) -> None:
    draw = default_rng(1)
    (x, z), (x_out, z_out) = (draw.random((2, 40)), draw.random((2, 5, 40)))
    theirs, ours = rmia_of_the_paper(x, x_out, z, z_out, gamma), rmia(x, x_out)
    steps = theirs[order(ours)]
    assert (np.diff(steps) >= 0).all()
    assert steps[-1] > steps[0]


def test_rmia_of_a_probability_that_rounds_to_0_is_finite() -> None:
    assert np.isfinite(rmia(np.zeros(2), np.zeros((3, 2)), a=1.0)).all()


def test_lira_by_hand() -> None:
    others = np.array([[0.0, 10.0], [2.0, 14.0]])  # variances 2 and 8, pooled 5
    assert lira(np.array([4.0, 11.0]), others) == pytest.approx([3 / sqrt(5), -1 / sqrt(5)])


@pytest.mark.parametrize("k", [4, OWN_VARIANCE_FROM])
def test_lira_orders_samples_as_the_papers_score_does(k: int) -> None:
    phi, others = models(k, 30)
    own = others.var(axis=0, ddof=1)
    variance = own if k >= 64 else np.full(30, own.mean())
    theirs = np.array([1 - stats.norm.sf(p, others[:, at].mean(), sqrt(variance[at])) for at, p in enumerate(phi)])
    assert order(theirs) == order(lira(phi, others))


def posterior(values: Scores, prior: float, models_of_prior: float) -> tuple[float, float, float]:
    """Return degrees of freedom, centre and scale of the predictive t (Murphy 2007, equations 110 and 126), κ₀ = 0."""
    a, b = models_of_prior / 2 + (len(values) - 1) / 2, models_of_prior * prior / 2
    b += ((values - values.mean()) ** 2).sum() / 2
    return 2 * a, values.mean(), sqrt(b / a * (1 + 1 / len(values)))


@pytest.mark.parametrize("k", [2, 8])
def test_bavaria_is_the_predictive_distribution_of_a_normal_inverse_gamma_prior(k: int) -> None:
    phi, others = models(k, 25)
    pooled = others.var(axis=0, ddof=1).mean()
    found = bavaria(phi, others)
    for at in range(25):
        degrees, centre, scale = posterior(others[:, at], pooled, 4)
        assert found[at] == pytest.approx((phi[at] - centre) / scale)
        assert stats.t.cdf(found[at], degrees) == pytest.approx(stats.t.cdf(phi[at], degrees, centre, scale))


def test_bavaria_lies_between_the_pooled_variance_and_each_samples_own() -> None:
    phi, others = models(5, 50)
    mean, own, pooled, _ = moments(others)
    implied = ((phi - mean) / bavaria(phi, others)) ** 2 / (1 + 1 / 5)
    assert (implied >= np.minimum(own, pooled) - 1e-9).all()
    assert (implied <= np.maximum(own, pooled) + 1e-9).all()


def test_u_lira_is_the_log_ratio_of_two_normal_densities() -> None:
    draw = default_rng(2)
    phi, inside, outside = draw.standard_normal(9), 1 + draw.standard_normal((8, 9)), draw.standard_normal((6, 9))
    spreads = [sqrt(part.var(axis=0, ddof=1).mean()) for part in (inside, outside)]
    theirs = [
        stats.norm.logpdf(p, inside[:, at].mean(), spreads[0]) - stats.norm.logpdf(p, outside[:, at].mean(), spreads[1])
        for at, p in enumerate(phi)
    ]
    assert u_lira(phi, inside, outside) == pytest.approx(theirs)


def test_ruli_orders_samples_as_the_papers_kernel_densities_do() -> None:
    draw = default_rng(3)
    phi, inside, outside = draw.standard_normal(12), 2 + draw.standard_normal((5, 12)), draw.standard_normal((5, 12))

    def density(value: float, centres: Scores) -> float:
        return float(np.mean([exp(-((value - one) ** 2) / 2) / sqrt(2 * pi) for one in centres]))

    both = [(density(p, inside[:, at]), density(p, outside[:, at])) for at, p in enumerate(phi)]
    assert ruli(phi, inside, outside) == pytest.approx([log(one / other) for one, other in both])
    assert order(np.array([one / (one + other) for one, other in both])) == order(ruli(phi, inside, outside))


def test_ruli_far_from_all_models_is_finite() -> None:
    assert np.isfinite(ruli(np.array([900.0]), np.zeros((3, 1)), np.ones((3, 1)))).all()


@pytest.mark.parametrize("attack", [rmia, lira, bavaria])
def test_a_model_that_saw_a_sample_does_not_count_there(attack: Callable[[Scores, Scores], Scores]) -> None:
    draw = default_rng(4)
    phi, others = draw.random(6), draw.random((4, 6))
    masked = np.vstack([others, np.full((2, 6), nan)])
    assert attack(phi, masked[draw.permutation(6)]) == pytest.approx(attack(phi, others))


@pytest.mark.parametrize("attack", [u_lira, ruli])
def test_a_model_on_the_other_side_does_not_count(attack: Callable[[Scores, Scores, Scores], Scores]) -> None:
    draw = default_rng(5)
    phi, inside, outside = draw.random((3, 6)), draw.random((4, 6)), draw.random((4, 6))
    nothing = np.full((4, 6), nan)
    masked = attack(phi, np.vstack([inside, nothing]), np.vstack([nothing, outside]))
    assert masked == pytest.approx(attack(phi, inside, outside))


@pytest.mark.parametrize("attack", [rmia, lira, bavaria])
def test_models_that_agree_to_the_last_bit_give_no_infinity(attack: Callable[[Scores, Scores], Scores]) -> None:
    found = attack(np.full(3, 0.5), np.full((4, 3), 0.5))
    assert abs(found).max() < inf


@pytest.mark.parametrize("attack", [lira, bavaria])
def test_taking_difficulty_away_finds_a_shift_that_difficulty_hides(attack: Callable[[Scores, Scores], Scores]) -> None:
    draw = default_rng(6)
    level = 5 * draw.standard_normal(600)
    phi, others = level + draw.standard_normal(600), level + draw.standard_normal((19, 600))
    phi[:300] += 1
    one = np.zeros(300, dtype=np.int64)
    assert auc(phi[:300], one, phi[300:], one) < 0.6
    found = attack(phi, others)
    assert auc(found[:300], one, found[300:], one) > 0.7
