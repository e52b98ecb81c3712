"""The canary check: its counts and bounds by hand, its errors by simulation, its verdicts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.canaries import canary_check
from forgetkit.auditing.verdict import overall
from forgetkit.statistics.canary_guesses import canaries_needed, epsilon, guesses
from forgetkit.statistics.intervals import accuracy, judge

LEVEL = 0.05
MANY = 2400
"""Candidates enough to pass."""


def coins(count: int, seed: int = 0) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(count) < 0.5


def noise(count: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=count)


def told(included: NDArray[np.bool_], by: float, seed: int = 1) -> NDArray[np.float64]:
    """Return scores of which those of included candidates are higher by ``by`` standard deviations."""
    return noise(len(included), seed) + by * included


def checks(
    after: NDArray[np.float64], included: NDArray[np.bool_], before: NDArray[np.float64] | None = None
) -> dict[str, Check]:
    """Return the checks by id, all included canaries forgotten."""
    return {check.id: check for check in canary_check(after, before, included, forgotten=included, level=LEVEL)}


@pytest.mark.parametrize(
    ("right", "made", "bound"),
    [
        (60, 100, 0.05),
        (300, 500, 0.25),
        (600, 1000, 0.30),
        (100, 100, 3.49),
        (1000, 1000, 5.81),
        (50, 100, 0),
        (0, 9, 0),
    ],
)
def test_epsilon_of_known_counts(right: int, made: int, bound: float) -> None:
    assert round(epsilon(right, made), 2) == bound


@given(st.integers(1, 400), st.floats(0, 1), st.sampled_from([0.01, 0.05, 0.2]))
def test_epsilon_is_where_that_many_right_guesses_have_probability_alpha(made: int, share: float, level: float) -> None:
    right = round(share * made)
    bound = epsilon(right, made, level)
    chance = stats.binom.sf(right - 1, made, 1 / (1 + np.exp(-bound)))
    assert chance == pytest.approx(level) if bound else chance >= level - 1e-9


@given(st.integers(1, 300), st.data())
def test_epsilon_grows_with_right_guesses_up_to_its_ceiling(made: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, made - 1))
    assert 0 <= epsilon(right, made) <= epsilon(right + 1, made) <= epsilon(made, made) < np.inf


@pytest.mark.parametrize(("right", "made", "level"), [(-1, 5, 0.05), (6, 5, 0.05), (1, 2, 0), (1, 2, 0.5)])
def test_impossible_counts_and_levels_are_refused(right: int, made: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"not|cannot"):
        epsilon(right, made, level)


def test_guesses_are_counted_in_the_highest_and_the_lowest_quarter() -> None:
    scores = np.array([5.0, -2.0, 0.1, 9.0, 0.2, -7.0, 0.3, 0.4, 0.5])
    included = np.array([False, True, True, True, True, False, True, True, True])
    assert guesses(scores, included) == (2, 4)  # high: 9 right, 5 wrong; low: -7 right, -2 wrong


@given(st.integers(4, 60), st.integers(0, 1000))
def test_opposite_coins_turn_every_guess_around(count: int, seed: int) -> None:
    scores, included = noise(count).round(), coins(count, seed)  # rounded: many ties
    right, made = guesses(scores, included)
    assert guesses(scores, ~included) == (made - right, made)
    assert made == 2 * (count // 4)


def test_ties_are_broken_by_the_order_of_the_candidates() -> None:
    included = np.array([False, False, True, False, True, False, True, True])
    assert guesses(np.zeros(8), included) == (4, 4)
    assert guesses(np.zeros(8), included[::-1]) == (0, 4)


def test_where_nothing_leaks_a_model_fails_no_more_often_than_it_may() -> None:
    scores, repeats = noise(600), 2000
    allowed = LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / repeats)
    counts = [guesses(scores, coins(600, seed)) for seed in range(repeats)]
    failed = [judge(accuracy(right, made), null=0.5, margin=0.0) == "fail" for right, made in counts]
    assert np.mean(failed) <= allowed
    assert np.mean([epsilon(right, made) > 0 for right, made in counts]) <= allowed
    assert abs(np.mean([right for right, _ in counts]) - 150) <= 3 * np.sqrt(300 / 4 / repeats)


def test_power_grows_with_the_number_of_canaries() -> None:
    def found(count: int) -> float:
        verdicts = [
            checks(told(coins(count, seed), 0.5, seed + 1000), coins(count, seed))["canaries"].verdict
            for seed in range(60)
        ]
        return verdicts.count("fail") / 60

    assert found(40) < found(160) < found(640)
    assert found(640) > 0.9


def test_a_pass_is_possible_from_the_number_that_is_named_on() -> None:
    least = canaries_needed()
    verdicts = [judge(accuracy(made // 2, made), null=0.5, margin=0.05) for made in (least // 2 - 2, least // 2)]
    assert verdicts == ["inconclusive", "pass"]


def test_the_number_to_pass_9_times_in_10_does_so_and_few_less_do_not() -> None:
    def power(count: int) -> float:
        made = count // 2
        passing = [judge(accuracy(right, made), null=0.5, margin=0.05) == "pass" for right in range(made + 1)]
        return float(stats.binom.pmf(np.arange(made + 1), made, 0.5)[passing].sum())

    enough = canaries_needed(power=0.9)
    assert power(enough) >= 0.9 > power(enough - 4)
    assert canaries_needed() < canaries_needed(power=0.5) < enough


def test_a_smaller_margin_or_level_takes_more() -> None:
    assert canaries_needed(margin=0.02) > canaries_needed() > canaries_needed(margin=0.1)
    assert canaries_needed(level=0.01, power=0.9) > canaries_needed(power=0.9)


def test_remembered_canaries_fail() -> None:
    included = coins(MANY)
    check = checks(told(included, 1), included, told(included, 2))["canaries"]
    assert (check.verdict, check.group, check.gating, check.over) == ("fail", "canaries", True, False)
    assert check.note.startswith("remembered")
    assert overall([check], original=True).verdict == "not-forgotten"


def test_canaries_below_the_withheld_ones_are_over_forgotten() -> None:
    included = coins(MANY)
    check = checks(told(included, -1), included, told(included, 2))["canaries"]
    assert (check.verdict, check.over) == ("fail", True)
    assert check.note.startswith("over-forgotten")
    assert overall([check], original=True).verdict == "over-forgotten"


def test_canaries_like_withheld_ones_pass_where_the_original_remembers() -> None:
    included = coins(MANY)
    found = checks(noise(MANY), included, told(included, 2))
    assert (found["canaries"].verdict, found["canaries"].gating) == ("pass", True)
    assert overall(list(found.values()), original=True).verdict == "forgotten"


def test_the_statistic_is_the_share_of_right_guesses() -> None:
    included = coins(MANY)
    right, made = guesses(noise(MANY), included)
    check = checks(noise(MANY), included)["canaries"]
    assert (check.statistic, check.n, check.null, check.margin) == (right / made, made, 0.5, 0.05)
    assert made == 1200


@pytest.mark.parametrize("by", [0.0, -2.0])
def test_a_pass_proves_nothing_where_the_original_does_not_remember(by: float) -> None:
    included = coins(MANY)
    found = checks(noise(MANY), included, told(included, by, 5))
    assert (found["canaries"].verdict, found["canaries"].gating) == ("info", False)
    assert overall(list(found.values()), original=True).verdict == "inconclusive"


def test_the_original_s_own_figure_is_information() -> None:
    included = coins(MANY)
    control = checks(noise(MANY), included, told(included, 2))["canaries-original"]
    assert (control.verdict, control.gating, control.proves) == ("info", False, False)
    assert control.statistic is not None
    assert control.statistic > 0.8
    assert "canaries-original" not in checks(noise(MANY), included)


def test_too_few_canaries_decide_only_by_failing() -> None:
    included = coins(100)
    quiet = checks(noise(100), included, told(included, 5))["canaries"]
    assert (quiet.verdict, quiet.gating) == ("info", False)
    assert f"{canaries_needed(power=0.9):,} canaries" in quiet.note
    loud = checks(told(included, 5), included, told(included, 5))["canaries"]
    assert (loud.verdict, loud.gating) == ("fail", True)


def test_a_value_near_the_margin_is_inconclusive_and_gates() -> None:
    included = coins(1000)
    check = checks(told(included, 0.17, 3), included)["canaries"]
    assert (check.verdict, check.gating) == ("inconclusive", True)


def test_epsilon_stands_beside_its_ceiling() -> None:
    included = coins(400)
    scores = np.where(included, 1.0, -1.0)
    check = checks(scores, included)["canaries-epsilon"]
    assert (check.verdict, check.gating, check.n) == ("info", False, 200)
    assert check.statistic == epsilon(200, 200)
    assert check.note == "ε ≥ 4.19 (with 200 guesses, 4.19 at most)"


def test_the_check_is_not_run_while_included_canaries_are_not_forgotten() -> None:
    included = coins(100)
    forgotten = included.copy()
    forgotten[np.flatnonzero(included)[:3]] = False
    (check,) = canary_check(noise(100), None, included, forgotten=forgotten)
    assert (check.verdict, check.group, check.gating) == ("not-run", "canaries", False)
    assert check.note.startswith(f"3 of {included.sum()} ")
    assert "forget-ids --canaries" in check.note
