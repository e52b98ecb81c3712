"""The class-stratified AUC and the number of ids it takes."""

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng

from forgetkit.statistics.intervals import judge
from forgetkit.statistics.membership_auc import StratifiedAuc, ids_to_decide, ids_to_pass, stratified_auc
from forgetkit.statistics.strata import Labels, Scores, auc

Samples = tuple[Scores, Labels, Scores, Labels]
SCORES = st.lists(st.tuples(st.integers(-4, 4), st.integers(0, 2)), min_size=1, max_size=30)


def one_class(forget: list[float], unseen: list[float]) -> Samples:
    """Return samples of a single class."""
    labels = np.zeros(len(forget), dtype=np.int64), np.zeros(len(unseen), dtype=np.int64)
    return np.array(forget, dtype=float), labels[0], np.array(unseen, dtype=float), labels[1]


def draw(rng: Generator, n: int, m: int, *, classes: int = 10, shift: float = 0.0) -> Samples:
    """Draw normal scores whose mean depends on the class; forget scores are shifted."""
    labels, others = rng.integers(classes, size=n), rng.integers(classes, size=m)
    return rng.normal(labels + shift, 1.0), labels, rng.normal(others, 1.0), others


def shift_for(area: float) -> float:
    """Return the shift of unit normals whose AUC is ``area``."""
    from scipy import stats

    return float(stats.norm.ppf(area)) * sqrt(2)


def wins(one: float, other: float) -> float:
    """Return 1 for a win, ½ for a tie and 0 for a loss."""
    return 1.0 if one > other else 0.5 if one == other else 0.0


def brute_force(samples: Samples) -> tuple[float, float]:
    """Compute the stratified AUC and its variance pair by pair, from DeLong's definition."""
    forget, forget_labels, unseen, unseen_labels = samples
    used = np.isin(forget_labels, unseen_labels)
    total, variance = 0.0, 0.0
    for y in np.unique(forget_labels[used]):
        table = np.array([[wins(s, h) for h in unseen[unseen_labels == y]] for s in forget[forget_labels == y]])
        n, m = table.shape
        weight = n / used.sum()
        total += weight * table.mean()
        if min(n, m) < 5:
            variance += weight**2 * (n + m + 1) / (12 * n * m)
        else:
            variance += weight**2 * (table.mean(axis=1).var(ddof=1) / n + table.mean(axis=0).var(ddof=1) / m)
    return total, variance


def test_auc_counts_pairs_and_ties_by_hand() -> None:
    assert auc(*one_class([3, 1], [2, 1, 0])) == pytest.approx((3 + 1.5) / 6)


def test_delong_by_hand() -> None:
    result = stratified_auc(*one_class([2, 4, 6, 8, 10], [1, 3, 5, 7, 9]))
    assert result.estimate.value == pytest.approx(15 / 25)
    # Shares of unseen below: .2 .4 .6 .8 1, of forget above: 1 .8 .6 .4 .2; each of variance .1.
    assert result.error == pytest.approx(sqrt(0.1 / 5 + 0.1 / 5))


@pytest.mark.parametrize("n, m", [(4, 50), (50, 4), (1, 1)])
def test_a_small_stratum_has_the_null_variance(n: int, m: int) -> None:
    result = stratified_auc(*draw(default_rng(0), n, m, classes=1))
    assert result.error == pytest.approx(sqrt((n + m + 1) / (12 * n * m)))


@pytest.mark.parametrize("seed", range(6))
def test_auc_and_its_error_equal_brute_force(seed: int) -> None:
    samples = draw(default_rng(seed), 70, 90, shift=0.5)
    total, variance = brute_force(samples)
    result = stratified_auc(*samples)
    assert (result.estimate.value, result.error) == pytest.approx((total, sqrt(variance)))


@given(SCORES, SCORES)
def test_auc_with_ties_and_empty_strata_equals_brute_force(
    forget: list[tuple[int, int]], unseen: list[tuple[int, int]]
) -> None:
    samples = (*split(forget), *split(unseen))
    if not np.isin(samples[1], samples[3]).any():
        return
    total, variance = brute_force(samples)
    result = stratified_auc(*samples)
    assert (result.estimate.value, result.error) == pytest.approx((total, sqrt(variance)))
    assert auc(*samples) == result.estimate.value


def split(rows: list[tuple[int, int]]) -> tuple[Scores, Labels]:
    """Return the scores and the labels of pairs."""
    table = np.array(rows)
    return table[:, 0].astype(float), table[:, 1]


@given(SCORES, SCORES)
def test_auc_of_swapped_sets_is_one_less_it(forget: list[tuple[int, int]], unseen: list[tuple[int, int]]) -> None:
    # One class: with several, the weights follow the forget set and change with the swap.
    a, b = one_class([x for x, _ in forget], [0]), one_class([x for x, _ in unseen], [0])
    assert auc(*a[:2], *b[:2]) == pytest.approx(1 - auc(*b[:2], *a[:2]))


@pytest.mark.parametrize("change", [np.exp, np.arctan, lambda x: 1e8 * x - 3])
def test_auc_does_not_see_a_monotone_map(change: Callable[[Scores], Scores]) -> None:
    forget, forget_labels, unseen, unseen_labels = draw(default_rng(1), 60, 80)
    mapped = stratified_auc(change(forget), forget_labels, change(unseen), unseen_labels)
    assert mapped == stratified_auc(forget, forget_labels, unseen, unseen_labels)


def test_auc_does_not_see_the_difficulty_of_the_classes() -> None:
    forget, forget_labels, unseen, unseen_labels = draw(default_rng(2), 60, 80)
    moved = auc(forget + 100 * forget_labels, forget_labels, unseen + 100 * unseen_labels, unseen_labels)
    assert moved == auc(forget, forget_labels, unseen, unseen_labels)


def test_auc_does_not_see_the_order_or_the_names_of_anything() -> None:
    rng = default_rng(3)
    forget, forget_labels, unseen, unseen_labels = draw(rng, 60, 80)
    f, u, names = rng.permutation(60), rng.permutation(80), rng.permutation(10) * 7 - 5
    mixed = auc(forget[f], names[forget_labels[f]], unseen[u], names[unseen_labels[u]])
    assert mixed == pytest.approx(auc(forget, forget_labels, unseen, unseen_labels))


def test_classes_that_the_unseen_set_lacks_are_left_out_and_counted() -> None:
    forget, labels = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 7, 8])
    result = stratified_auc(forget, labels, np.array([0.0, 5.0, 9.0]), np.array([0, 0, 1]))
    assert result.estimate.value == 0.5
    assert (result.n, result.estimate.n, result.left_out) == (2, 2, 2)


def test_perfect_separation_is_one_without_an_error() -> None:
    result = stratified_auc(*one_class([6, 7, 8, 9, 10], [1, 2, 3, 4, 5]))
    assert result.estimate.wide == (1.0, 1.0)


@pytest.mark.parametrize("area, verdict", [(0.5, "pass"), (0.99, "fail"), (0.01, "fail"), (0.55, "inconclusive")])
def test_remembered_and_over_forgotten_both_fail(area: float, verdict: str) -> None:
    result = stratified_auc(*draw(default_rng(4), 1500, 5000, shift=shift_for(area)))
    assert judge(result.estimate, null=0.5, margin=0.05) == verdict


@pytest.mark.parametrize(
    "samples, message",
    [
        ((np.ones(2), np.zeros(2), np.ones(2), np.ones(2)), "share no class"),
        ((np.ones(0), np.zeros(0), np.ones(2), np.ones(2)), "n >= 1"),
        ((np.ones(2), np.ones(2), np.array([1.0, np.nan]), np.ones(2)), "1 of 2 unseen scores are NaN"),
        ((np.ones(2), np.ones(3), np.ones(2), np.ones(2)), "do not fit"),
    ],
)
def test_what_has_no_auc_is_refused(samples: Samples, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auc(*samples)


@pytest.mark.parametrize("unseen, ids", [(250, 142), (500, 111), (5_000, 92)])
def test_membership_cannot_pass_below_the_numbers_of_the_specification(unseen: int, ids: int) -> None:
    assert ids_to_pass(unseen) == ids


def test_membership_takes_361_ids_against_a_large_unseen_set() -> None:
    assert ids_to_decide(10**9) == 361


def test_membership_takes_722_ids_against_an_equal_unseen_set() -> None:
    # The specification says "about 721"; that is the same formula without the + 1 of the null variance (721.5).
    assert min(n for n in range(600, 800) if (ids_to_decide(n) or n + 1) <= n) == 722


def test_some_unseen_sets_are_too_small_for_any_number_of_ids() -> None:
    assert (ids_to_pass(90), ids_to_decide(360)) == (None, None)
    assert None not in (ids_to_pass(91), ids_to_decide(361))


@pytest.mark.parametrize("count, errors", [(ids_to_pass, 1), (ids_to_decide, 2)])
@given(unseen=st.integers(361, 10_000))
def test_the_number_of_ids_is_the_first_whose_interval_fits(
    count: Callable[[int], int | None], errors: int, unseen: int
) -> None:
    ids = count(unseen)
    assert ids is not None
    one_less, enough = (errors * 1.6448536 * sqrt((n + unseen + 1) / (12 * n * unseen)) for n in (ids - 1, ids))
    assert enough <= 0.05 + 1e-7
    assert one_less > 0.05 - 1e-7


def test_more_power_a_smaller_margin_or_level_take_more_ids() -> None:
    usual = ids_to_decide(5_000)
    assert usual is not None
    others = ids_to_decide(5_000, power=0.95), ids_to_decide(5_000, margin=0.04), ids_to_decide(5_000, level=0.01)
    assert all(other is not None and other > usual for other in others)


def verdict_of(samples: Samples) -> str:
    """Judge samples as the audit does."""
    return judge(stratified_auc(*samples).estimate, null=0.5, margin=0.05)


def misses(result: StratifiedAuc, truth: float) -> bool:
    """Tell whether the wide interval misses the true AUC."""
    return not result.estimate.wide[0] <= truth <= result.estimate.wide[1]


NULLS: dict[str, Callable[[Generator], bool]] = {
    "n=65 m=250 misses a half": lambda rng: misses(stratified_auc(*draw(rng, 65, 250)), 0.5),
    "n=300 m=250 misses a half": lambda rng: misses(stratified_auc(*draw(rng, 300, 250)), 0.5),
    "n=300 m=5000 misses 0.8": lambda rng: misses(stratified_auc(*draw(rng, 300, 5000, shift=shift_for(0.8))), 0.8),
    "n=40 m=900 in 10 classes fails at the null": lambda rng: verdict_of(draw(rng, 40, 900)) == "fail",
    "n=500 m=500 passes at the margin": lambda rng: verdict_of(draw(rng, 500, 500, shift=shift_for(0.55))) == "pass",
    "n=500 m=500 fails at the margin": lambda rng: verdict_of(draw(rng, 500, 500, shift=shift_for(0.45))) == "fail",
}


@pytest.mark.parametrize("repeats", [300, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("null", NULLS)
def test_under_the_null_membership_errs_no_more_than_it_says(null: str, repeats: int) -> None:
    rng = default_rng(30)
    rate = sum(NULLS[null](rng) for _ in range(repeats)) / repeats
    print(f"{null}: {rate:.4f}")
    assert rate <= 0.05 + 3 * sqrt(0.05 * 0.95 / repeats)


@pytest.mark.parametrize("repeats", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_promised_number_of_ids_gives_the_promised_power(repeats: int) -> None:
    rng, n = default_rng(31), ids_to_decide(2_000)
    assert n is not None
    rate = np.mean([verdict_of(draw(rng, n, 2_000, classes=1)) == "pass" for _ in range(repeats)])
    print(f"power with {n} ids: {rate:.4f}")
    assert rate >= 0.9 - 3 * sqrt(0.09 / repeats)


def test_membership_decides_more_often_the_more_ids_it_has() -> None:
    rng = default_rng(32)
    for shift, verdict in ((0.0, "pass"), (shift_for(0.6), "fail")):
        rates = [
            np.mean([verdict_of(draw(rng, n, n, shift=shift)) == verdict for _ in range(100)]) for n in (200, 500, 1500)
        ]
        assert rates[0] < rates[1] < rates[2]
