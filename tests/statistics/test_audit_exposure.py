"""What an attacker could gain: advantage, low false-positive rates, single ids."""

from collections.abc import Callable
from math import isfinite, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from scipy import stats

from forgetkit.statistics.attacks import LowFpr, PerId, advantage, low_fpr, per_id
from forgetkit.statistics.intervals import accuracy
from forgetkit.statistics.strata import Labels, Scores

FLOATS = st.lists(st.floats(-5, 5), min_size=1, max_size=40).map(lambda values: np.array(values))


def test_advantage_by_hand() -> None:
    result = advantage(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.5, 1.5, 2.5]))
    assert result.distance.value == 0.5
    assert result.bayes_error.value == 0.25


def test_advantage_is_the_kolmogorov_smirnov_distance_of_scipy() -> None:
    rng = default_rng(0)
    forget, unseen = rng.normal(1, 1, 300), rng.normal(0, 2, 400)
    assert advantage(forget, unseen).distance.value == stats.ks_2samp(forget, unseen).statistic


def test_the_error_of_advantage_is_that_of_both_sets() -> None:
    rng = default_rng(1)
    result = advantage(rng.normal(1, 1, 2_000), rng.normal(0, 1, 5_000)).distance
    for interval, miss in ((result.wide, 0.05), (result.narrow, 0.1)):
        spread = sqrt(log(4 / miss) / 4_000) + sqrt(log(4 / miss) / 10_000)
        assert interval == pytest.approx((result.value - spread, result.value + spread))


@given(FLOATS, FLOATS)
def test_the_intervals_of_advantage_are_nested_and_mirrored(forget: Scores, unseen: Scores) -> None:
    result = advantage(forget, unseen)
    low, high = result.distance.wide
    assert 0 <= low <= result.distance.narrow[0] <= result.distance.value <= result.distance.narrow[1] <= high <= 1
    assert result.bayes_error.wide == ((1 - high) / 2, (1 - low) / 2)


@given(FLOATS, FLOATS)
def test_advantage_looks_from_both_sides(forget: Scores, unseen: Scores) -> None:
    forth, back = advantage(forget, unseen), advantage(-forget, -unseen)
    assert forth.distance.value == pytest.approx(back.distance.value)


def low(forget: Scores, unseen: Scores) -> LowFpr:
    """Return the attack where it can be run."""
    result = low_fpr(forget, unseen)
    assert result is not None
    return result


def test_low_fpr_is_not_run_below_a_thousand_unseen_samples() -> None:
    rng = default_rng(2)
    assert low_fpr(rng.normal(size=50), rng.normal(size=999)) is None
    assert low_fpr(rng.normal(size=50), rng.normal(size=1_000)) is not None


def test_low_fpr_sets_its_threshold_on_one_half_and_measures_on_the_other() -> None:
    unseen = np.zeros(2_000)
    unseen[::2] = np.arange(1_000)
    unseen[1::2] = 995.0
    result = low(np.array([2_000.0] * 7 + [500.0] * 3), unseen)
    assert result.upper.threshold == 990.0
    assert (result.upper.tpr.value, result.upper.fpr.value) == (0.7, 1.0)


def test_low_fpr_by_hand() -> None:
    unseen = np.repeat(np.arange(1_000.0), 2)
    result = low(np.array([2_000.0] * 60 + [500.0] * 40), unseen)
    lowest, highest = accuracy(60, 100).wide[0], accuracy(9, 1_000).wide[1]
    assert result.upper.fpr.value == 0.009
    assert result.upper.epsilon == pytest.approx(log(lowest / highest))
    assert result.upper.ceiling == pytest.approx(log(accuracy(100, 100).wide[0] / highest))


def test_low_fpr_sees_what_was_pushed_below_in_its_lower_tail() -> None:
    result = low(np.full(200, -50.0), default_rng(3).normal(size=4_000))
    assert result.lower.epsilon > 3
    assert result.upper.epsilon == 0


def test_low_fpr_in_one_tail_mirrors_the_other() -> None:
    rng = default_rng(4)
    forget, unseen = rng.normal(1, 1, 300), rng.normal(0, 1, 3_000)
    assert low(forget, unseen).upper.epsilon == pytest.approx(low(-forget, -unseen).lower.epsilon)


@pytest.mark.parametrize("forget", [np.full(1, -9.0), np.full(1, 9.0), np.full(5_000, 9.0), np.zeros(3)])
@pytest.mark.parametrize("unseen", [np.zeros(1_000), np.linspace(-1, 1, 1_001)])
def test_epsilon_is_finite_and_within_its_ceiling(forget: Scores, unseen: Scores) -> None:
    for tail in (low(forget, unseen).upper, low(forget, unseen).lower):
        assert isfinite(tail.epsilon)
        assert 0 <= tail.epsilon <= tail.ceiling < 10


def zeros(scores: Scores) -> Labels:
    """Return one class for all scores."""
    return np.zeros(scores.size, dtype=np.int64)


def found(forget: Scores, unseen: Scores) -> PerId:
    """Test ids of a single class."""
    return per_id(forget, zeros(forget), unseen, zeros(unseen))


def naive(forget: Scores, labels: Labels, unseen: Scores, others: Labels) -> Scores:
    """Compute the upper conformal p-values id by id."""
    pairs = zip(forget, labels, strict=True)
    return np.array([(1 + np.sum(unseen[others == y] >= x)) / (1 + np.sum(others == y)) for x, y in pairs])


def test_per_id_finds_those_that_stand_out_on_either_side() -> None:
    result = found(np.array([99.0, 98.0, 0.5, -99.0]), np.linspace(0, 1, 200))
    assert result.remembered.tolist() == [True, True, False, False]
    assert result.over_forgotten.tolist() == [False, False, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_per_id_equals_the_definition(seed: int) -> None:
    rng = default_rng(seed)
    labels, others = rng.integers(4, size=60), rng.integers(3, size=900)
    forget = np.round(rng.normal(2 * (np.arange(60) < 30), 1), 1)
    unseen = np.round(rng.normal(size=900), 1)
    result = per_id(forget, labels, unseen, others, rate=0.2)
    upper, lower = naive(forget, labels, unseen, others), naive(-forget, labels, -unseen, others)
    assert result.remembered.any()
    assert (result.remembered == (stats.false_discovery_control(upper) <= 0.2)).all()
    assert (result.over_forgotten == (stats.false_discovery_control(lower) <= 0.2)).all()


def test_per_id_compares_within_the_class() -> None:
    forget, labels = np.array([5.0]), np.array([1])
    unseen, others = np.r_[np.zeros(100), np.full(100, 9.0)], np.repeat([0, 1], 100)
    result = per_id(forget, labels, unseen, others)
    assert (result.remembered.tolist(), result.over_forgotten.tolist()) == ([False], [True])


def test_an_id_without_unseen_samples_of_its_class_is_never_found() -> None:
    forget = np.array([1e9, 1e9])
    result = per_id(forget, np.array([0, 5]), np.zeros(100), np.zeros(100, dtype=np.int64))
    assert result.remembered.tolist() == [True, False]


@pytest.mark.parametrize("unseen, possible", [(18, False), (19, True)])
def test_per_id_needs_19_unseen_samples_of_a_class(unseen: int, possible: bool) -> None:
    assert found(np.full(10, 9.0), np.zeros(unseen)).possible is possible


@pytest.mark.parametrize("ids, unseen", [(65, 25), (10, 19), (100, 500), (1, 19), (40, 10_000)])
def test_per_id_finds_something_from_the_needed_number_of_ids_on(ids: int, unseen: int) -> None:
    needed = found(np.zeros(ids), np.zeros(unseen)).needed
    assert needed is not None
    scores = np.zeros(ids)
    scores[: needed - 1] = 9.0
    assert found(scores, np.zeros(unseen)).remembered.sum() == 0
    scores[:needed] = 9.0
    assert found(scores, np.zeros(unseen)).remembered.sum() == needed


def test_per_id_says_how_many_ids_must_stand_out_together() -> None:
    assert found(np.zeros(65), np.zeros(25)).needed == 50


@pytest.mark.parametrize("attack", [advantage, low_fpr])
def test_scores_that_cannot_be_ranked_are_refused(attack: Callable[[Scores, Scores], object]) -> None:
    with pytest.raises(ValueError, match="2 of 3 forget scores are NaN"):
        attack(np.array([1.0, np.nan, np.nan]), np.zeros(1_000))


def normal(rng: Generator, n: int, m: int) -> tuple[Scores, Scores]:
    """Draw a forget and an unseen set of one law."""
    return rng.normal(size=n), rng.normal(size=m)


def strata(rng: Generator, n: int, m: int) -> PerId:
    """Test ids of ten classes of one law each."""
    labels, others = rng.integers(10, size=n), rng.integers(10, size=m)
    return per_id(rng.normal(labels, 1.0), labels, rng.normal(others, 1.0), others)


NULLS: dict[str, Callable[[Generator], bool]] = {
    "advantage of equal laws is above 0": lambda rng: advantage(*normal(rng, 100, 500)).distance.wide[0] > 0,
    "epsilon of equal laws is above 0, upper": lambda rng: low(*normal(rng, 400, 2_000)).upper.epsilon > 0,
    "epsilon of equal laws is above 0, lower": lambda rng: low(*normal(rng, 400, 2_000)).lower.epsilon > 0,
    "per-id finds one remembered": lambda rng: bool(strata(rng, 20, 5_000).remembered.any()),
    "per-id finds one over-forgotten": lambda rng: bool(strata(rng, 20, 5_000).over_forgotten.any()),
}


@pytest.mark.parametrize("repeats", [300, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("null", NULLS)
def test_under_the_null_nothing_is_found_more_often_than_said(null: str, repeats: int) -> None:
    rng = default_rng(40)
    rate = sum(NULLS[null](rng) for _ in range(repeats)) / repeats
    print(f"{null}: {rate:.4f}")
    assert rate <= 0.05 + 3 * sqrt(0.05 * 0.95 / repeats)


def test_advantage_and_epsilon_grow_with_the_number_of_samples() -> None:
    rng = default_rng(41)
    grown = [advantage(rng.normal(1, 1, n), rng.normal(0, 1, n)).distance.wide[0] for n in (50, 500, 5_000)]
    assert grown == sorted(grown)
    for_many = [
        np.mean([low(rng.normal(2, 1, n), rng.normal(0, 1, 20 * n)).upper.epsilon for _ in range(30)])
        for n in (50, 200, 1_000)
    ]
    assert for_many == sorted(for_many)
