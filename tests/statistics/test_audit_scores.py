"""The score of a sample."""

from math import log

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.statistics.scores import phi


def test_phi_is_the_true_logit_less_the_logsumexp_of_the_others() -> None:
    logits = torch.tensor([[log(6.0), log(1.0), log(2.0)], [log(6.0), log(1.0), log(2.0)]])
    assert phi(logits, torch.tensor([0, 2])).tolist() == pytest.approx([log(6 / 3), log(2 / 7)], abs=1e-6)


def test_phi_is_the_log_odds_of_the_softmax() -> None:
    logits = torch.randn(50, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 10
    p = logits.softmax(dim=1)[torch.arange(50), labels]
    torch.testing.assert_close(phi(logits, labels), (p / (1 - p)).log())


def test_phi_of_two_classes_is_the_difference_of_the_logits() -> None:
    assert phi(torch.tensor([[3.0, -1.0]]), torch.tensor([1])).tolist() == [-4.0]


@pytest.mark.parametrize("classes", [2, 3, 1000])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_phi_is_finite_at_logits_of_ten_thousand(classes: int, size: float) -> None:
    logits = torch.zeros(2, classes)
    logits[:, 0] = size
    assert phi(logits, torch.tensor([0, 1])).isfinite().all()


def test_phi_keeps_apart_what_a_probability_rounds_to_one() -> None:
    logits = torch.tensor([[40.0, 0.0], [41.0, 0.0]])
    assert phi(logits, torch.tensor([0, 0])).tolist() == [40.0, 41.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_phi_is_float64_whatever_the_logits_are(dtype: torch.dtype) -> None:
    assert phi(torch.zeros(1, 3, dtype=dtype), torch.tensor([0])).dtype == torch.float64


def test_phi_of_no_sample_is_empty() -> None:
    assert phi(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)).shape == (0,)


def test_phi_leaves_the_logits_as_they_were() -> None:
    logits = torch.ones(4, 3, dtype=torch.float64)
    phi(logits, torch.zeros(4, dtype=torch.int64))
    assert logits.eq(1).all()


@given(st.floats(-1000, 1000))
def test_phi_does_not_see_a_shift_of_all_logits(shift: float) -> None:
    logits, labels = torch.tensor([[1.0, 2.0, -3.0]], dtype=torch.float64), torch.tensor([1])
    torch.testing.assert_close(phi(logits + shift, labels), phi(logits, labels))


@pytest.mark.parametrize("shape, labels", [((3, 1), 3), ((3, 4), 2), ((3,), 3)])
def test_phi_refuses_what_has_no_score(shape: tuple[int, ...], labels: int) -> None:
    with pytest.raises(ValueError, match=r"at least 2 classes|do not fit"):
        phi(torch.zeros(shape), torch.zeros(labels, dtype=torch.int64))
