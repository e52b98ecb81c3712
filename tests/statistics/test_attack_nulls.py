"""Nulls of the attacks: by hand, and by simulation: how often an honest model is accused, and a leak is found."""

from collections.abc import Callable
from math import inf, sqrt

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from forgetkit.statistics.attack_nulls import apart, few_alarms, holm, normal_p, rank_p
from forgetkit.statistics.intervals import references_needed
from forgetkit.statistics.membership_attacks import bavaria, lira
from forgetkit.statistics.strata import auc

Scores = NDArray[np.float64]
RUNS, LEVEL = 2000, 0.05
BOUND = LEVEL + 3 * sqrt(LEVEL * (1 - LEVEL) / RUNS)


def test_at_few_false_alarms_by_hand() -> None:
    unseen = np.arange(200.0)  # two of 201 may lie beyond: the threshold is 198, the second largest
    found = few_alarms(np.array([198.0, 198.5, 300.0, -1.0]), unseen)
    assert found is not None
    assert found.tpr.value == 0.5
    assert found.ceiling == pytest.approx(0.025 ** (1 / 4))


def test_below_99_unseen_samples_no_threshold_has_so_few_false_alarms() -> None:
    assert few_alarms(np.ones(5), np.arange(98.0)) is None
    assert few_alarms(np.ones(5), np.arange(99.0)) is not None


def test_by_chance_few_are_found() -> None:
    draw = default_rng(0)
    found = [few_alarms(draw.standard_normal(100), draw.standard_normal(250)) for _ in range(RUNS)]
    above = [one is not None and one.tpr.value > one.by_chance for one in found]
    assert np.mean(above) <= BOUND
    assert np.mean([one.tpr.value for one in found if one is not None]) <= 0.011


def test_how_far_a_value_lies_from_the_others_by_hand() -> None:
    values = np.array([5.0, 1.0, 2.0, 3.0])
    assert apart(values)[0] == pytest.approx((5 - 2) / 1)
    slow = [abs(v - np.delete(values, at).mean()) / np.delete(values, at).std(ddof=1) for at, v in enumerate(values)]
    assert apart(values) == pytest.approx(slow)


def test_a_value_apart_from_others_that_agree_is_infinitely_far() -> None:
    assert apart(np.array([0.7, 0.5, 0.5, 0.5]))[0] == inf
    assert rank_p(apart(np.array([0.7, 0.5, 0.5, 0.5]))) == 1 / 4
    assert rank_p(apart(np.full(20, 0.5))) == 1


def test_19_references_are_needed_for_5_percent() -> None:
    assert references_needed(0.05) == 19
    assert references_needed(0.01) == 99


def test_the_correction_of_holm_by_hand() -> None:
    assert holm([0.2, 0.01, 0.9]) == pytest.approx(0.03)
    assert holm([0.4, 0.5, 0.9]) == 1
    assert holm([]) == 1


def test_the_normal_p_by_hand() -> None:
    assert normal_p(0.5 + 1.959964 * 0.02, 0.02, 0.5) == pytest.approx(0.05)
    assert normal_p(0.5, 0.0, 0.5) == 1


def family(draw: Generator, shift: float, attacks: int = 1, ids: int = 60) -> Scores:
    """Return values of attacks on 20 models; those on the first are shifted, and attacks agree with each other."""
    return draw.standard_normal((1, 20)) + draw.standard_normal((attacks, 20)) / 2 + shift * np.eye(20)[0] * sqrt(ids)


@pytest.mark.parametrize("attacks", [1, 9])
def test_an_honest_model_is_accused_in_at_most_5_percent(attacks: int) -> None:
    draw = default_rng(attacks)
    p = [rank_p(np.stack([apart(row) for row in family(draw, 0, attacks)])) for _ in range(RUNS)]
    assert np.mean(np.array(p) <= LEVEL) <= BOUND


def test_the_corrected_test_finds_more_the_more_is_left() -> None:
    draw = default_rng(1)
    rates = []
    for shift in (0.1, 0.3, 0.6):
        p = [rank_p(np.stack([apart(row) for row in family(draw, shift, 9)])) for _ in range(300)]
        rates.append(np.mean(np.array(p) <= LEVEL))
    assert rates == sorted(rates)
    assert rates[-1] > 0.8


def values(draw: Generator, attack: Callable[[Scores, Scores], Scores], left: float, ids: int = 40) -> Scores:
    """Return the AUC of an attack on 20 models of samples of all difficulties; the first knows the ids by so much."""
    level = 3 * draw.standard_normal(ids + 80)
    phi = level + draw.standard_normal((20, ids + 80))
    phi[0, :ids] += left
    one = np.zeros(ids + 80, dtype=np.int64)
    scores = [attack(phi[row], np.delete(phi, row, 0)) for row in range(20)]
    return np.array([auc(found[:ids], one[:ids], found[ids:], one[ids:]) for found in scores])


@pytest.mark.parametrize("attack", [lira, bavaria])
def test_an_attack_on_an_honest_model_among_references_is_exact(attack: Callable[[Scores, Scores], Scores]) -> None:
    draw = default_rng(2)
    found = [values(draw, attack, 0) for _ in range(200)]
    rate = np.mean([rank_p(apart(one)) <= LEVEL for one in found])
    assert rate <= LEVEL + 3 * sqrt(LEVEL * (1 - LEVEL) / 200)
    assert np.mean([one[0] for one in found]) == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("attack", [lira, bavaria])
def test_an_attack_finds_what_is_left(attack: Callable[[Scores, Scores], Scores]) -> None:
    draw = default_rng(3)
    assert np.mean([rank_p(apart(values(draw, attack, 1.5))) <= LEVEL for _ in range(50)]) > 0.8
