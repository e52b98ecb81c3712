"""The rank of a model by its losses while it learns: by hand, exact, one-sided, and deaf to single steps."""

import numpy as np
import pytest

from forgetkit.statistics.relearning import LEAST, Losses, sooner

STEPS = 12


def curves(count: int, seed: int, *, share: float = 1.0) -> list[Losses]:
    """Return losses of models that differ as a whole and from step to step; a ``share`` below 1 is sooner."""
    draw = np.random.default_rng(seed)
    whole = draw.standard_t(3, (count, 1)) / 4
    return list(share * np.exp(whole + draw.standard_normal((count, STEPS)) / 4 - np.arange(STEPS) / 3))


def test_the_lead_by_hand() -> None:
    after, *others = (np.exp([float(height)]) for height in (0, 1, 2))
    found = sooner(after, None, others)
    # logs 0, 1, 2: mean 1, standard deviation 1, and the mean of the other two lies 3 halves as far
    assert found.lead == pytest.approx(1.5)
    assert found.leads == pytest.approx((0, -1.5))
    assert (found.p, found.p_slower) == pytest.approx((1 / 3, 1))
    assert found.share == pytest.approx(np.exp(-1.5))


def test_a_model_sooner_than_19_others_fails_and_one_later_does_not() -> None:
    others = curves(19, 0)
    early, late = (sooner(curve, None, others) for curve in (others[0] / 50, others[0] * 50))
    assert (early.verdict, early.p, early.lead > 0) == ("fail", 1 / 20, True)
    assert (late.verdict, late.p, late.p_slower) == ("inconclusive", 1, 1 / 20)


def test_a_pass_needs_an_original_that_fails() -> None:
    after, *others = curves(20, 3)
    assert sooner(after, others[0] / 50, others).verdict == "pass"
    assert sooner(after, others[0], others).verdict == sooner(after, None, others).verdict == "inconclusive"


def test_a_model_later_than_every_reference_does_not_pass() -> None:
    after, *others = curves(20, 3)
    assert sooner(others[0] * 50, others[0] / 50, others).verdict == "inconclusive"
    assert sooner(after, others[0] / 50, others).verdict == "pass"


def test_eighteen_references_are_too_few_and_ninety_nine_suffice_at_a_hundredth() -> None:
    after, *others = curves(100, 1)
    assert not sooner(after, None, others[:18]).possible
    assert sooner(after, None, others[:19]).possible
    assert not sooner(after, None, others[:98], level=0.01).possible
    assert sooner(after, None, others, level=0.01).possible


def test_of_twenty_models_exactly_one_fails() -> None:
    models = curves(20, 7)
    found = [sooner(one, None, [other for other in models if other is not one]) for one in models]
    assert sorted(one.p for one in found) == pytest.approx(np.arange(1, 21) / 20)


def test_models_that_never_saw_the_samples_fail_as_often_as_it_says() -> None:
    fails = [
        sooner(models[0], None, models[1:]).verdict == "fail" for models in (curves(20, seed) for seed in range(2000))
    ]
    assert np.mean(fails) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


@pytest.mark.parametrize(("share", "least"), [(0.7, 0.1), (0.3, 0.5), (0.1, 0.9)])
def test_the_sooner_the_more_often_it_fails(share: float, least: float) -> None:
    found = [
        sooner(curves(1, seed, share=share)[0], None, curves(19, seed + 10_000)).verdict == "fail"
        for seed in range(200)
    ]
    assert np.mean(found) >= least


def test_equal_models_have_a_p_of_1_and_no_lead() -> None:
    found = sooner(np.full(STEPS, 0.3), None, [np.full(STEPS, 0.3)] * 19)
    assert (found.p, found.lead, found.share) == (1, 0, 1)


def test_what_diverged_is_late_and_a_loss_of_0_no_more_than_a_small_one() -> None:
    others = curves(19, 2)
    broken = sooner(np.full(STEPS, np.nan), None, others)
    assert (broken.p, broken.p_slower) == (1, 1 / 20)
    assert np.isfinite(broken.lead)
    zero, small = (sooner(np.full(STEPS, value), None, others) for value in (0.0, LEAST))
    assert zero == small


def test_a_model_that_diverged_does_not_pass() -> None:
    after, *others = curves(20, 3)
    for value in (np.nan, np.inf, 1e30):
        found = sooner(np.append(after[:-1], value), others[0] / 50, others)
        assert (found.verdict, found.diverged) == ("inconclusive", True)


def test_the_unit_of_the_loss_does_not_matter() -> None:
    after, *others = curves(20, 5)
    one, other = sooner(after, None, others), sooner(2 * after, None, [2 * loss for loss in others])
    assert other.lead == pytest.approx(one.lead)
    assert other.p == one.p


@pytest.mark.parametrize("others", [[], [np.ones(STEPS + 1)]])
def test_what_cannot_be_compared_is_refused(others: list[Losses]) -> None:
    with pytest.raises(ValueError, match="cannot compare"):
        sooner(np.ones(STEPS), None, others)
