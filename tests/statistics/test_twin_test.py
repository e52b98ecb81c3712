"""The twin test: its coins by hand and by a slow rule, its errors where nothing leaks, and a leak."""

from collections.abc import Sequence
from fractions import Fraction
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from forgetkit.statistics.intervals import accuracy, judge
from forgetkit.statistics.twin_test import MARGIN, Mask, Scores, read_coins

LEVEL, RUNS, PAIRS, SAMPLES = 0.05, 2000, 4, 150
SECOND, FIRST = True, False
"""Which twin saw a sample."""
Groups = NDArray[np.int64]


def each(samples: int) -> Groups:
    """Return the groups of samples that are each by themselves."""
    return np.arange(samples)


def scores_of(*differences: Sequence[float]) -> Scores:
    """Return scores of pairs whose second twin's are higher by so much; each sample's own level cancels."""
    level = np.arange(len(differences[0])) ** 2.0
    return np.stack([level + share * np.array(row) for row in differences for share in (0, 1)])


def slowly(scores: Scores, sides: Mask, groups: Groups, counts: Mask | None) -> tuple[int, int]:
    """Read the coins one by one, in fractions."""
    right = read = 0
    for pair in range(len(sides)):
        coins = []
        for group in set(groups.tolist()):
            members = [at for at, other in enumerate(groups) if other == group]
            if counts is None or counts[pair][members[0]]:
                gains = [Fraction(scores[2 * pair + 1][at]) - Fraction(scores[2 * pair][at]) for at in members]
                coins.append((sum(gains, Fraction()) / len(gains), bool(sides[pair][members[0]])))
        middle = median(gain for gain, _ in coins) if coins else Fraction()
        guessed = [(gain > middle, side) for gain, side in coins if gain != middle]
        right += sum(guess == side for guess, side in guessed)
        read += len(guessed)
    return right, read


def test_the_twin_with_the_higher_score_is_said_to_have_seen_the_sample() -> None:
    scores = scores_of([3.0, -1.0, 2.0, -4.0])
    sides = np.array([[SECOND, FIRST, FIRST, FIRST]])
    assert read_coins(scores, sides, each(4)) == (3, 4)


def test_a_twin_with_higher_scores_throughout_gives_nothing_away() -> None:
    sides = np.array([[SECOND, FIRST, FIRST, FIRST]])
    assert read_coins(scores_of([103.0, 99.0, 102.0, 96.0]), sides, each(4)) == (3, 4)


def test_a_difference_that_equals_the_median_is_no_guess() -> None:
    sides = np.array([[FIRST, SECOND, SECOND]])
    assert read_coins(scores_of([1.0, 2.0, 5.0]), sides, each(3)) == (2, 2)
    assert read_coins(scores_of([2.0, 2.0, 2.0]), sides, each(3)) == (0, 0)


def test_a_group_has_one_coin_and_the_mean_of_its_differences() -> None:
    groups = np.array([7, 3, 7, 3, 9, 9])
    gains = [10.0, -1.0, -4.0, -3.0, 8.0, -6.0]  # means: 3, -2 and 1
    sides = np.array([[SECOND, FIRST, SECOND, FIRST, SECOND, SECOND]])
    assert read_coins(scores_of(gains), sides, groups) == (2, 2)  # the middle one is no guess
    assert read_coins(scores_of(gains), sides, each(6)) == (3, 6)


def test_coins_that_do_not_count_do_not_move_the_median_either() -> None:
    gains, sides = [1.0, 2.0, 3.0, 4.0, 90.0, 91.0], np.array([[FIRST, FIRST, SECOND, SECOND, FIRST, FIRST]])
    counts = np.array([[True, True, True, True, False, False]])
    assert read_coins(scores_of(gains), sides, each(6), counts) == (4, 4)
    assert read_coins(scores_of(gains), sides, each(6)) == (3, 6)


def test_the_coins_of_all_pairs_are_added_and_a_pair_of_which_none_counts_has_none() -> None:
    scores = scores_of([3.0, -1.0], [-1.0, 3.0])
    sides = np.array([[SECOND, FIRST], [SECOND, FIRST]])
    assert read_coins(scores, sides, each(2)) == (2, 4)
    assert read_coins(scores, sides, each(2), np.array([[True, True], [False, False]])) == (2, 2)
    assert read_coins(scores, sides, each(2), np.zeros((2, 2), dtype=bool)) == (0, 0)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 3), st.booleans(), st.integers(0, 999))
def test_the_coins_are_those_of_a_slow_rule(labels: list[int], pairs: int, all_count: bool, seed: int) -> None:
    rng, groups = default_rng(seed), np.array(labels)
    scores = rng.integers(-2, 3, (2 * pairs, len(groups))).astype(np.float64)  # small integers: many ties
    sides, counted = (rng.random((pairs, 5))[:, groups] < share for share in (0.5, 0.7))
    counts = None if all_count else counted
    assert read_coins(scores, sides, groups, counts) == slowly(scores, sides, groups, counts)


@given(st.integers(2, 30), st.integers(0, 999))
def test_opposite_coins_turn_every_guess_around(samples: int, seed: int) -> None:
    rng = default_rng(seed)
    scores, sides = rng.integers(-2, 3, (4, samples)).astype(np.float64), rng.random((2, samples)) < 0.5
    right, read = read_coins(scores, sides, each(samples))
    assert read_coins(scores, ~sides, each(samples)) == (read - right, read)


def toss(rng: Generator, groups: Groups) -> Mask:
    """Toss one coin for each group and pair."""
    return (rng.random((PAIRS, int(groups.max()) + 1)) < 0.5)[:, groups]


def failed(counts: list[tuple[int, int]], margin: float) -> float:
    """Return the share of audits that fail."""
    verdicts = [judge(accuracy(right, read, level=LEVEL), null=0.5, margin=margin) for right, read in counts]
    return verdicts.count("fail") / len(verdicts)


@pytest.mark.parametrize("shift", [0.0, 3.0], ids=["alike", "one-twin-higher"])
@pytest.mark.parametrize("size", [1, 3], ids=["single", "groups"])
def test_where_nothing_leaks_an_audit_fails_no_more_often_than_it_may(size: int, shift: float) -> None:
    groups, counts = each(SAMPLES) // size, list[tuple[int, int]]()
    for seed in range(RUNS):
        rng = default_rng(seed)
        of_group = rng.normal(size=(2 * PAIRS, int(groups.max()) + 1))[:, groups]  # a group's samples are alike
        scores = rng.normal(size=SAMPLES) + of_group + 0.3 * rng.normal(size=(2 * PAIRS, SAMPLES))
        scores[1] += shift
        counts.append(read_coins(scores, toss(rng, groups), groups))
    allowed = LEVEL + 3 * np.sqrt(LEVEL * (1 - LEVEL) / RUNS)
    assert failed(counts, MARGIN) <= allowed
    assert failed(counts, 0.0) <= allowed  # the intervals alone, without the margin
    right, read = np.sum(counts, axis=0)
    assert abs(right - read / 2) <= 3 * np.sqrt(read / 4)


@pytest.mark.parametrize("shift", [0.0, 5.0], ids=["alike", "one-twin-higher"])
def test_a_twin_that_remembers_what_it_saw_is_caught(shift: float) -> None:
    rng = default_rng(0)
    sides, scores = toss(rng, each(SAMPLES)), rng.normal(size=(2 * PAIRS, SAMPLES))
    scores[1::2] += sides
    scores[::2] += ~sides
    scores[1::2] += shift
    right, read = read_coins(scores, sides, each(SAMPLES))
    assert judge(accuracy(right, read, level=LEVEL), null=0.5, margin=MARGIN) == "fail"
    assert right > read / 2


def test_a_twin_that_knows_less_of_what_it_saw_is_caught_too() -> None:
    rng = default_rng(0)
    sides, scores = toss(rng, each(SAMPLES)), rng.normal(size=(2 * PAIRS, SAMPLES))
    scores[1::2] -= sides
    scores[::2] -= ~sides
    right, read = read_coins(scores, sides, each(SAMPLES))
    assert judge(accuracy(right, read, level=LEVEL), null=0.5, margin=MARGIN) == "fail"
    assert right < read / 2
