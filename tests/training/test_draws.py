"""Draws that depend on a sample's key, not on its place in a list."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.training.draws import content_keys, key_of, ranked, uniform
from tests.tiny import keys, samples


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=20), st.integers(0, 99), st.integers(1, 40))
def test_a_list_draws_what_its_samples_draw_one_by_one(names: list[int], seed: int, count: int) -> None:
    together = uniform(np.array(names, dtype=np.uint64), count, seed, "labels", 3)
    alone = [uniform(np.array([name], dtype=np.uint64), count, seed, "labels", 3)[0] for name in names]
    assert together.shape == (len(names), count)
    assert all(torch.equal(row, own) for row, own in zip(together, alone, strict=True))


def test_numbers_are_uniform_and_differ_by_key_seed_and_purpose() -> None:
    drawn = uniform(keys(20_000), 3, 0, "labels")
    assert ((drawn.sort(0).values - torch.linspace(0, 1, 20_000)[:, None]).abs() < 0.02).all()  # Kolmogorov-Smirnov
    assert torch.corrcoef(drawn.T).triu(1).abs().max() < 0.03
    assert len(torch.unique(drawn)) > 59_000
    for other in (
        uniform(keys(1), 3, 1, "labels"),
        uniform(keys(1), 3, 0, "replay"),
        uniform(keys(1, 1), 3, 0, "labels"),
    ):
        assert not torch.equal(other[0], drawn[0])


@given(st.sets(st.integers(0, 2**64 - 1), min_size=2, max_size=30), st.integers(0, 99))
def test_an_order_stays_when_samples_are_taken_out(names: set[int], seed: int) -> None:
    whole = np.array(sorted(names), dtype=np.uint64)
    order, left = ranked(whole, seed, "replay", 7), whole[::2]
    assert [key for key in whole[order] if key in left] == left[ranked(left, seed, "replay", 7)].tolist()


def test_each_sample_comes_first_equally_often() -> None:
    firsts = [ranked(keys(5), 0, "replay", turn)[0] for turn in range(5000)]
    assert np.bincount(firsts).tolist() == pytest.approx([1000] * 5, abs=120)


def test_samples_without_ids_are_told_apart_by_pixels_and_labels() -> None:
    images, labels = samples(6)
    found = content_keys(images, labels)
    assert len(set(found.tolist())) == 6
    assert np.array_equal(content_keys(images[2:], labels[2:]), found[2:])
    assert content_keys(images, labels + 1)[0] != found[0]


def test_the_key_of_a_set_depends_on_its_samples_alone() -> None:
    assert key_of(keys(5)) == key_of(keys(5)[::-1].copy())
    assert key_of(keys(5)) != key_of(keys(6))
