"""The divergence certificate: an identity, a statistic, a bound from references."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.random import Generator, default_rng
from scipy.special import softmax

from forgetkit.statistics.divergence import (
    Divergence,
    Probabilities,
    auto_bound,
    divergence,
    least_divergence,
    least_statistic,
    mean_of,
    means_of_others,
    read_models,
    total_variation,
)

LOGITS = st.integers(2, 12).flatmap(lambda classes: arrays(float, (2, 3, classes), elements=st.floats(-40, 40)))


def draw(rng: Generator, count: int, *, n: int = 50, noise: float = 0.4) -> Probabilities:
    """Draw the softmax of models of one recipe, each of which errs on all samples together too."""
    together = rng.normal(0, noise, (count, 1, 5))
    return np.asarray(softmax(rng.normal(0, 1, (n, 5)) + together + rng.normal(0, noise, (count, n, 5)), axis=2))


def test_divergence_by_hand() -> None:
    found = divergence(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    assert found.cosine == pytest.approx([1 - sqrt(0.5)])
    assert found.norm == pytest.approx([1 - sqrt(0.5)])
    assert found.delta == pytest.approx([sqrt(0.5)])


def test_the_percentiles_of_both_parts_by_hand() -> None:
    found = divergence(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.5, 0.5], [0.0, 1.0]]))
    part = 1 - sqrt(0.5)  # of the first sample, D as well as N; the second has D = 1 and N = 0
    assert found.cosine_statistic == pytest.approx(part + 0.95 * (1 - part))
    assert found.norm_statistic == pytest.approx(0.95 * part)
    assert found.statistic == pytest.approx(sqrt(0.5) + 0.95 * (sqrt(2) - sqrt(0.5)))


@given(LOGITS)
def test_cosine_and_norm_are_the_polar_form_of_the_distance(logits: Probabilities) -> None:
    p, q = softmax(logits, axis=2)
    found = divergence(p, q)
    lengths = np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1)
    assert np.abs(found.norm**2 + 2 * lengths * found.cosine - found.delta**2).max() <= 1e-12
    assert np.abs(found.delta**2 - np.sum((p - q) ** 2, axis=1)).max() <= 1e-12
    assert np.abs(found.cosine - (1 - np.sum(p * q, axis=1) / lengths)).max() <= 1e-12


@given(LOGITS)
def test_total_variation_is_at_most_half_the_root_of_the_classes_times_delta(logits: Probabilities) -> None:
    p, q = softmax(logits, axis=2)
    bound = 0.5 * sqrt(p.shape[1]) * divergence(p, q).delta
    assert (total_variation(p, q) <= bound + 1e-12).all()


@given(LOGITS)
def test_divergence_is_symmetric_and_does_not_see_the_order_of_classes(logits: Probabilities) -> None:
    p, q = softmax(logits, axis=2)
    usual = divergence(p, q).delta
    assert divergence(q, p).delta == pytest.approx(usual)
    assert divergence(p[:, ::-1], q[:, ::-1]).delta == pytest.approx(usual)


def test_equal_answers_have_no_divergence() -> None:
    p = draw(default_rng(0), 1)[0]
    found = divergence(p, p)
    assert not np.concatenate([found.cosine, found.norm, found.delta]).any()


def test_total_variation_by_hand() -> None:
    assert total_variation(np.array([[0.7, 0.2, 0.1]]), np.array([[0.5, 0.5, 0.0]])) == pytest.approx([0.3])


def test_the_statistic_is_the_95th_percentile_over_the_probes() -> None:
    delta = np.arange(101) / 100
    assert Divergence(delta, delta, delta[::-1]).statistic == pytest.approx(0.95)


def test_means_of_others_leave_one_out() -> None:
    models = list(draw(default_rng(1), 4))
    for position, mean in enumerate(means_of_others(models)):
        assert mean == pytest.approx(mean_of(models[:position] + models[position + 1 :]))


def test_the_auto_bound_is_the_largest_statistic_of_a_reference() -> None:
    p = draw(default_rng(2), 6)
    p[3] = p[3][:, ::-1]
    found = auto_bound(p)
    assert found.statistics[3] == found.value == max(found.statistics)
    assert found.value == pytest.approx(divergence(p[3], np.delete(p, 3, axis=0).mean(axis=0)).statistic)
    assert found.false_alarms == 1 / 7


def test_the_auto_bound_does_not_see_the_order_of_references_or_samples() -> None:
    p = draw(default_rng(3), 6)
    assert auto_bound(p[::-1, ::-1]).value == pytest.approx(auto_bound(p).value)


def test_a_model_is_compared_with_means_of_the_bounds_size() -> None:
    p = draw(default_rng(4), 6)
    by_hand = [divergence(p[5], np.delete(p[:5], j, axis=0).mean(axis=0)).statistic for j in range(5)]
    assert least_statistic(p[5], p[:5]) == pytest.approx(min(by_hand))
    least = divergence(p[5], np.delete(p[:5], np.argmin(by_hand), axis=0).mean(axis=0))
    assert least_divergence(p[5], p[:5]).cosine == pytest.approx(least.cosine)


def test_a_model_that_was_moved_lies_above_the_bound() -> None:
    p = draw(default_rng(5), 9)
    moved = softmax(np.log(p[8]) + np.array([4.0, 0, 0, 0, 0]), axis=1)
    assert least_statistic(moved, p[:8]) > auto_bound(p[:8]).value


def test_fewer_than_5_references_are_no_bound() -> None:
    with pytest.raises(ValueError, match="4 references are too few: this needs at least 5"):
        auto_bound(draw(default_rng(6), 4))


@pytest.mark.parametrize(
    "p, message",
    [
        (np.array([[0.5, 0.6]]), "1 of 1 rows of model are no softmax"),
        (np.array([[1.5, -0.5]]), "1 of 1 rows"),
        (np.array([[np.nan, 1.0], [0.5, 0.5]]), "1 of 2 rows"),
        (np.array([0.5, 0.5]), r"shape \(2,\), not \(n, classes\)"),
        (np.ones((0, 2)), "n >= 1"),
        (np.array([[0.5, 0.5]]), r"softmax of mean has shape \(1, 3\), not \(1, 2\)"),
    ],
)
def test_what_is_no_softmax_is_refused(p: Probabilities, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divergence(p, np.full((1, 3), 1 / 3))


def test_references_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match="reference 1 has shape"):
        read_models([np.full((1, 2), 0.5), np.full((2, 2), 0.5)], fewest=2)


@pytest.mark.parametrize("repeats", [300, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("k", [5, 9])
def test_one_more_reference_lies_above_the_bound_no_more_often_than_said(k: int, repeats: int) -> None:
    rng, alarms, mean_alarms = default_rng(60), 0, 0
    for _ in range(repeats):
        p = draw(rng, k + 1, n=20)
        bound = auto_bound(p[:k])
        alarms += least_statistic(p[k], p[:k]) > bound.value
        mean_alarms += divergence(p[k], p[:k].mean(axis=0)).statistic > bound.value
    print(f"auto bound, k={k}: {alarms / repeats:.4f} of 1/{k + 1}; by the mean of all {mean_alarms / repeats:.4f}")
    assert alarms / repeats <= bound.false_alarms + 3 * sqrt(bound.false_alarms / repeats)
