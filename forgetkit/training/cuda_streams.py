"""Runs side by side on one GPU: one small model leaves most of it idle."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import islice
from typing import TypeVar

import torch

from forgetkit.training.cuda_graphs import WARM_UP

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
            if room == 1 and (steps >= LOOK or not running):
                room = min(most or MOST, _fitting(device))
    finally:
        with ExitStack() as stack:
            for run, _ in running:
                stack.callback(run.close)


def _stream(device: str) -> AbstractContextManager[object]:
    if not device.startswith("cuda"):
        return nullcontext()
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    return torch.cuda.stream(stream)


def _fitting(device: str) -> int:
    """Return how many runs four fifths of the memory hold, where one takes all that is taken now.

    Before torch 2.14, graphs share what dropout draws from, whatever their streams.
    """
    if not device.startswith("cuda"):
        return MOST
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 14):
        return 1
    free, total = torch.cuda.mem_get_info(device)
    return max(1, 4 * total // (5 * max(total - free, 1)))
