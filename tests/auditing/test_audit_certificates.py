"""What docs/certificates.md says: where divergence, ln δ and the Bayes error are shown, and what follows from them."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats
from scipy.special import softmax

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.canaries import canary_check
from forgetkit.auditing.checks.one_model import exposures
from forgetkit.auditing.checks.with_references import divergence_check
from forgetkit.auditing.predictions import Predictions

SURE, OTHER, EVEN = [1.0, 0.0], [0.0, 1.0], [0.5, 0.5]
TWO_LAWS = st.integers(2, 9).flatmap(lambda count: arrays(float, (2, count), elements=st.floats(-9, 9)))


def scores(phi: NDArray[np.float64]) -> Predictions:
    """Return predictions of one class with these φ."""
    return Predictions(phi, phi > 0, np.zeros(len(phi), dtype=np.int64), np.zeros((len(phi), 2)))


def exposed(forget: NDArray[np.float64], unseen: NDArray[np.float64]) -> dict[str, Check]:
    """Return what an attacker could gain, by the checks' ids."""
    return {check.id: check for check in exposures(scores(forget), scores(unseen), level=0.05)}


def test_the_divergence_names_both_of_its_parts() -> None:
    check = divergence_check(np.array([SURE, SURE]), [np.array([EVEN, OTHER])])
    assert check.statistic == pytest.approx(sqrt(0.5) + 0.95 * (sqrt(2) - sqrt(0.5)))
    assert check.note.endswith("(of the cosine divergence 0.96, of the difference in norm 0.28)")


def test_the_divergence_of_small_distances_is_not_rounded_to_0() -> None:
    check = divergence_check(np.array([[0.501, 0.499]]), [np.array([EVEN])])
    assert "cosine divergence 2e-06, of the difference in norm 1.4e-06" in check.note


def test_five_references_bound_the_divergence_in_the_same_note() -> None:
    check = divergence_check(np.array([SURE]), [np.array([[0.5 + n / 50, 0.5 - n / 50]]) for n in range(5)])
    assert "cosine divergence" in check.note
    assert "above the bound of honest retraining" in check.note


def test_the_bayes_error_and_its_interval_by_hand() -> None:
    check = exposed(np.repeat([0.0, 9.0], 200), np.zeros(1_600))["advantage"]
    spread = sqrt(log(80) / 800) + sqrt(log(80) / 3200)
    assert check.statistic == 0.5
    assert check.interval == pytest.approx((0.5 - spread, 0.5 + spread))
    low, high = (0.5 - spread) / 2, (0.5 + spread) / 2
    assert f"errs in 25.0% of cases (Bayes error, interval {low:.1%} to {high:.1%}" in check.note


def test_ln_delta_at_few_false_positives_by_hand() -> None:
    check = exposed(np.repeat([500.0, 2_000.0], [40, 60]), np.repeat(np.arange(1_000.0), 2))["low-fpr"]
    found, wrong = stats.beta.ppf(0.025, 60, 41), stats.beta.ppf(0.975, 10, 991)  # 60 of 100, and 9 of 1,000
    assert check.statistic == 0.6
    assert f"ε ≥ {log(found / wrong):.2f} " in check.note


def test_ln_delta_of_the_canaries_by_hand() -> None:
    included = np.arange(240) < 120
    checks = canary_check(included * 1.0, None, included, forgotten=included, level=0.05)
    right = 0.05 ** (1 / 120)  # all of 120 guesses are right, which has probability 5 % at this accuracy
    (check,) = (check for check in checks if check.id == "canaries-epsilon")
    assert check.statistic == pytest.approx(log(right / (1 - right)))
    assert check.note == "ε ≥ 3.68 (with 120 guesses, 3.68 at most)"


@given(TWO_LAWS)
def test_what_eq_1_allows_bounds_every_threshold(weights: NDArray[np.float64]) -> None:
    forgotten, never = softmax(weights, axis=1)
    delta = (forgotten / never).max()
    found, wrong = np.cumsum(forgotten)[:-1], np.cumsum(never)[:-1]
    assert (found <= delta * wrong + 1e-12).all()
    distance = np.abs(found - wrong).max()
    assert delta >= 1 / (1 - distance) - 1e-9
    assert 0.5 * (1 - distance) >= 0.5 / delta - 1e-12
