"""Runs side by side in one process: as a GPU takes them, here on the CPU."""

from collections.abc import Generator
from pathlib import Path

import pytest

from forgetkit.training import cuda_streams as interleaved
from forgetkit.training import loop as training
from forgetkit.training import replicas as trainings
from forgetkit.training.cuda_streams import MOST, side_by_side
from tests.conftest import Run

TRAIN = ("train", "--dataset", "digits", "--augment", "flip-crop", "--schedule", "cosine")


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let replicas take their turns in this process."""
    monkeypatch.setattr(trainings, "_on_gpu", lambda _: True)


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


def test_what_fits_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([3])
    monkeypatch.setattr(interleaved, "_fitting", lambda _: next(found))
    seen: list[str] = []
    runs = (counting("abcdef"[number], 40 + number, seen) for number in range(6))
    assert len(list(side_by_side(runs, "cpu"))) == 6


@pytest.mark.usefixtures("as_on_a_gpu")
def test_replicas_side_by_side_in_one_process_are_byte_for_byte_single_runs(forgetkit: Run, tmp_path: Path) -> None:
    for seed in range(3):
        assert forgetkit(*TRAIN, "--epochs", "2", "--threads", "1", "--seed", seed, "-o", f"one/{seed}.st").code == 0
    assert forgetkit(*TRAIN, "--epochs", "2", "--replicas", "3", "--threads", "3", "-o", "all/{n}.st").code == 0
    for seed in range(3):
        assert (tmp_path / f"all/{seed}.st").read_bytes() == (tmp_path / f"one/{seed}.st").read_bytes()


@pytest.mark.usefixtures("as_on_a_gpu")
def test_the_others_go_on_where_they_stood_when_one_was_interrupted(
    forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    def interrupt(*_: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 60:
            raise KeyboardInterrupt

    command = (*TRAIN, "--epochs", "4", "--replicas", "3", "--threads", "3", "-o", "all/{n}.st")
    with monkeypatch.context() as changed:
        changed.setattr(training, "check_gradients", interrupt)
        assert forgetkit(*command).code == 130
    assert len(list(tmp_path.glob("all/.*.state/*/*.st"))) == 2
    ran = forgetkit(*command)
    assert ran.err.count("going on where an earlier run stopped") == 2
    for seed in range(3):
        assert forgetkit(*TRAIN, "--epochs", "4", "--threads", "1", "--seed", seed, "-o", f"one/{seed}.st").code == 0
        assert (tmp_path / f"all/{seed}.st").read_bytes() == (tmp_path / f"one/{seed}.st").read_bytes()
