"""Optimizer steps; on a GPU, a step like one before is launched whole, from a graph that was recorded of it.

Launching the kernels of a small model's step one by one takes a GPU's host four times as long as running them.
"""

import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.optim import Optimizer

B = TypeVar("B")
Step = Callable[[], Tensor]
WARM_UP = 8
"""Steps that are taken one kernel at a time before one like them is recorded: libraries choose kernels in the first."""
MOST = 4
"""Graphs that are kept; each holds the memory of its step."""
ROOM = 3
"""How often the memory of a process must fit into the GPU's for another graph."""

_RECORDS = True
_GRAPHS: WeakKeyDictionary[Optimizer, "Graphs"] = WeakKeyDictionary()


def take_step(optimizer: Optimizer, loss: Callable[[B], Tensor], batch: B) -> Tensor:
    """Take one optimizer step down ``loss``; return its value, detached."""
    value = loss(batch)
    optimizer.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value.detach()


def graphs_of(optimizer: Optimizer) -> "Graphs | None":
    """Return what records the steps of ``optimizer``; None where that cannot be: on a CPU, say."""
    if optimizer not in _GRAPHS and _can_be_recorded(optimizer):
        _GRAPHS[optimizer] = Graphs(optimizer, record, watched)
    return _GRAPHS.get(optimizer)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Record and launch no step for as long as this lasts: in a launch no hook of a model is called."""
    global _RECORDS
    before, _RECORDS = _RECORDS, False
    try:
        yield
    finally:
        _RECORDS = before


class Graphs:
    """Takes steps; launches those that were recorded.

    A step is like another where its loss is the same function and its tensors have the same shapes and types. All else
    that the loss reads must be the same tensors as before. The rates may change: they are copied to the device.

    Args:
        optimizer: of the steps; it is not kept.
        record: given a step, returns what takes it again.
        watch: takes a step; says whether it can be recorded, as far as that shows.
    """

    def __init__(
        self, optimizer: Optimizer, record: Callable[[Step], Step], watch: Callable[[Step], tuple[Tensor, bool]]
    ) -> None:
        self._record, self._watch = record, watch
        self._device = optimizer.param_groups[0]["params"][0].device
        self._rates = [torch.full((), float(group["lr"]), device=self._device) for group in optimizer.param_groups]
        self._known = [float(group["lr"]) for group in optimizer.param_groups]
        self._seen = Counter[Hashable]()
        self._recorded: dict[Hashable, tuple[list[Tensor], Step]] = {}
        self._fit = True
        optimizer.register_load_state_dict_post_hook(lambda _: self._forget())

    def _forget(self) -> None:
        """Begin anew: with another state of the optimizer, which those recorded do not know, or for lack of room."""
        self._recorded.clear()
        self._seen.clear()

    def take_step(self, optimizer: Optimizer, loss: Callable[[Any], Tensor], batch: Any) -> Tensor:  # noqa: ANN401 - any
        """Take one step; return the loss, detached."""
        tensors = batch if isinstance(batch, tuple) else (batch,)
        if not all(isinstance(tensor, Tensor) for tensor in tensors):
            return take_step(optimizer, loss, batch)
        kind = (loss, *((tensor.shape, tensor.dtype) for tensor in tensors))
        rates = [group["lr"] for group in optimizer.param_groups]
        for held, rate, known in zip(self._rates, rates, self._known, strict=True):
            if rate != known:
                held.fill_(rate)
        self._known = rates
        if _RECORDS and kind in self._recorded:
            inputs, launch = self._recorded[kind]
            for held, tensor in zip(inputs, tensors, strict=True):
                held.copy_(tensor, non_blocking=True)
            return launch().clone()
        inputs = [tensor.to(self._device, copy=True) for tensor in tensors]
        given = tuple(inputs) if isinstance(batch, tuple) else inputs[0]
        self._seen[kind] += 1
        with self._rates_on_device(optimizer):
            if not (self._fit and _RECORDS) or self._seen[kind] < WARM_UP:
                return take_step(optimizer, loss, given)
            if self._seen[kind] == WARM_UP:
                value, self._fit = self._watch(lambda: take_step(optimizer, loss, given))
                return value
            recorded = self._recording(optimizer, loss, given)
            if recorded is None:
                return take_step(optimizer, loss, given)
        if len(self._recorded) == MOST:
            self._forget()
        self._recorded[kind] = inputs, recorded
        return recorded().clone()

    @contextmanager
    def _rates_on_device(self, optimizer: Optimizer) -> Iterator[None]:
        rates = [group["lr"] for group in optimizer.param_groups]
        for group, held in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = held
        try:
            yield
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def _recording(self, optimizer: Optimizer, loss: Callable[[Any], Tensor], batch: Any) -> Step | None:  # noqa: ANN401
        """Record a step; None, and never again, where it cannot be, or would draw the same numbers each time."""
        before, launch = _drawn(), None
        try:
            launch = self._record(lambda: take_step(optimizer, loss, batch))
        except RuntimeError:
            self._fit = False
        if str(_drawn()) == str(before):
            return launch
        self._fit = False
        _draw_from(before)
        return None


def record(step: Step) -> Step:
    """Return what launches all kernels of ``step`` at once; it is not taken by that.

    Raises:
        RuntimeError: for a step that cannot be recorded; nothing is recorded any more, since torch leaves the memory of
            a failed recording as it is.
    """
    global _RECORDS
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    known = generator.clone_state()
    _clear_workspaces()
    try:
        with torch.cuda.stream(stream), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            value = step()
    except RuntimeError:
        _RECORDS = False
        generator.graphsafe_set_state(known)  # the other one waits for the end of the recording
        raise
    finally:
        _clear_workspaces()

    def launch() -> Tensor:
        graph.replay()
        return value

    return launch


def _clear_workspaces() -> None:
    """Let matrix products take new scratch memory: graphs on different streams must not share one."""
    torch._C._cuda_clearCublasWorkspaces()


def watched(step: Step) -> tuple[Tensor, bool]:
    """Take a step; return the loss, and whether it can be recorded.

    No graph can hold an operation that waits for the GPU. And it keeps the memory of its step, so there must be room.
    """
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            value = step()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    waited = any("called a synchronizing" in str(warning.message) for warning in seen)
    _, total = torch.cuda.mem_get_info()
    return value, not waited and ROOM * torch.cuda.memory_reserved() < total


def _can_be_recorded(optimizer: Optimizer) -> bool:
    """Return whether all tensors are on one GPU and the optimizer was made by :func:`make_optimizer`."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    groups = all(group.get("capturable") or group.get("fused") for group in optimizer.param_groups)
    return groups and weights[0].is_cuda and len({weight.device for weight in weights}) == 1


def _drawn() -> tuple[Any, ...]:
    """Return where the sources of randomness stand that a graph knows nothing of: Python's, torch's, numpy's."""
    numbers = sys.modules.get("numpy.random")
    return random.getstate(), torch.default_generator.get_state().tolist(), numbers.get_state() if numbers else None


def _draw_from(drawn: tuple[Any, ...]) -> None:
    """Put the sources of randomness back."""
    random.setstate(drawn[0])
    torch.default_generator.set_state(torch.tensor(drawn[1], dtype=torch.uint8))
    if drawn[2] is not None:
        sys.modules["numpy.random"].set_state(drawn[2])
