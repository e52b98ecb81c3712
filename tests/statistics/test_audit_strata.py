"""Scores sorted into classes."""

import numpy as np
import pytest
from numpy.random import default_rng

from forgetkit.statistics.strata import auc, error_at, leak_of, null_error, stratify


def test_keys_order_by_class_first_and_by_score_second() -> None:
    rng = default_rng(0)
    scores, labels = rng.normal(size=40), rng.integers(-3, 3, size=40)
    strata = stratify(scores, labels, scores, labels)
    assert np.argsort(strata.forget).tolist() == np.lexsort((scores, labels)).tolist()


def test_equal_scores_of_a_class_have_equal_keys_and_of_two_classes_different_ones() -> None:
    strata = stratify(np.array([1.0, 1.0]), np.array([0, 1]), np.array([1.0]), np.array([0]))
    assert strata.forget[0] == strata.unseen[0] != strata.forget[1]


def test_scores_that_differ_by_the_last_bit_have_different_keys() -> None:
    near = np.array([1e4, np.nextafter(1e4, 2e4)])
    strata = stratify(near, np.array([9, 9]), near, np.array([9, 9]))
    assert strata.forget[0] < strata.forget[1]


def test_classes_are_counted_in_both_sets_though_one_may_lack_them() -> None:
    strata = stratify(np.zeros(3), np.array([4, 4, 2]), np.zeros(2), np.array([4, 8]))
    assert (strata.forget_counts.tolist(), strata.unseen_counts.tolist()) == ([1, 2, 0], [0, 1, 1])


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 1)), np.array([np.nan, 0.0]), np.zeros(3)])
def test_what_cannot_be_ranked_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"n >= 1|NaN|do not fit"):
        stratify(bad, np.zeros(2, dtype=np.int64), np.zeros(2), np.zeros(2, dtype=np.int64))


def test_a_leak_is_the_same_shift_of_normal_scores_wherever_the_goal_is() -> None:
    assert (leak_of(0.75, 0.5), error_at(0.5)) == (0.25, 1.0)
    assert leak_of(0.04396, 0.01) == pytest.approx(leak_of(0.66276, 0.42074), abs=1e-3)
    assert leak_of(0.9, 0.8) == pytest.approx(-leak_of(0.1, 0.2))
    assert leak_of(0.0, 1e-9) == 0.0


@pytest.mark.parametrize("shift", [-0.5, -1.5, -2.0])
def test_the_error_of_a_leak_far_from_a_half_is_that_of_draws(shift: float) -> None:
    rng, labels = default_rng(0), (np.zeros(100, np.int64), np.zeros(400, np.int64))
    goal = auc(rng.normal(shift, 1, 4000), np.zeros(4000, np.int64), rng.normal(size=4000), np.zeros(4000, np.int64))
    draws = [auc(rng.normal(shift, 1, 100), labels[0], rng.normal(size=400), labels[1]) for _ in range(400)]
    spread = float(np.std([leak_of(one, goal) for one in draws]))
    assert spread == pytest.approx(null_error(*labels) * error_at(goal), rel=0.12)
