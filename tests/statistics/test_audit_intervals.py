"""Estimates, their intervals and the verdicts on them."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from scipy import stats

from forgetkit.statistics.intervals import Estimate, accuracy, judge, judge_utility, normal_estimate, utility


@pytest.mark.parametrize(
    "wide, narrow, verdict",
    [
        ((0.47, 0.53), (0.48, 0.52), "pass"),
        ((0.44, 0.56), (0.46, 0.54), "pass"),
        ((0.45, 0.55), (0.45, 0.55), "pass"),
        ((0.42, 0.56), (0.44, 0.54), "inconclusive"),
        ((0.40, 0.60), (0.41, 0.59), "inconclusive"),
        ((0.54, 0.70), (0.56, 0.68), "inconclusive"),
        ((0.30, 0.46), (0.32, 0.44), "inconclusive"),
        ((0.55, 0.70), (0.56, 0.69), "inconclusive"),
        ((0.56, 0.70), (0.57, 0.69), "fail"),
        ((0.00, 0.02), (0.00, 0.01), "fail"),
    ],
)
def test_judge_fails_outside_passes_inside_and_else_says_neither(
    wide: tuple[float, float], narrow: tuple[float, float], verdict: str
) -> None:
    assert judge(Estimate(sum(narrow) / 2, wide, narrow, 100), null=0.5, margin=0.05) == verdict


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.01, 0.2))
def test_judge_treats_both_sides_alike(value: float, error: float, margin: float) -> None:
    up = normal_estimate(value - 0.5, error, 10, level=0.05, bounds=(-1, 1))
    down = normal_estimate(0.5 - value, error, 10, level=0.05, bounds=(-1, 1))
    assert judge(up, null=0, margin=margin) == judge(down, null=0, margin=margin)


def test_normal_intervals_are_the_value_and_1_96_and_1_645_errors() -> None:
    estimate = normal_estimate(0.5, 0.1, 30, level=0.05, bounds=(0, 1))
    assert estimate.wide == pytest.approx((0.304, 0.696), abs=1e-4)
    assert estimate.narrow == pytest.approx((0.33551, 0.66449), abs=1e-4)


def test_normal_intervals_stay_in_the_range_of_the_parameter() -> None:
    estimate = normal_estimate(0.99, 0.1, 30, level=0.05, bounds=(0, 1))
    assert (estimate.wide[1], estimate.narrow[1]) == (1.0, 1.0)


@given(st.floats(0, 1), st.floats(0, 2), st.floats(0.001, 0.499))
def test_the_wide_interval_holds_the_narrow_one_and_that_the_value(value: float, error: float, level: float) -> None:
    estimate = normal_estimate(value, error, 1, level=level, bounds=(0, 1))
    assert estimate.wide[0] <= estimate.narrow[0] <= value <= estimate.narrow[1] <= estimate.wide[1]


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0, -0.1, float("nan")])
def test_a_level_without_intervals_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="not inside"):
        accuracy(1, 2, level=level)


@pytest.mark.parametrize("right, n", [(0, 1), (0, 40), (7, 65), (40, 40), (9_871, 10_000)])
def test_accuracy_has_the_clopper_pearson_intervals_of_scipy(right: int, n: int) -> None:
    estimate = accuracy(right, n)
    for interval, confidence in ((estimate.wide, 0.95), (estimate.narrow, 0.9)):
        exact = stats.binomtest(right, n).proportion_ci(confidence, method="exact")
        assert interval == pytest.approx((exact.low, exact.high), abs=1e-9)


@given(st.integers(1, 300), st.floats(0, 1))
def test_accuracy_has_nested_intervals(n: int, share: float) -> None:
    estimate = accuracy(round(share * n), n)
    assert 0 <= estimate.wide[0] <= estimate.narrow[0] <= estimate.value
    assert estimate.value <= estimate.narrow[1] <= estimate.wide[1] <= 1


@pytest.mark.parametrize("right, n", [(0, 0), (3, 2), (-1, 2)])
def test_accuracy_refuses_what_is_no_proportion(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        accuracy(right, n)


def test_utility_is_the_paired_difference_by_hand() -> None:
    before = np.array([True] * 60 + [False] * 40)
    after = np.array([True] * 52 + [False] * 8 + [True] * 3 + [False] * 37)
    estimate = utility(before, after)
    assert (estimate.value, estimate.n) == (-0.05, 100)
    assert estimate.wide[0] == pytest.approx(-5 / 102 - 1.959964 * sqrt(13 - 25 / 102) / 102, abs=1e-6)
    assert estimate.narrow[1] == pytest.approx(-5 / 102 + 1.644854 * sqrt(13 - 25 / 102) / 102, abs=1e-6)


def test_utility_of_equal_answers_is_zero_but_not_for_certain() -> None:
    estimate = utility(np.ones(98, dtype=bool), np.ones(98, dtype=bool))
    assert estimate.value == 0.0
    assert estimate.narrow == pytest.approx((-1.644854 * sqrt(2) / 100, 1.644854 * sqrt(2) / 100), abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
def test_utility_of_swapped_models_is_the_opposite(pairs: list[tuple[bool, bool]]) -> None:
    before, after = np.array(pairs).T
    forth, back = utility(before, after), utility(after, before)
    assert forth.value == -back.value
    assert forth.wide == pytest.approx((-back.wide[1], -back.wide[0]))


@pytest.mark.parametrize("before, after", [(3, 4), (0, 0)])
def test_utility_refuses_answers_that_do_not_pair(before: int, after: int) -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        utility(np.zeros(before, dtype=bool), np.zeros(after, dtype=bool))


@pytest.mark.parametrize(
    "narrow, verdict",
    [
        ((-0.019, 0.01), "pass"),
        ((0.05, 0.09), "pass"),
        ((-0.02, 0.01), "inconclusive"),
        ((-0.05, -0.02), "inconclusive"),
        ((-0.05, -0.021), "fail"),
    ],
)
def test_utility_is_judged_from_below_only(narrow: tuple[float, float], verdict: str) -> None:
    assert judge_utility(Estimate(sum(narrow) / 2, (-1, 1), narrow, 100)) == verdict


def answers(rng: Generator, n: int, gain: float, loss: float) -> Estimate:
    """Measure the utility of a model that wins a share ``gain`` of all samples and loses a share ``loss``."""
    gained, lost, _ = rng.multinomial(n, [gain, loss, 1 - gain - loss])
    before = np.arange(n) < n // 2
    after = before.copy()
    after[:lost] = False
    after[n - gained :] = True
    return utility(before, after)


def misses(rng: Generator, share: float) -> bool:
    """Tell whether the wide interval of 200 draws misses the true share."""
    low, high = accuracy(int(rng.binomial(200, share)), 200).wide
    return not low <= share <= high


NULLS: dict[str, Callable[[Generator], bool]] = {
    "accuracy misses chance of ten": lambda rng: misses(rng, 0.1),
    "accuracy misses a half": lambda rng: misses(rng, 0.5),
    "utility passes at the margin": lambda rng: judge_utility(answers(rng, 2000, 0.03, 0.05)) == "pass",
    "utility fails at the margin": lambda rng: judge_utility(answers(rng, 2000, 0.03, 0.05)) == "fail",
    "utility fails without a change": lambda rng: judge_utility(answers(rng, 500, 0.04, 0.04)) == "fail",
    "a wide interval of utility misses zero": lambda rng: (
        not (estimate := answers(rng, 500, 0.04, 0.04)).wide[0] <= 0 <= estimate.wide[1]
    ),
}


@pytest.mark.parametrize("repeats", [300, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("null", NULLS)
def test_under_the_null_no_interval_errs_more_than_it_says(null: str, repeats: int) -> None:
    rng = default_rng(20)
    rate = sum(NULLS[null](rng) for _ in range(repeats)) / repeats
    print(f"{null}: {rate:.4f}")
    assert rate <= 0.05 + 3 * sqrt(0.05 * 0.95 / repeats)


def test_utility_passes_more_often_the_more_samples_it_has() -> None:
    rng = default_rng(21)
    rates = [
        np.mean([judge_utility(answers(rng, n, 0.05, 0.05)) == "pass" for _ in range(300)]) for n in (200, 800, 3200)
    ]
    assert rates[0] + 0.1 < rates[1] < rates[2] - 0.1
