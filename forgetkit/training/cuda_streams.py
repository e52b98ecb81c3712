"""Several runs at the same time on one GPU, most of which a single small model leaves idle."""

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import islice
from typing import TypeVar

import torch

from forgetkit.training.cuda_graphs import WARM_UP

T = TypeVar("T")
MOST = 16
"""Runs at the same time; more gain nothing on an H100."""
LOOK = 2 * WARM_UP
"""Steps of the first run after which its memory is measured."""


def side_by_side(runs: Iterator[Generator[None, None, T]], device: str, most: int = 0) -> Iterator[T]:
    """Take the steps of several runs in turn, each run on its own stream; yield the result of each when it ends.

    Args:
        runs: each is started when there is room for it.
        device: the GPU; any other name runs them without streams.
        most: runs at the same time; 0 for as many as the GPU gains by. There are never more than its memory holds if
            each takes as much as the first.
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
    """Return how many runs four fifths of the memory hold, if one run takes all that is taken now.

    Before torch 2.14 it is 1: graphs on different streams share the generator that dropout draws from.
    """
    if not device.startswith("cuda"):
        return MOST
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 14):
        return 1
    free, total = torch.cuda.mem_get_info(device)
    return max(1, 4 * total // (5 * max(total - free, 1)))
