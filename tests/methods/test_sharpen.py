"""A second teacher is made as sure as the first: the law of the factor, and what it does not change."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from forgetkit.methods.sharpen import entropy, sharpness


def outputs(seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(50, 5, generator=torch.Generator().manual_seed(seed))


def test_entropy_of_known_outputs() -> None:
    assert entropy(torch.zeros(3, 4)) == pytest.approx(1.3862943611)  # ln 4
    assert entropy(torch.tensor([[1000.0, 0.0]])) == pytest.approx(0.0)
    assert entropy(torch.tensor([[1.0986122887, 0.0]])) == pytest.approx(0.5623351446)  # ¾ and ¼


@given(st.integers(0, 99), st.floats(0.05, 20))
def test_the_factor_undoes_a_change_of_temperature(seed: int, scale: float) -> None:
    first = outputs(seed)
    assert sharpness(first * scale, first) == pytest.approx(1 / scale, rel=1e-3)


@given(st.integers(0, 99))
def test_both_are_then_as_sure_and_the_order_of_the_classes_stays(seed: int) -> None:
    first, second = outputs(seed, 4.0), outputs(seed + 100, 0.8)
    sharp = sharpness(second, first) * second
    assert entropy(sharp) == pytest.approx(entropy(first), abs=1e-4)
    assert torch.equal(sharp.argsort(1), second.argsort(1))


def test_without_unseen_samples_nothing_is_changed() -> None:
    assert sharpness(torch.zeros(0, 3), torch.zeros(0, 3)) == 1.0


def test_a_teacher_that_knows_nothing_is_left_within_bounds() -> None:
    assert sharpness(torch.zeros(9, 3), outputs(1)[:9, :3]) <= 50.01
