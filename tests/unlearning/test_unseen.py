"""What a reading shows: by hand, against an independent count, and the laws that decide when enough is forgotten."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc, null_error
from forgetkit.training.classifier import accuracy
from forgetkit.unlearning.membership_gauge import (
    Gauge,
    Reading,
    gauge_of,
    is_forgotten,
    keeps_accuracy,
    pooled,
    recognisable,
)

ALL = torch.ones(3, dtype=torch.bool)


class Said(nn.Module):
    """A model whose logits are its images; it counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        """Return the images."""
        self.asked.append(len(images))
        return images


def samples(count: int, seed: int, classes: int = 3, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return logits with a label each; ``shift`` is added to the true one."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (count,), generator=source)
    logits = torch.randn(count, classes, generator=source)
    logits[torch.arange(count), labels] += shift
    return logits, labels


def pairs_won(forget: tuple[Tensor, Tensor], unseen: tuple[Tensor, Tensor]) -> float:
    """Count, forget sample by forget sample, the share of unseen ones of its class that it beats."""
    own, other = phi(*forget).tolist(), phi(*unseen).tolist()
    shares = []
    for score, label in zip(own, forget[1].tolist(), strict=True):
        rivals = [s for s, y in zip(other, unseen[1].tolist(), strict=True) if y == label]
        if rivals:
            shares.append(sum(1.0 if score > s else 0.5 if score == s else 0.0 for s in rivals) / len(rivals))
    return sum(shares) / len(shares)


@given(st.integers(0, 999), st.floats(-2, 2))
def test_a_reading_is_what_counting_pairs_and_hits_gives(seed: int, shift: float) -> None:
    forget, tune = samples(12, seed, shift=shift), samples(30, seed + 1)
    found = gauge_of(forget, tune, ALL).read(Said())
    assert found.auc == pytest.approx(pairs_won(forget, tune))
    assert found.accuracy == pytest.approx(float((tune[0].argmax(1) == tune[1]).double().mean()))
    assert (found.vanished, found.goal) == (None, 0.5)


def test_a_class_of_which_nothing_is_retained_is_told_apart() -> None:
    forget, tune = samples(40, 0, shift=1.0), samples(90, 1)
    kept = torch.tensor([True, False, True])
    found = gauge_of(forget, tune, kept).read(Said())
    known, seen = forget[1] != 1, tune[1] != 1
    assert found.auc == pytest.approx(pairs_won((forget[0][known], forget[1][known]), tune))
    assert found.vanished == accuracy(forget[0][~known], forget[1][~known])
    assert found.accuracy == accuracy(tune[0][seen], tune[1][seen])


def test_a_forget_set_of_whole_classes_has_no_auc_and_its_accuracy_is_the_gap() -> None:
    logits, _ = samples(20, 0)
    found = gauge_of((logits, torch.ones(20, dtype=torch.int64)), samples(60, 1), torch.tensor([True, False, True]))
    reading = found.read(Said())
    assert (reading.auc, reading.error) == (None, 0.0)
    assert reading.gap == reading.vanished == float((logits.argmax(1) == 1).double().mean())


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_outputs_that_are_not_finite_know_nothing(bad: float) -> None:
    forget, tune = samples(20, 0, shift=9.0), samples(60, 1)
    reading = gauge_of(
        (torch.full_like(forget[0], bad), forget[1]), (torch.full_like(tune[0], bad), tune[1]), ALL
    ).read(Said())
    assert reading.auc == 0.5
    assert reading.accuracy == float((tune[1] == 0).double().mean())


def test_a_reading_leaves_model_and_mode_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gauge_of(samples(20, 0), samples(50, 1), ALL).read(model)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@given(st.integers(2, 40), st.integers(20, 400), st.integers(1, 60), st.integers(0, 99))
def test_readings_take_a_bounded_part_of_the_tune_half_in_the_mix_of_the_forget_set(
    count: int, tuned: int, most: int, seed: int
) -> None:
    forget, tune = samples(count, seed), samples(tuned, seed + 1)
    gauge, size = gauge_of(forget, tune, ALL, seed=seed, most=most), max(most, count)
    own = torch.bincount(forget[1], minlength=3)
    there, taken = torch.bincount(tune[1], minlength=3), torch.bincount(gauge.unseen[1], minlength=3)
    assert len(gauge.guard[1]) == min(size, tuned)
    assert len(gauge.unseen[1]) <= size + 3
    assert (taken[own == 0] == 0).all()
    matching = int(there[own > 0].sum())
    quota = there if matching <= size else torch.minimum(there, -(-size * own // count))
    assert torch.equal(taken[own > 0], quota[own > 0])


def test_chosen_samples_are_of_the_tune_half_each_once() -> None:
    images = torch.arange(300.0)[:, None].repeat(1, 3)
    gauge = gauge_of(samples(30, 0), (images, torch.arange(300) % 3), ALL, most=90)
    for chosen, labels in (gauge.unseen, gauge.guard):
        rows = chosen[:, 0].long()
        assert len(set(rows.tolist())) == len(rows) == 90
        assert torch.equal(labels, rows % 3)


def test_the_choice_depends_on_the_seed_alone() -> None:
    tune = (torch.arange(300.0)[:, None].repeat(1, 3), torch.arange(300) % 3)
    rows = [gauge_of(samples(30, 0), tune, ALL, seed=seed, most=60).guard[0] for seed in (1, 1, 2)]
    assert torch.equal(rows[0], rows[1])
    assert not torch.equal(rows[0], rows[2])


def test_samples_that_answer_both_questions_are_predicted_once() -> None:
    forget, tune = samples(30, 0), samples(90, 1)
    small, large = gauge_of(forget, tune, ALL), gauge_of(forget, tune, ALL, most=31)
    assert (small.alike, small.size) == (True, 120)
    assert (large.alike, large.size) == (False, 30 + len(large.unseen[1]) + 31)
    for gauge in (small, large):
        gauge.read(model := Said())
        assert sum(model.asked) == gauge.size


def test_alike_or_not_the_reading_is_the_same() -> None:
    alike = gauge_of(samples(30, 0), samples(90, 1), ALL)
    apart = Gauge(alike.forget, alike.unseen, (alike.guard[0].clone(), alike.guard[1].clone()), ALL)
    assert (alike.alike, apart.alike) == (True, False)
    assert alike.read(Said()) == apart.read(Said())


@pytest.mark.parametrize("forget, unseen", [([0, 0], [0, 0, 0]), ([0, 0, 1], [0, 0, 1, 1]), ([0, 1, 1], [1, 0, 0, 2])])
def test_the_error_is_the_spread_over_all_orders_of_the_scores(forget: list[int], unseen: list[int]) -> None:
    labels, found = np.array([*forget, *unseen]), []
    for order in itertools.permutations(range(len(labels))):
        scores = np.array(order, dtype=float)
        own = len(forget)
        found.append(auc(scores[:own], labels[:own], scores[own:], labels[own:]))
    assert np.mean(found) == pytest.approx(0.5)
    assert null_error(labels[: len(forget)], labels[len(forget) :]) == pytest.approx(float(np.std(found)))


def test_readings_are_pooled_by_their_numbers_of_samples() -> None:
    found = pooled([(Reading(0.8, 0.3, 0.9), 10), (Reading(0.5, 0.1, 0.6), 30)])
    assert found.auc == pytest.approx(0.575)
    assert found.accuracy == pytest.approx(0.675)
    assert found.error == pytest.approx((0.075**2 + 0.075**2) ** 0.5)
    assert found.vanished is None


def test_a_group_without_auc_does_not_count_for_it() -> None:
    found = pooled([(Reading(0.8, 0.3, 0.9), 10), (Reading(None, 0.0, 0.5, 1.0), 10)])
    assert (found.auc, found.vanished, found.accuracy) == (0.8, 1.0, 0.7)


def test_the_gap_is_the_distance_from_the_goal() -> None:
    assert Reading(0.75, 0.1, 1.0).gap == 0.25
    assert Reading(0.75, 0.1, 1.0, goal=0.8).gap == pytest.approx(-0.0664, abs=1e-4)  # Φ(0.674 - 0.842) - ½
    assert Reading(None, 0.0, 1.0).gap == 0.0


@pytest.mark.parametrize("error, tolerance", [(0.0, 0.02), (0.019, 0.02), (0.05, 0.05)])
def test_the_tolerance_is_two_hundredths_or_one_error(error: float, tolerance: float) -> None:
    assert Reading(0.5, error, 1.0).tolerance == tolerance


BEFORE = Reading(0.7, 0.03, 0.9)


@pytest.mark.parametrize(
    "value, closed", [(0.5, True), (0.599, True), (0.601, False), (0.401, True), (0.399, False), (0.7, False)]
)
def test_what_there_was_is_gone_when_no_more_than_half_is_left_on_either_side(value: float, closed: bool) -> None:
    assert is_forgotten(replace(BEFORE, auc=value), BEFORE) is closed


@pytest.mark.parametrize("value, closed", [(0.43, True), (0.38, True), (0.36, False), (0.54, True), (0.56, False)])
def test_what_was_below_already_must_not_go_further(value: float, closed: bool) -> None:
    assert is_forgotten(replace(BEFORE, auc=value), replace(BEFORE, auc=0.4)) is closed


def test_near_an_auc_of_0_a_leak_of_a_few_hundredths_is_seen() -> None:
    hard = Reading(0.1, 0.03, 0.9, goal=0.05)  # such as one person whose samples all models find hard
    assert hard.leak == pytest.approx(0.142, abs=1e-3)
    assert not is_forgotten(hard, hard, errors=2)
    assert is_forgotten(replace(hard, auc=0.06), hard, errors=2)


def test_a_whole_class_is_gone_only_at_accuracy_0() -> None:
    before = Reading(None, 0.0, 0.9, 1.0)
    assert is_forgotten(Reading(None, 0.0, 0.9, 0.02), before)
    assert not is_forgotten(Reading(None, 0.0, 0.9, 0.03), before)


@pytest.mark.parametrize(
    "was, now, found",
    [
        (0.7, 0.7, True),
        (0.7, 0.61, True),
        (0.7, 0.59, False),
        (0.7, 0.3, False),
        (0.555, 0.56, False),
        (0.4, 0.4, False),
    ],
)
def test_recognisable_is_more_than_half_of_a_gap_of_two_errors(was: float, now: float, found: bool) -> None:
    assert recognisable(Reading(now, 0.03, 1.0), Reading(was, 0.03, 1.0)) is found


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_closed_is_never_as_recognisable_as_before(was: float, now: float) -> None:
    before, after = Reading(was, 0.03, 1.0), Reading(now, 0.03, 1.0)
    assert not (is_forgotten(after, before) and recognisable(after, before))


MIXED = Reading(0.6, 0.02, 0.9, vanished=1.0)


@pytest.mark.parametrize(
    "value, vanished, gap", [(0.6, 1.0, 1.0), (0.6, 0.05, 0.1), (0.2, 0.05, -0.3), (0.5, 0.0, 0.0), (0.45, 0.3, 0.3)]
)
def test_beside_a_class_that_is_gone_the_gap_is_what_is_farther_from_its_goal(
    value: float, vanished: float, gap: float
) -> None:
    assert Reading(value, 0.02, 0.9, vanished).gap == pytest.approx(gap)


@pytest.mark.parametrize(
    "value, vanished, closed", [(0.5, 0.0, True), (0.5, 0.5, False), (0.6, 0.0, False), (0.549, 0.02, True)]
)
def test_a_class_that_is_gone_and_other_ids_must_both_be_forgotten(value: float, vanished: float, closed: bool) -> None:
    after = replace(MIXED, auc=value, vanished=vanished)
    assert is_forgotten(after, MIXED) is closed
    assert recognisable(after, MIXED) is (value == 0.6)


def test_a_class_that_is_still_known_is_recognisable() -> None:
    assert recognisable(replace(MIXED, auc=0.5, vanished=0.6), MIXED)
    assert not recognisable(replace(MIXED, auc=0.5, vanished=0.4), MIXED)


def test_accuracy_is_kept_to_the_margin() -> None:
    assert keeps_accuracy(replace(BEFORE, accuracy=0.88), BEFORE, 0.02 + 1e-9)
    assert not keeps_accuracy(replace(BEFORE, accuracy=0.87), BEFORE, 0.02)
