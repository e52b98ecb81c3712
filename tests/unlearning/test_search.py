"""The search for a rate, on gaps that are known functions of it; and the brake, on a model of one weight."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from forgetkit.training.updates import Update, fit
from forgetkit.unlearning.backtracking import Braking, brake
from forgetkit.unlearning.membership_gauge import Reading
from forgetkit.unlearning.rate_search import Evaluation, Trial, best_of, find_rate

RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
BEFORE = Reading(0.9, 0.01, 0.95)


def reading(gap: float, accuracy: float = 0.95) -> Reading:
    """Return a reading with that gap."""
    return Reading(0.5 + gap, 0.01, accuracy)


def tried(gap: Callable[[float], float], accuracy: Callable[[float], float] = lambda _: 0.95) -> list[Trial]:
    """Search; return all trials."""
    return list(find_rate(lambda rate: reading(gap(rate), accuracy(rate)), RATES, before=BEFORE, margin=0.02))


def falling(zero: float) -> Callable[[float], float]:
    """Return a gap that falls from 0.4 to -0.4 and is 0 at the rate ``zero``."""
    return lambda rate: -0.4 * math.tanh(math.log(rate / zero))


@given(st.floats(-9.2, 0.0))
def test_a_falling_gap_is_closed_within_ten_trials(logarithm: float) -> None:
    trials = tried(falling(math.exp(logarithm)))
    assert len(trials) <= 10
    assert abs(trials[-1].reading.gap) <= 0.02
    assert best_of(trials, BEFORE, 0.02) == trials[-1]


def test_rates_are_scanned_from_the_lowest_up_then_halved_in_the_first_sign_change() -> None:
    rates = [trial.rate for trial in tried(falling(4e-3))]
    assert rates[:3] == [1e-4, 1e-3, 1e-2]
    assert rates[3] == pytest.approx(math.sqrt(1e-3 * 1e-2))
    assert all(1e-3 < rate < 1e-2 for rate in rates[3:])


def test_each_bisection_halves_the_bracket_that_holds_the_zero() -> None:
    zero, (low, high) = 4e-3, (1e-3, 1e-2)
    for trial in tried(lambda rate: 0.4 if rate < zero else -0.4)[3:]:
        assert trial.rate == pytest.approx(math.sqrt(low * high))
        low, high = (trial.rate, high) if trial.rate < zero else (low, trial.rate)
    assert low < zero < high


def test_a_jump_is_bracketed_until_nothing_is_left_to_try() -> None:
    trials = tried(lambda rate: 0.4 if rate < 0.03 else -0.4)
    assert len(trials) <= 10
    ends = sorted(trial.rate for trial in trials)
    assert min(high / low for low, high in pairwise(ends)) < 1.1
    assert best_of(trials, BEFORE, 0.02) is None


def test_a_gap_that_comes_back_is_searched_in_its_first_sign_change() -> None:
    trials = tried(lambda rate: {1e-4: 0.4, 1e-3: -0.3, 1e-2: 0.4, 1e-1: 0.01, 1.0: -0.4}.get(rate, 0.2))
    assert [trial.rate for trial in trials[:2]] == [1e-4, 1e-3]
    assert all(1e-4 < trial.rate < 1e-3 for trial in trials[2:])


def test_a_gap_that_never_closes_takes_one_trial_a_rate() -> None:
    trials = tried(lambda _: 0.4)
    assert [trial.rate for trial in trials] == RATES
    assert best_of(trials, BEFORE, 0.02) is None


def test_past_a_rate_that_lost_the_model_and_did_not_forget_nothing_is_tried() -> None:
    trials = tried(lambda _: 0.4, lambda rate: 0.95 if rate < 5e-3 else 0.5)
    assert [trial.rate for trial in trials] == [1e-4, 1e-3, 1e-2]


def test_a_rate_that_overshot_and_lost_the_model_still_ends_a_bracket() -> None:
    trials = tried(falling(4e-3), lambda rate: 0.95 if rate < 9e-3 else 0.1)
    best = best_of(trials, BEFORE, 0.02)
    assert best is not None
    assert abs(best.reading.gap) <= 0.02


def test_a_model_that_is_there_already_takes_one_trial() -> None:
    assert len(tried(lambda _: 0.01)) == 1


@given(st.lists(st.floats(-0.5, 0.5), min_size=10, max_size=10), st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_whatever_trials_show_there_are_ten_at_most_each_at_a_rate_of_its_own(
    gaps: list[float], accuracies: list[float]
) -> None:
    shown = iter(zip(gaps, accuracies, strict=True))
    trials = list(find_rate(lambda _: reading(*next(shown)), RATES, before=BEFORE, margin=0.02))
    assert 1 <= len(trials) <= 10
    assert len({trial.rate for trial in trials}) == len(trials)
    assert all(RATES[0] <= trial.rate <= RATES[-1] for trial in trials)


@given(st.lists(st.tuples(st.floats(-0.5, 0.5), st.floats(0, 1)), max_size=10))
def test_the_best_is_the_nearest_of_those_that_keep_and_forget(shown: list[tuple[float, float]]) -> None:
    trials = [Trial(1.0, reading(*one)) for one in shown]
    good = [abs(gap) for gap, accuracy in shown if accuracy >= 0.95 - 0.02 and abs(reading(gap).gap) <= 0.4 / 2]
    best = best_of(trials, BEFORE, 0.02)
    assert (best is None) == (not good)
    assert best is None or abs(best.reading.gap) == pytest.approx(min(good))


@dataclass
class Meter:
    """Measures a model of one weight: the gap is the weight; accuracy is lost below ``floor``."""

    floor: float = -9.0

    def read(self, model: nn.Module) -> Reading:
        """Return what the weight shows."""
        weight = float(next(model.parameters()).detach())
        return reading(weight, 0.95 if weight > self.floor else 0.1)


class One(nn.Module):
    """A model of one weight."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))


def descent(model: One, optimizer: Optimizer, steps: int, *, sign: float = 1.0) -> Iterator[object]:
    """Take steps down the weight itself: with SGD, each subtracts the rate."""
    yield from fit(optimizer, [Update(lambda _: sign * model.weight, None)] * steps)


def braked(
    weight: float, rate: float, *, every: int = 1, most: int = 99, floor: float = -9.0, sign: float = 1.0
) -> tuple[One, Optimizer, list[Evaluation]]:
    """Brake plain SGD; return the model, the optimizer and the evaluations."""
    model = One(weight)
    optimizer = SGD(model.parameters(), lr=rate)
    steps = descent(model, optimizer, most, sign=sign)
    seen = list(brake(model, optimizer, steps, Meter(floor), Braking(BEFORE, 0.02, every)))  # type: ignore[arg-type]
    return model, optimizer, seen


def test_steps_are_measured_at_intervals_until_the_gap_is_gone() -> None:
    model, _, seen = braked(0.4, 0.015625, every=4)
    assert [one.step for one in seen] == [4, 8, 12, 16, 20, 24, 28]
    assert seen[-1].reading.gap <= 0 < seen[-2].reading.gap
    assert float(model.weight.detach()) == pytest.approx(0.4 - 0.015625 * 24)


def test_a_reading_that_jumps_across_is_undone_and_the_run_continues_at_half_the_rate() -> None:
    model, optimizer, seen = braked(0.4, 0.5)
    assert seen[0].reading.gap == pytest.approx(0.15)
    assert [one.step for one in seen] == [1, 2, 3]
    assert abs(float(model.weight.detach())) <= 0.05
    assert optimizer.param_groups[0]["lr"] < 0.5


def test_the_brake_works_from_the_other_side_too() -> None:
    model, _, seen = braked(-0.4, 0.03, sign=-1.0)
    assert seen[-1].reading.gap >= 0 > seen[-2].reading.gap
    assert abs(float(model.weight.detach())) == pytest.approx(min(abs(one.reading.gap) for one in seen))


def test_steps_that_lead_away_from_below_are_given_up() -> None:
    model, _, seen = braked(-0.02, 0.01)
    assert len(seen) == 6
    assert float(model.weight.detach()) == pytest.approx(-0.03)


def test_it_ends_with_the_steps() -> None:
    model, _, seen = braked(0.4, 0.01, every=4, most=10)
    assert [one.step for one in seen] == [4, 8, 10]
    assert float(model.weight.detach()) == pytest.approx(0.3)


def test_a_state_that_keeps_accuracy_beats_a_nearer_one_that_does_not() -> None:
    model, _, seen = braked(0.4, 0.03, floor=0.2)
    assert float(model.weight.detach()) == pytest.approx(0.22)
    assert min(one.reading.gap for one in seen) < 0.2


@given(st.floats(-0.5, 0.5), st.floats(1e-3, 2.0), st.integers(1, 5), st.floats(-0.6, 0.4))
def test_the_end_is_never_worse_than_any_reading(weight: float, rate: float, every: int, floor: float) -> None:
    model, _, seen = braked(weight, rate, every=every, floor=floor)
    ranks = [(one.reading.accuracy < 0.93, abs(one.reading.gap)) for one in seen]
    end = Meter(floor).read(model)
    if ranks:
        assert (end.accuracy < 0.93, abs(end.gap)) == min(ranks)
    else:
        assert float(model.weight.detach()) == weight


def test_the_best_state_is_put_back_bit_for_bit_with_its_optimizer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    optimizer, states = Adam(model.parameters(), lr=0.01), []
    inputs = torch.randn(8, 3)

    class Dips:
        """Readings that come nearest at the third."""

        gaps = iter([0.4, 0.3, 0.2, 0.1, 0.15, 0.2])

        def read(self, _: nn.Module) -> Reading:
            states.append((copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())))
            return reading(next(self.gaps))

    steps = fit(optimizer, [Update(lambda batch: model(batch).square().sum(), inputs)] * 10)
    seen = [one.reading.gap for one in brake(model, optimizer, steps, Dips(), Braking(BEFORE, 0.02, 2))]  # type: ignore[arg-type]
    assert seen == pytest.approx([0.3, 0.2, 0.1, 0.15, 0.2])
    weights, state = states[3]
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert not torch.equal(model[0].weight, states[5][0]["0.weight"])
    now = optimizer.state_dict()["state"]
    assert all(torch.equal(now[row][key], state["state"][row][key]) for row in now for key in now[row])
    assert float(now[0]["step"]) == 6


def test_without_steps_nothing_is_measured_and_nothing_changed() -> None:
    model, _, seen = braked(0.4, 0.01, most=0)
    assert (seen, float(model.weight.detach())) == ([], 0.4)
