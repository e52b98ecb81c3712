"""The self-check: rates are right where the truth is known, and grow with what there is to see."""

import json
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy import stats

from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import Predictions
from forgetkit.auditing.self_check import LIMIT, SHIFTS, SelfCheck, self_check

TRIALS = 100


def unseen(count: int, *, classes: int = 4, seed: int = 0) -> Predictions:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    phi = draw.standard_normal(count) + labels / 2
    return Predictions(phi, phi > 0, labels, np.zeros((count, classes)))


def checked(ids: int, count: int = 400, **changed: object) -> SelfCheck:
    return self_check(unseen(count), np.arange(ids) % 4, policy=replace(Policy(), **changed), trials=TRIALS)


def rates(found: SelfCheck, check: str, finds: str) -> dict[float, float]:
    chosen = [outcome for outcome in found.outcomes if (outcome.check, outcome.finds) == (check, finds)]
    return {outcome.shift: outcome.rate for outcome in chosen}


@pytest.fixture(scope="module")
def usual() -> SelfCheck:
    return checked(200)


@pytest.mark.parametrize(
    ("check", "finds"), [("membership", "fail"), ("advantage", "surely above 0"), ("per-id", "an id stands out")]
)
def test_where_nothing_leaks_nothing_is_found(usual: SelfCheck, check: str, finds: str) -> None:
    assert rates(usual, check, finds)[0] <= 0.05 + 3 * sqrt(0.05 * 0.95 / TRIALS)


def test_what_leaks_more_is_found_more_often_on_both_sides(usual: SelfCheck) -> None:
    found = rates(usual, "membership", "fail")
    assert found[0] < found[0.25] < found[0.5] <= found[1] == 1
    assert found[0] < found[-0.5] <= found[-1] == 1


def test_the_power_is_that_of_the_normal_approximation() -> None:
    n, m, shift = 100, 400, 0.5
    auc = float(stats.norm.cdf(shift / sqrt(2)))
    error = sqrt((n + m + 1) / (12 * n * m))
    expected = float(stats.norm.sf((0.55 - auc) / error + 1.96))
    assert abs(rates(checked(n, m), "membership", "fail")[shift] - expected) < 3 * 0.5 / sqrt(TRIALS / 4)


def test_more_ids_see_more(usual: SelfCheck) -> None:
    for check, finds in (("membership", "fail"), ("advantage", "surely above 0")):
        assert rates(checked(20), check, finds)[0.5] < rates(usual, check, finds)[0.5]
    assert rates(checked(20), "membership", "pass")[0] == 0 < rates(checked(1000, 800), "membership", "pass")[0]


def test_the_policys_margin_counts(usual: SelfCheck) -> None:
    assert rates(checked(200, membership_margin=0.2), "membership", "fail")[0.5] < 0.2
    assert rates(usual, "membership", "fail")[0.5] > 0.5


def test_low_false_positive_rates_need_a_thousand_unseen_samples(usual: SelfCheck) -> None:
    assert not rates(usual, "low-fpr", "ε above 0")
    enough = self_check(unseen(1000), np.arange(50) % 4, policy=Policy(), trials=4)
    assert set(rates(enough, "low-fpr", "ε above 0")) == set(SHIFTS)


def test_intervals_hold_their_rates(usual: SelfCheck) -> None:
    assert all(0 <= o.interval[0] <= o.rate <= o.interval[1] <= 1 for o in usual.outcomes)


def test_samples_of_other_classes_do_not_count() -> None:
    found = self_check(unseen(400), np.array([0] * 30 + [9] * 5), policy=Policy(), trials=8)
    assert (found.ids, found.unseen) == (30, 100)


def test_the_order_of_samples_does_not_count() -> None:
    scores, mixed = unseen(100), np.random.default_rng(1).permutation(100)
    labels = np.arange(40) % 4
    same = self_check(scores, labels[::-1], policy=Policy(), trials=8)
    assert same == self_check(scores, labels, policy=Policy(), trials=8)
    shuffled = Predictions(scores.phi[mixed], scores.correct[mixed], scores.labels[mixed], scores.softmax)
    other = self_check(shuffled, labels, policy=Policy(), trials=8)
    assert (other.ids, other.unseen) == (same.ids, same.unseen)


def test_scores_that_are_all_equal_are_no_error() -> None:
    flat = unseen(100)
    found = self_check(replace(flat, phi=np.zeros(100)), flat.labels[:40], policy=Policy(), trials=8)
    assert set(rates(found, "membership", "fail").values()) == {0.0}


def test_without_a_class_in_common_it_is_not_run() -> None:
    found = self_check(unseen(40), np.array([7, 8]), policy=Policy())
    assert found.lines() == ["self-check: not run, no unseen samples of these classes"]
    assert found.to_json()["outcomes"] == []


def test_the_lines_hold_every_rate_and_the_limit(usual: SelfCheck) -> None:
    head, columns, *rows, limit = usual.lines()
    assert head == f"self-check: {TRIALS} draws of 200 and 400 samples from the unseen scores, 25 for each shift"
    assert [name for name in ("check", "finds", "if nothing leaks", "+0.25 sd", "-1 sd") if name not in columns] == []
    assert len(rows) == 4
    assert limit == LIMIT


def test_the_document_is_plain_json_and_the_same_every_time(usual: SelfCheck) -> None:
    text = json.dumps(usual.to_json(), allow_nan=False)
    assert text == json.dumps(checked(200).to_json())
    assert len(json.loads(text)["outcomes"]) == 4 * len(SHIFTS)
