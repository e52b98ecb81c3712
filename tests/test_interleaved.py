"""Runs side by side in one process: as a GPU takes them, here on the CPU."""

from collections.abc import Generator
from pathlib import Path

import pytest

from forgetkit import trainings
from forgetkit.interleaved import MOST, side_by_side
from tests.conftest import Run


def counting(name: str, steps: int, seen: list[str]) -> Generator[None, None, str]:
    try:
        for _ in range(steps):
            seen.append(name)
            yield
    finally:
        seen.append(name.upper())
    return name


def test_runs_take_their_steps_in_turn_and_the_next_begins_as_one_ends() -> None:
    seen: list[str] = []
    runs = (counting(name, steps, seen) for name, steps in (("a", 1), ("b", 2), ("c", 4), ("d", 1)))
    assert list(side_by_side(runs, "cpu", 2)) == ["a", "b", "c", "d"]
    assert "".join(seen) == "aAbcbcBccdCD"  # the first is alone: its memory is measured


def test_no_more_than_are_worth_it_run_at_a_time() -> None:
    running = most = 0

    def run() -> Generator[None, None, int]:
        nonlocal running, most
        running += 1
        for _ in range(50):
            most = max(most, running)
            yield
        running -= 1
        return most

    assert len(list(side_by_side((run() for _ in range(3 * MOST)), "cpu"))) == 3 * MOST
    assert most == MOST


def test_a_failure_closes_the_others_and_is_raised() -> None:
    seen: list[str] = []

    def failing() -> Generator[None, None, str]:
        for _ in range(30):
            yield
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        list(side_by_side(iter([failing(), counting("a", 90, seen), counting("b", 90, seen)]), "cpu"))
    assert {"A", "B"} <= set(seen)


def test_no_runs_come_to_nothing() -> None:
    assert list(side_by_side(iter(()), "cpu")) == []


def test_replicas_side_by_side_in_one_process_are_byte_for_byte_single_runs(
    forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ("train", "--dataset", "digits", "--epochs", "2", "--augment", "flip-crop", "--schedule", "cosine")
    for seed in range(3):
        assert forgetkit(*train, "--threads", "1", "--seed", str(seed), "-o", f"one/{seed}.st").code == 0
    with monkeypatch.context() as changed:
        changed.setattr(trainings, "_on_gpu", lambda _: True)
        assert forgetkit(*train, "--replicas", "3", "-o", "all/{n}.st").code == 0
    for seed in range(3):
        assert (tmp_path / f"all/{seed}.st").read_bytes() == (tmp_path / f"one/{seed}.st").read_bytes()
