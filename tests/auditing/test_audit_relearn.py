"""Relearning: steps are counted right, on copies, and the test over pairs is exact."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy

from forgetkit.auditing.checks import relearn as relearning
from forgetkit.auditing.checks.relearn import (
    CAP,
    REPEATS,
    relearn,
    relearn_check,
    steps_to_learn,
)
from forgetkit.statistics.relearning import pair_by_class, sign_flip
from forgetkit.training.classifier import Classifier, Samples
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.updates import Update, fit

NOTHING = (torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))


def noise(count: int, seed: int, *, classes: int = 4) -> Samples:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=draw)
    return images, torch.randint(0, classes, (count,), generator=draw)


def linear(*, seed: int = 0) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), mean=[127.5], std=[73.9])


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1], 1),
        ([1, 1, 1], 2 / 8),
        ([-1, -1, -1], 2 / 8),
        ([1, -1], 1),
        ([0, 0], 1),
        ([3, 1], 2 / 4),
        ([5, 1, 1], 2 / 8),
    ],
)
def test_the_p_of_a_sign_flip_by_hand(differences: list[float], p: float) -> None:
    assert sign_flip(np.array(differences, dtype=float)) == p


def test_ten_like_signs_have_a_p_of_2_in_1024() -> None:
    assert sign_flip(np.linspace(0.1, 2.0, 10)) == 2 / 1024


@pytest.mark.parametrize("count", [0, 21])
def test_too_few_or_too_many_signs_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"cannot flip {count} signs"):
        sign_flip(np.ones(count))


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=10), st.randoms())
def test_a_sign_flip_knows_neither_order_nor_sign_nor_unit(values: list[int], random: object) -> None:
    differences = np.array(values, dtype=float)
    p = sign_flip(differences)
    assert 2 / 2 ** len(values) <= p <= 1
    assert p == sign_flip(-differences) == sign_flip(differences[::-1]) == sign_flip(differences * 2**-7)


def test_a_sign_flip_errs_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    rejected = np.mean([sign_flip(draw.standard_t(2, REPEATS)) <= 0.05 for _ in range(2000)])
    assert rejected <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.lists(st.integers(0, 3), min_size=1, max_size=30),
    st.integers(0, 9),
)
def test_pairs_are_of_one_class_each_sample_once_as_many_as_possible(
    forget: list[int], unseen: list[int], seed: int
) -> None:
    pairs = pair_by_class(np.array(forget), np.array(unseen), np.random.default_rng(seed))
    assert len(pairs) == sum(min(forget.count(c), unseen.count(c)) for c in range(4))
    assert all(forget[row] == unseen[other] for row, other in pairs.tolist())
    assert all(len(set(side)) == len(pairs) for side in pairs.T.tolist())


def steps_by_hand(samples: Samples) -> int:
    learner = linear()
    for step in range(CAP):
        loss = cross_entropy(learner(samples[0]), samples[1])
        if loss <= 0.1:
            return step
        gradients = torch.autograd.grad(loss, list(learner.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(learner.parameters(), gradients, strict=True):
                parameter -= 0.01 * gradient
    return CAP


def test_steps_are_those_of_plain_gradient_descent() -> None:
    samples = noise(8, 0)
    steps = steps_to_learn(linear(), samples, NOTHING)
    assert 0 < steps < CAP
    assert steps == steps_by_hand(samples)


def test_what_is_known_already_takes_no_step() -> None:
    learner, samples = linear(), noise(8, 0)
    steps_to_learn(learner, samples, NOTHING)
    assert steps_to_learn(learner, samples, NOTHING) == 0


def test_what_cannot_be_learned_counts_as_the_cap() -> None:
    image = noise(1, 0)[0]
    contradiction = torch.cat([image, image]), torch.tensor([0, 1])
    assert steps_to_learn(linear(), contradiction, NOTHING) == CAP


def test_retained_samples_are_trained_on_too() -> None:
    samples, (images, labels) = noise(8, 0), noise(100, 1)
    learners = [linear(), linear()]
    steps_to_learn(learners[0], samples, (images, labels))
    steps_to_learn(learners[1], samples, NOTHING)
    mixed, alone = (cross_entropy(learner(images), labels).item() for learner in learners)
    assert mixed < alone


def awkward() -> Classifier:
    """Return a model with dropout and batch norm, in train mode."""
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 4)
    return Classifier(nn.Sequential(*layers), mean=[127.5], std=[73.9]).train()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs give up after a few steps."""
    monkeypatch.setattr(relearning, "CAP", 20)


def test_the_callers_model_is_left_as_it_was(short: None) -> None:
    model = awkward()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    relearn(model, noise(40, 0), noise(40, 1), noise(40, 2))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_nothing_depends_on_the_luck_of_dropout(short: None) -> None:
    found = [relearn(awkward(), noise(40, 0), noise(40, 1), noise(40, 2), seed=3) for _ in range(2)]
    assert found[0] == found[1]


def test_every_run_starts_from_the_same_weights() -> None:
    same = torch.full((40, 1, 8, 8), 9, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64)
    found = relearn(linear(), same, same, NOTHING)
    assert len({*found.forget, *found.unseen}) == 1
    assert found.forget[0] > 0
    assert (found.ratio, found.p) == (0, 1)


def memorised(samples: Samples) -> Classifier:
    """Return a model that is right on all ``samples``, but not yet sure."""
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 4)
    model = Classifier(nn.Sequential(*layers), mean=[127.5], std=[73.9])
    step = Update(lambda batch: cross_entropy(model(batch[0]), batch[1]), samples)
    list(fit(make_optimizer(model, "adam", rate=0.003), [step] * 25))
    return model


def test_what_was_trained_on_comes_back_sooner() -> None:
    seen = noise(120, 0)
    found = relearn(memorised(seen), seen, noise(120, 1), seen)
    assert found.samples == 10 or found.samples == 11
    assert found.ratio > 0.3
    assert found.p == 2 / 1024


def test_what_was_not_trained_on_does_not_come_back_sooner() -> None:
    found = relearn(memorised(noise(120, 0)), noise(120, 2), noise(120, 1), noise(120, 0))
    assert found.p > 0.05


def test_runs_that_were_given_up_count_as_the_cap_and_are_named() -> None:
    one = torch.full((40, 1, 8, 8), 9, dtype=torch.uint8)
    mixed = torch.arange(40) % 4  # four classes, one image: nothing can be learned
    check = relearn_check(linear(), (one, mixed), (one, mixed), NOTHING)
    assert (check.statistic, check.p) == (0, 1)
    assert f"20 of 20 runs were given up after {CAP} steps" in check.note


def test_the_check_informs_and_never_decides() -> None:
    check = relearn_check(linear(), noise(40, 0), noise(60, 1), noise(40, 2))
    assert (check.id, check.verdict, check.gating, check.proves) == ("relearn", "info", False, False)
    assert check.null == 0
    assert check.n in {10, 20, 30, 40}


def test_fewer_than_ten_pairs_are_not_run() -> None:
    check = relearn_check(linear(), noise(9, 0), noise(60, 1), NOTHING)
    assert check.verdict == "not-run"
    assert "9 ids have an unseen sample of their class, 10 are needed" in check.note
    foreign = noise(40, 1)[0], torch.full((40,), 3)
    none = relearn_check(linear(), (noise(40, 0)[0], torch.zeros(40, dtype=torch.int64)), foreign, NOTHING)
    assert none.note.startswith("0 ids")
