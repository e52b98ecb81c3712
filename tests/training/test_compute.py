"""Device, precision, threads, and seeds for each purpose."""

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.errors import ForgetkitError
from forgetkit.processes import available_cores
from forgetkit.training.device import Machine, generator_for, seed_for, set_up

PURPOSES = st.lists(st.integers(0, 1000) | st.sampled_from(["order", "dropout", "weights"]), max_size=3)


@given(st.integers(0, 2**63), PURPOSES)
def test_a_seed_is_a_63_bit_number_that_torch_takes(seed: int, purpose: list[object]) -> None:
    found = seed_for(seed, *purpose)
    assert 0 <= found < 2**63
    torch.Generator().manual_seed(found)


def test_a_seed_is_the_same_in_every_process() -> None:
    assert seed_for(0, "order", 1) == 2961819992523135983


def test_seeds_of_other_purposes_differ() -> None:
    seeds = {seed_for(seed, purpose, epoch) for seed in range(10) for purpose in ("a", "b") for epoch in range(10)}
    assert len(seeds) == 200


def test_a_generator_needs_no_history() -> None:
    first = torch.rand(3, generator=generator_for(1, "order", 5))
    torch.rand(9)
    assert torch.equal(torch.rand(3, generator=generator_for(1, "order", 5)), first)


def test_threads_are_set_and_0_is_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        assert set_up("cpu", "float32", 0).threads == available_cores() == torch.get_num_threads()
        assert set_up("cpu", "float32", 1) == Machine("cpu", "float32", 1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("given", "threads"), [("3", 3), ("3,1", 3), ("many", None), ("0", None), ("99999", 256)])
def test_0_threads_is_what_openmp_was_told(given: str, threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    before = torch.get_num_threads()
    try:
        assert set_up("cpu", "float32", 0).threads == (threads or available_cores())
        assert set_up("cpu", "float32", 2).threads == 2
    finally:
        torch.set_num_threads(before)


def test_determinism_is_switched_on() -> None:
    set_up("cpu", "float32", 1)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_auto_resolves_to_what_is_here() -> None:
    machine = set_up("auto", "auto", 1)
    assert machine.device in {"cpu", "cuda", "mps"}
    assert machine.precision in {"float32", "bfloat16"}


def test_a_step_records_the_kind_of_device() -> None:
    assert Machine("cuda:3", "bfloat16", 2).options() == {"device": "cuda", "precision": "bfloat16", "threads": 2}


@pytest.mark.parametrize("device", ["", "gpu", "cuda:-1", "cuda:x", "cuda:99", "meta", "xpu"])
def test_a_device_that_is_not_here_is_one_clear_error(device: str) -> None:
    with pytest.raises(ForgetkitError, match="device") as caught:
        set_up(device, "float32", 1)
    assert (caught.value.code, caught.value.status) == ("usage", 2)
    assert caught.value.hint


def test_an_unknown_precision_names_the_known_ones() -> None:
    with pytest.raises(ForgetkitError, match="float16") as caught:
        set_up("cpu", "float16", 1)
    assert caught.value.hint == "known: auto, float32, bfloat16"
