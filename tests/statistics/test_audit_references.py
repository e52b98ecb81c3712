"""Statistics of an audit with references: nearness, exact rank, calibrated ids."""

from collections.abc import Callable
from math import log, sqrt

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.special import softmax

from forgetkit.statistics.calibration import Calibrated, calibrate
from forgetkit.statistics.divergence import Probabilities
from forgetkit.statistics.references import Closer, Rank, closer, rank
from forgetkit.statistics.strata import Labels, Scores

REPEATS = pytest.mark.parametrize("repeats", [300, pytest.param(2000, marks=pytest.mark.slow)])


def two(*first: float) -> Probabilities:
    """Return a softmax of two classes from the probabilities of the first."""
    p = np.array(first)
    return np.stack([p, 1 - p], axis=1)


def scores(rng: Generator, models: int, n: int = 40, *, noise: float = 1.0) -> Scores:
    """Draw scores of models that share the samples' difficulty, and each of which shifts all samples together."""
    together = rng.normal(0, 0.3, (models, 1))
    return rng.normal(0, 3, n) + together + noise * rng.normal(0, 1, (models, n))


def models(rng: Generator, count: int, n: int = 60, *, classes: int = 4, push: float = 0.0) -> tuple[Scores, Labels]:
    """Draw the softmax of models that share the samples' difficulty; ``push`` raises the last one's true logit."""
    labels = rng.integers(classes, size=n)
    logits = rng.normal(0, 1, (n, classes)) + rng.normal(0, 0.4, (count, n, classes))
    logits[-1, np.arange(n), labels] += push
    return softmax(logits, axis=2), labels


def near(seed: int, *, push: float = 0.0, original: float = 3.0) -> Closer:
    """Compare one more reference, pushed or not, among 5, with an original that is ``original`` surer."""
    p, labels = models(default_rng(seed), 6, 300, push=push)
    before = p[0] * np.exp(original * (np.arange(4) == labels[:, None]))
    return closer(p[-1], before / before.sum(axis=1, keepdims=True), p[:-1])


def test_closer_by_hand() -> None:
    # The mean is (.5, .4); the distances .1 and .2 against the original's .4 and .2.
    found = closer(two(0.6, 0.2), two(0.9, 0.6), [two(0.4, 0.4), two(0.6, 0.4)])
    assert found.ratio.value == pytest.approx((0.1 + 0.2) / (0.4 + 0.2))
    # Each reference is .2 from the other; the original is .3 + .2 from the second, .5 + .2 from the first.
    assert found.floors == pytest.approx((0.2 / 0.5, 0.2 / 0.7))
    assert found.ceiling == pytest.approx(0.2 / 0.5 + 0.05)


def test_the_interval_of_closer_spans_its_draws() -> None:
    # Two samples of ratios .25 and 1: a draw has the one, both, or the other, with chances ¼, ½, ¼.
    found = closer(two(0.6, 0.2), two(0.9, 0.6), [two(0.4, 0.4), two(0.6, 0.4)])
    assert found.ratio.wide == pytest.approx((0.25, 1.0))
    assert found.ratio.n == 2


def test_the_end_of_each_reference_is_that_of_its_own_comparison_with_the_others() -> None:
    p, labels = models(default_rng(3), 6, 80)
    before = p[0] * np.exp(3.0 * (np.arange(4) == labels[:, None]))
    before /= before.sum(axis=1, keepdims=True)
    found = closer(p[-1], before, p[:-1])
    alone = closer(p[1], before, [p[0], *p[2:-1]])
    assert found.floors[1] == pytest.approx(alone.ratio.value)
    assert found.ends[1] == pytest.approx(alone.ratio.wide[1])


def test_with_few_samples_the_references_would_not_pass_themselves() -> None:
    def resolved(n: int) -> bool:
        p, labels = models(default_rng(1), 6, n)
        before = p[0] * np.exp(1.0 * (np.arange(4) == labels[:, None]))
        return closer(p[-1], before / before.sum(axis=1, keepdims=True), p[:-1]).resolved

    assert [resolved(n) for n in (5, 2000)] == [False, True]


def test_one_more_reference_is_close() -> None:
    assert near(0).verdict == "pass"


def test_the_original_is_at_1_and_does_not_pass_closer() -> None:
    p, _ = models(default_rng(1), 6, push=3.0)
    found = closer(p[-1], p[-1], p[:-1])
    assert found.possible
    assert (found.ratio.value, found.ratio.wide, found.verdict) == (1.0, (1.0, 1.0), "inconclusive")


def test_a_model_further_than_the_original_fails() -> None:
    assert near(2, push=-12.0, original=0.7).verdict == "fail"


def test_where_the_original_is_like_a_reference_nothing_passes() -> None:
    p, _ = models(default_rng(3), 7)
    found = closer(p[-1], p[-2], p[:-2])
    assert (found.possible, found.verdict) == (False, "inconclusive")


def test_a_draw_at_which_the_original_is_at_no_distance_keeps_closer_from_passing() -> None:
    references = [two(0.5, 0.5), two(0.5, 0.5)]
    found = closer(two(0.5, 0.5), two(0.9, 0.5), references)
    assert found.ratio.value == 0.0
    assert (found.ratio.wide[1], found.verdict) == (float("inf"), "inconclusive")


def test_closer_does_not_see_the_order_of_references_or_classes() -> None:
    p, _ = models(default_rng(4), 7, push=1.0)
    usual = closer(p[6], p[5], p[:5])
    mixed = closer(p[6][:, ::-1], p[5][:, ::-1], p[4::-1][:, :, ::-1])
    assert mixed.ratio.wide == pytest.approx(usual.ratio.wide)
    assert mixed.floors == pytest.approx(usual.floors[::-1])


def test_the_same_seed_gives_the_same_interval() -> None:
    assert near(5) == near(5)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda p: closer(p, p, [p]), "1 references are too few"),
        (lambda p: closer(p, p, [p, p]), "nothing to come closer to"),
        (lambda p: closer(p[:1], p, [p, p]), "softmax of after has shape"),
        (lambda p: closer(p, 2 * p, [p, p]), "2 of 2 rows of before are no softmax"),
        (lambda p: closer(p, p[:, ::-1], [p, p], draws=0), "0 draws"),
        (lambda p: closer(p, p[:, ::-1], [p, p], level=0.5), "level"),
    ],
)
def test_what_has_no_ratio_is_refused(call: Callable[[Probabilities], Closer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(two(0.3, 0.9))


def test_rank_by_hand() -> None:
    # Mean 2.5 and standard deviation 5/sqrt(3) of 0, 0, 5, 5; the others' mean is 4/3 as far away.
    found = rank(np.array([5.0]), np.array([0.0]), np.array([[0.0], [0.0], [5.0]]))
    assert found.signed == pytest.approx((5 - 5 / 3) / (5 / sqrt(3)))
    assert found.apart == pytest.approx(found.signed)
    assert found.p == 1.0


def test_rank_counts_the_models_at_least_as_far_apart() -> None:
    found = rank(np.array([3.0]), np.array([1.1]), np.array([[1.0], [0.9], [-3.0], [1.2]]))
    # Mean .62: distances 2.38 of the candidate, .38, .28, 3.62, .58.
    assert found.p == 2 / 5


def test_each_of_the_models_in_turn_has_another_p() -> None:
    pool = scores(default_rng(0), 20)
    p = [rank(pool[m], pool[m], np.delete(pool, m, axis=0)).p for m in range(20)]
    assert sorted(p) == pytest.approx([(1 + m) / 20 for m in range(20)])


def ranked(seed: int, shift: float, *, k: int = 19, before: float = 5.0) -> Rank:
    """Rank one more reference, shifted, with an original that is ``before`` above a reference."""
    pool = scores(default_rng(seed), k + 2)
    return rank(pool[0] + shift, pool[1] + before, pool[2:])


def test_one_more_reference_passes_rank() -> None:
    assert ranked(1, 0.0).verdict == "pass"


@pytest.mark.parametrize("shift", [5.0, -5.0])
def test_remembered_and_pushed_away_both_fail_rank_and_are_told_apart(shift: float) -> None:
    found = ranked(2, shift)
    assert (found.verdict, found.p) == ("fail", 1 / 20)
    assert np.sign(found.signed) == np.sign(shift)


def test_a_model_pushed_either_way_by_turns_fails_without_a_sign() -> None:
    turns = 5.0 * (-1.0) ** np.arange(40)
    pool = scores(default_rng(3), 20)
    found = rank(pool[0] + turns, pool[0], pool[1:])
    assert found.verdict == "fail"
    assert abs(found.signed) < 0.3 * found.apart


def test_the_original_itself_does_not_pass_rank() -> None:
    for shift in (0.0, 5.0):
        pool = scores(default_rng(4), 20)
        assert rank(pool[0] + shift, pool[0] + shift, pool[1:]).verdict != "pass"


def test_an_original_like_a_reference_leaves_rank_inconclusive() -> None:
    assert ranked(5, 0.0, before=0.0).verdict == "inconclusive"


def test_an_original_that_knows_less_than_the_references_is_no_control_of_rank() -> None:
    found = ranked(5, 0.0, before=-5.0)
    assert (found.p_before, found.control_remembers, found.verdict) == (1 / 20, False, "inconclusive")


@pytest.mark.parametrize("k, level, possible", [(18, 0.05, False), (19, 0.05, True), (8, 0.1, False), (9, 0.1, True)])
def test_below_19_references_rank_cannot_fail_at_5_percent(k: int, level: float, possible: bool) -> None:
    pool = scores(default_rng(6), k + 1)
    found = rank(pool[0] + 9, pool[0] + 9, pool[1:], level=level)
    assert (found.possible, found.verdict) == (possible, "fail" if possible else "inconclusive")
    assert found.needed == round(1 / level) - 1


def test_rank_sees_neither_order_nor_place_nor_scale_of_the_scores() -> None:
    pool, rng = scores(default_rng(7), 21), default_rng(8)
    usual = rank(pool[0], pool[1], pool[2:])
    moved = (pool * rng.uniform(0.1, 9, 40) + rng.normal(0, 9, 40))[:, rng.permutation(40)]
    mixed = rank(moved[0], moved[1], moved[2:][rng.permutation(19)])
    assert (mixed.p, mixed.p_before) == (usual.p, usual.p_before)
    assert (mixed.apart, mixed.signed) == pytest.approx((usual.apart, usual.signed))


def test_mirrored_scores_turn_the_sign_and_keep_the_p() -> None:
    pool = scores(default_rng(9), 21)
    found, mirrored = (rank(s * pool[0], s * pool[1], s * pool[2:]) for s in (1, -1))
    assert (mirrored.p, mirrored.signed) == (found.p, -found.signed)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4])
def test_where_all_models_agree_none_stands_apart(value: float) -> None:
    found = rank(np.full(5, value), np.full(5, value), np.full((19, 5), value))
    assert (found.apart, found.signed, found.p, found.verdict) == (0.0, 0.0, 1.0, "inconclusive")


def test_samples_where_all_agree_change_no_p() -> None:
    pool = scores(default_rng(10), 20)
    wider = np.hstack([pool, np.full((20, 7), 0.1)])
    assert rank(wider[0], wider[0], wider[1:]).p == rank(pool[0], pool[0], pool[1:]).p


@pytest.mark.parametrize(
    "arrays, message",
    [
        ((np.ones(3), np.ones(3), np.ones((0, 3))), "0 references"),
        ((np.ones(3), np.ones(2), np.ones((4, 3))), "one shape"),
        ((np.array([1.0, np.inf]), np.ones(2), np.ones((4, 2))), "all finite"),
        ((np.array([1.0, np.nan]), np.ones(2), np.ones((4, 2))), "NaN"),
    ],
)
def test_what_cannot_be_ranked_is_refused(arrays: tuple[Scores, Scores, Scores], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank(*arrays)


@REPEATS
def test_under_the_null_rank_rejects_as_often_as_it_says_and_p_is_uniform(repeats: int) -> None:
    rng = default_rng(50)
    drawn = [scores(rng, 20) for _ in range(repeats)]
    p = np.array([rank(pool[0], pool[0], pool[1:]).p for pool in drawn])
    print(f"rank at the null: {np.mean(p <= 0.05):.4f}")
    for level in (0.05, 0.25, 0.5, 0.75):
        assert abs(np.mean(p <= level) - level) <= 3 * sqrt(level * (1 - level) / repeats)


@REPEATS
def test_one_more_reference_seldom_fails_closer(repeats: int) -> None:
    fails, passes = 0, 0
    for seed in range(repeats):
        p, labels = models(default_rng(seed), 6, 100)
        before = p[0] * np.exp(3 * (np.arange(4) == labels[:, None]))
        found = closer(p[-1], before / before.sum(axis=1, keepdims=True), p[:-1], draws=200)
        fails, passes = fails + (found.verdict == "fail"), passes + (found.verdict == "pass")
    print(f"closer at the null: fails {fails / repeats:.4f}, passes {passes / repeats:.4f}")
    assert fails / repeats <= 0.05 + 3 * sqrt(0.05 * 0.95 / repeats)


def per_sample(p: NDArray[np.float64], labels: Labels, n: int) -> Calibrated:
    """Calibrate the last model's first n samples, against the rest as unseen ones."""
    after, references = p[-1], p[:-1]
    return calibrate(
        after[:n], references[:, :n], after[n:], references[:, n:], labels=labels[:n], unseen_labels=labels[n:]
    )


def test_calibrated_scores_by_hand() -> None:
    zero = np.zeros(1, dtype=np.int64)
    found = calibrate(two(0.8), [two(0.2), two(0.6)], two(0.1), [two(0.4), two(0.4)], labels=zero, unseen_labels=zero)
    assert found.forget == pytest.approx([log(0.8 / 0.4)])
    assert found.unseen == pytest.approx([log(0.1 / 0.4)])
    assert not found.scaled


def test_from_5_references_on_scores_are_in_units_of_their_spread() -> None:
    zero = np.zeros(1, dtype=np.int64)
    p = [0.1, 0.2, 0.3, 0.4, 0.5]
    references = [two(q) for q in p]
    found = calibrate(two(0.9), references, two(0.3), references, labels=zero, unseen_labels=zero)
    assert found.scaled
    assert found.forget == pytest.approx([log(0.9 / 0.3) / np.log(p).std(ddof=1)])


@pytest.mark.parametrize("k", [2, 8])
def test_what_is_remembered_and_what_was_pushed_away_is_found(k: int) -> None:
    p, labels = models(default_rng(11), k + 1, 1_040, classes=2)
    logits = np.log(p)
    # The first ten are hard: of an easy one, all models are sure, whether they remember it or not.
    logits[:, np.arange(10), labels[:10]] -= 3.0
    logits[-1, np.arange(40), labels[:40]] += np.repeat([12.0, -12.0, 0.0], [10, 10, 20])
    found = per_sample(softmax(logits, axis=2), labels, 40).found
    assert found.remembered[:10].all()
    assert found.over_forgotten[10:20].all()
    assert found.remembered[10:].sum() + found.over_forgotten[20:].sum() <= 2


def test_an_easy_sample_is_not_taken_for_a_remembered_one() -> None:
    p, labels = models(default_rng(12), 9, 1_040, classes=2)
    logits = np.log(p)
    logits[:, np.arange(40), labels[:40]] += 3.0
    assert per_sample(softmax(logits, axis=2), labels, 40).found.remembered.sum() <= 2


def test_a_probability_of_0_keeps_the_scores_finite() -> None:
    zero = np.zeros(2, dtype=np.int64)
    same = [two(1.0, 0.0)] * 5
    found = calibrate(two(0.0, 1.0), same, two(1.0, 0.0), same, labels=zero, unseen_labels=zero)
    assert np.isfinite(found.forget).all()
    assert found.unseen.tolist() == [0.0, 0.0]


def test_calibration_sees_no_order_of_references_and_no_names_of_classes() -> None:
    p, labels = models(default_rng(13), 8, 300, push=2.0)
    usual = per_sample(p, labels, 60)
    mixed = per_sample(np.concatenate([p[6::-1], p[7:]])[:, :, ::-1], 3 - labels, 60)
    assert mixed.forget == pytest.approx(usual.forget)
    assert mixed.found.remembered.tolist() == usual.found.remembered.tolist()


@pytest.mark.parametrize(
    "label, k, message", [(2, 2, "forget labels"), (-1, 2, "forget labels"), (0, 3, "2 references")]
)
def test_what_cannot_be_calibrated_is_refused(label: int, k: int, message: str) -> None:
    labels = np.array([label])
    with pytest.raises(ValueError, match=message):
        calibrate(two(0.5), [two(0.5)] * 2, two(0.5), [two(0.5)] * k, labels=labels, unseen_labels=labels * 0)


@REPEATS
@pytest.mark.parametrize("k", [2, 8])
def test_under_the_null_calibration_seldom_finds_an_id(k: int, repeats: int) -> None:
    rng, found = default_rng(51), np.zeros(2)
    for _ in range(repeats):
        p, labels = models(rng, k + 1, 610, classes=2)
        result = per_sample(p, labels, 10).found
        found += [result.remembered.any(), result.over_forgotten.any()]
    print(f"calibrated at the null, k={k}: remembered {found[0] / repeats:.4f}, over {found[1] / repeats:.4f}")
    assert found.max() / repeats <= 0.05 + 3 * sqrt(0.05 * 0.95 / repeats)


def test_without_the_original_the_rank_can_fail_and_never_pass() -> None:
    pool = np.random.default_rng(0).normal(size=(20, 50))
    fails, other = rank(pool[0] + 9, None, pool[1:]), rank(pool[0], None, pool[1:])
    assert (fails.verdict, fails.p) == ("fail", rank(pool[0] + 9, pool[0], pool[1:]).p)
    assert (other.verdict, other.p_before) == ("inconclusive", None)
