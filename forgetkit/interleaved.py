"""Runs side by side on one GPU: one small model leaves most of it idle."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TypeVar

import torch

from forgetkit.graphs import WARM_UP

T = TypeVar("T")
MOST = 16
"""Runs at a time; more gain nothing on an H100."""
LOOK = 2 * WARM_UP
"""Steps of the first run after which its memory is measured."""


def side_by_side(runs: Iterator[Generator[None, None, T]], device: str, most: int = 0) -> Iterator[T]:
    """Take the steps of several runs in turn, each run on a stream of its own; yield what each comes to as it ends.

    Args:
        runs: begun when their turn comes.
        device: the GPU; any other name runs them without streams.
        most: runs at a time; 0 for as many as the GPU gains by. Never more than its memory holds by what the first
            one takes.
    """
    running: list[tuple[Generator[None, None, T], AbstractContextManager[object]]] = []
    room, steps = 1, 0
    try:
        while True:
            running += [(run, _stream(device)) for run in islice(runs, room - len(running))]
            if not running:
                return
            for entry in list(running):
                run, stream = entry
                try:
                    with stream:
                        next(run)
                except StopIteration as ended:
                    running.remove(entry)
                    yield ended.value
            steps += 1
            if steps == LOOK or not running:
                room = min(most or MOST, _fitting(device))
    finally:
        for run, _ in running:
            run.close()


def _stream(device: str) -> AbstractContextManager[object]:
    if not device.startswith("cuda"):
        return nullcontext()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def _fitting(device: str) -> int:
    """Return how many runs the memory holds, where one that is running takes all that is taken."""
    if not device.startswith("cuda"):
        return MOST
    free, total = torch.cuda.mem_get_info(device)
    return total // max(total - free, 1)
