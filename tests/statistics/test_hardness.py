"""Samples in thirds by how much was memorised, and what a model still shows of each."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from forgetkit.statistics.hardness import Group, compare_parts, memorised, never_memorised, surer, thirds
from forgetkit.statistics.strata import Scores

REPEATS = pytest.mark.parametrize("repeats", [200, pytest.param(2000, marks=pytest.mark.slow)])


@dataclass(frozen=True)
class Drawn:
    """φ of an original that memorised a third of ``n`` samples, and of k + 1 models that never saw any.

    Attributes:
        original: float64 of shape ``(2 n,)``; the second half are unseen samples.
        models: float64 of shape ``(k + 1, 2 n)``; the first is offered as the model under audit.
    """

    original: Scores
    models: Scores

    def groups(self, model: Scores | None = None, *, own: bool = True) -> tuple[Group, Group]:
        """Return the ids and the unseen samples in thirds; ``own``: the model is among those of the mean."""
        model, references = self.models[0] if model is None else model, self.models[1:]
        halves = np.array_split(np.arange(len(self.original)), 2)
        found = []
        for half in halves:
            others = [one[half] for one in references]
            parts = thirds(memorised(self.original[half], [*others, *([model[half]] if own else [])]))
            found.append(Group(model[half], others, parts))
        return found[0], found[1]

    def remembering(self) -> Scores:
        """Return the model, surer by 3 of the fifth of the ids that the original memorised most."""
        memory = memorised(self.original, list(self.models[1:]))
        n = len(memory) // 2
        kept = self.models[0].copy()
        kept[:n] += np.where(memory[:n] > np.quantile(memory[:n], 0.8), 3.0, 0.0)
        return kept


def drawn(rng: Generator, k: int, n: int, *, tails: bool, together: float) -> Drawn:
    """Draw models; ``tails``: long ones; ``together``: how much models differ as a whole."""
    difficulty, spread = rng.normal(0, 3, 2 * n), np.exp(rng.normal(0, 0.4, 2 * n))

    def noise(models: int) -> Scores:
        own = rng.standard_t(4, (models, 2 * n)) if tails else rng.standard_normal((models, 2 * n))
        found: Scores = difficulty + rng.normal(0, together, (models, 1)) + spread * own
        return found

    original = noise(1)[0]
    original[:n] += 4 * (rng.random(n) < 1 / 3) * rng.exponential(1, n)
    return Drawn(original, noise(k + 1))


def test_thirds_are_of_one_size_and_the_first_has_the_highest() -> None:
    parts = thirds(np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 0.0]))
    assert [np.flatnonzero(part).tolist() for part in parts] == [[0, 2, 5], [3, 4], [1, 6]]


def test_ties_go_by_place() -> None:
    assert [np.flatnonzero(part).tolist() for part in thirds(np.zeros(6))] == [[0, 1], [2, 3], [4, 5]]


def test_what_was_memorised_is_what_models_that_never_saw_it_do_not_know() -> None:
    assert memorised(np.array([5.0, 1.0]), [np.array([1.0, 1.0]), np.array([3.0, 1.0])]).tolist() == [3.0, 0.0]


def test_a_share_counts_ties_by_half() -> None:
    others = [np.array([0.0, 1.0]), np.array([2.0, 3.0]), np.array([1.0, 3.0]), np.array([1.0, 9.0])]
    assert surer(np.array([1.0, 4.0]), others).tolist() == [0.5, 0.75]


def flat(*values: float) -> Group:
    """Return a model and references that say the same of each of three samples, in one part."""
    model, *references = (np.full(3, value) for value in values)
    return Group(model, references, [np.ones(3, dtype=bool)])


def test_the_interval_by_hand() -> None:
    """References 0, 1, 2 are -1.5, 0, 1.5 above the others; t of 2 degrees at 1 - .05 / 2 is 4.303."""
    ((found, right),) = compare_parts(flat(3.5, 0.0, 1.0, 2.0), None)
    assert (found.value, right) == (2.5, 0.0)
    reach = 4.302653 * 1.5 * (2 / 3) * np.sqrt(4 / 3)
    assert found.wide == pytest.approx((2.5 - reach, 2.5 + reach))
    assert found.n == 3


def test_what_is_alike_on_unseen_samples_is_taken_away() -> None:
    """Here each model is as sure of the ones as of the others: no reference differs, and the model neither."""
    group = flat(9.0, 0.0, 1.0, 2.0)
    ((found, right),) = compare_parts(group, group)
    assert (found.value, found.wide, right) == (8.0, (8.0, 8.0), 8.0)


def test_one_reference_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="1 references"):
        compare_parts(flat(0.0, 0.0), None)


@REPEATS
@pytest.mark.parametrize(("k", "n"), [(5, 30), (19, 150)])
@pytest.mark.parametrize(("tails", "together"), [(False, 0.3), (True, 0.0), (True, 0.5)])
def test_a_retrained_model_is_called_remembered_at_most_at_the_level(
    repeats: int, k: int, n: int, tails: bool, together: float
) -> None:
    rng, wrong = default_rng(k), 0
    for _ in range(repeats):
        found = compare_parts(*drawn(rng, k, n, tails=tails, together=together).groups())
        wrong += any(one.wide[0] > right for one, right in found)
    assert wrong / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


def test_an_order_by_the_references_alone_would_accuse_retrained_models() -> None:
    """The first third then has the samples on which the references are low by chance: why the model is among them."""
    shifts = []
    for own in (True, False):
        rng = default_rng(1)
        found = [drawn(rng, 5, 90, tails=False, together=0.0).groups(own=own)[0].shifts()[0, 0] for _ in range(100)]
        shifts.append(float(np.mean(found)))
    assert abs(shifts[0]) < 0.05
    assert shifts[1] > 0.1


def test_a_model_that_remembers_only_what_was_memorised_is_found_in_the_first_third() -> None:
    rng = default_rng(3)
    caught = np.zeros(3)
    for _ in range(50):
        one = drawn(rng, 19, 150, tails=False, together=0.3)
        caught += [found.wide[0] > right for found, right in compare_parts(*one.groups(one.remembering()))]
    assert caught[0] > 45
    assert caught[2] < 5


def test_a_copy_of_the_original_is_not_accused_where_nothing_was_memorised() -> None:
    """By its own order it is surer of the first third than any reference is, on unseen samples as well."""
    rng, wrong = default_rng(5), 0
    for _ in range(100):
        one = drawn(rng, 9, 90, tails=False, together=0.2)
        clean = Drawn(one.models[0], one.models)
        found = compare_parts(*clean.groups())
        assert found[0][0].value > 0.3
        wrong += any(estimate.wide[0] > right for estimate, right in found)
    assert wrong <= 12


def test_the_number_of_samples_never_memorised_is_not_underestimated() -> None:
    rng, found = default_rng(4), []
    for _ in range(200):
        one = drawn(rng, 9, 150, tails=True, together=0.2)
        found.append(never_memorised(surer(one.original[:150], list(one.models[1:, :150]))))
    assert 100 <= np.mean(found) <= 125  # 100 of the 150 are not


@pytest.mark.parametrize(("shares", "count"), [([0.0] * 5, 5), ([1.0] * 5, 0), ([0.5] * 4, 4), ([0.2, 0.8, 0.9], 2)])
def test_no_more_samples_than_there_are_were_never_memorised(shares: list[float], count: int) -> None:
    assert never_memorised(np.array(shares)) == count
