"""Samples in thirds by how much was memorised, and what a model still shows of each."""

import numpy as np
import pytest
from numpy.random import Generator, default_rng

from forgetkit.statistics.hardness import compare_parts, memorised, never_memorised, surer, thirds
from forgetkit.statistics.strata import Scores

REPEATS = pytest.mark.parametrize("repeats", [200, pytest.param(2000, marks=pytest.mark.slow)])


def drawn(rng: Generator, k: int, n: int, *, tails: bool, together: float) -> tuple[Scores, Scores]:
    """Draw an original that memorised a third of the samples, and k + 1 models that never saw any."""
    difficulty, spread = rng.normal(0, 3, n), np.exp(rng.normal(0, 0.4, n))

    def noise(models: int) -> Scores:
        own = rng.standard_t(4, (models, n)) if tails else rng.standard_normal((models, n))
        found: Scores = difficulty + rng.normal(0, together, (models, 1)) + spread * own
        return found

    original = noise(1)[0] + 4 * (rng.random(n) < 1 / 3) * rng.exponential(1, n)
    return original, noise(k + 1)


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


def test_the_interval_by_hand() -> None:
    """Of three references 0, 1, 2 the shares among two others are 0, ½, 1; t of 2 degrees at 1 - .05 / 2 is 4.303."""
    references = [np.full(3, value) for value in (0.0, 1.0, 2.0)]
    (found,) = compare_parts(np.full(3, 1.5), references, [np.ones(3, dtype=bool)])
    assert found.value == pytest.approx(2 / 3)
    reach = 4.302653 * 0.5 * (2 / 3) * np.sqrt(4 / 3)
    assert found.wide == pytest.approx((max(0, 2 / 3 - reach), 1.0))
    assert found.n == 3


def test_one_reference_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="1 references"):
        compare_parts(np.zeros(3), [np.zeros(3)], thirds(np.zeros(3)))


def errors(repeats: int, k: int, n: int, *, tails: bool, together: float, seed: int, own: bool = True) -> float:
    """Return how often an honest retraining is called remembered in some third."""
    rng, wrong = default_rng(seed), 0
    for _ in range(repeats):
        original, (model, *references) = drawn(rng, k, n, tails=tails, together=together)
        parts = thirds(memorised(original, [*references, model] if own else references))
        wrong += any(found.wide[0] > 0.5 for found in compare_parts(model, references, parts))
    return wrong / repeats


@REPEATS
@pytest.mark.parametrize(("k", "n"), [(5, 30), (19, 150)])
@pytest.mark.parametrize(("tails", "together"), [(False, 0.3), (True, 0.0), (True, 0.5)])
def test_a_retrained_model_is_called_remembered_at_most_at_the_level(
    repeats: int, k: int, n: int, tails: bool, together: float
) -> None:
    rate = errors(repeats, k, n, tails=tails, together=together, seed=k)
    assert rate <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


def test_an_order_by_the_references_alone_would_accuse_retrained_models() -> None:
    """The first third then has the samples on which the references are low by chance: why the model is among them."""
    shares = []
    for own in (True, False):
        rng, values = default_rng(1), []
        for _ in range(100):
            original, (model, *references) = drawn(rng, 5, 90, tails=False, together=0.0)
            first = thirds(memorised(original, [*references, model] if own else references))[0]
            values.append(float(surer(model, references)[first].mean()))
        shares.append(float(np.mean(values)))
    assert abs(shares[0] - 0.5) < 0.02
    assert shares[1] > 0.52


def test_a_model_that_remembers_only_what_was_memorised_is_found_in_the_first_third() -> None:
    rng = default_rng(3)
    caught = np.zeros(3)
    for _ in range(50):
        original, (model, *references) = drawn(rng, 19, 150, tails=False, together=0.1)
        memory = memorised(original, references)
        kept = model + np.where(memory > np.quantile(memory, 0.8), 3.0, 0.0)
        parts = thirds(memorised(original, [*references, kept]))
        caught += [found.wide[0] > 0.5 for found in compare_parts(kept, references, parts)]
    assert caught[0] > 45
    assert caught[2] < 5


def test_the_number_of_samples_never_memorised_is_not_underestimated() -> None:
    rng, found = default_rng(4), []
    for _ in range(200):
        original, (_, *references) = drawn(rng, 9, 150, tails=True, together=0.2)
        found.append(never_memorised(surer(original, references)))
    assert 100 <= np.mean(found) <= 125  # 100 of the 150 are not


@pytest.mark.parametrize(("shares", "count"), [([0.0] * 5, 5), ([1.0] * 5, 0), ([0.5] * 4, 4), ([0.2, 0.8, 0.9], 2)])
def test_no_more_samples_than_there_are_were_never_memorised(shares: list[float], count: int) -> None:
    assert never_memorised(np.array(shares)) == count
