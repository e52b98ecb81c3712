"""Optimizer steps; on a GPU, a step that resembles an earlier one is launched whole, as a recorded CUDA graph.

The kernels of a small model are so short that launching them one by one takes four times as long as running them.
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
"""Steps of a kind that are taken kernel by kernel before one is recorded: in the first, libraries choose kernels."""
MOST = 4
"""Graphs that are kept at most; each holds the memory of its step."""
ROOM = 3
"""How many times the memory of this process must fit into the GPU before another graph is recorded."""

_RECORDS = True
"""Whether steps are recorded and launched in this process."""
_GRAPHS: WeakKeyDictionary[Optimizer, "Graphs"] = WeakKeyDictionary()


def take_step(optimizer: Optimizer, loss: Callable[[B], Tensor], batch: B) -> Tensor:
    """Take one optimizer step down ``loss``; return its value, detached."""
    value = loss(batch)
    optimizer.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value.detach()


def graphs_of(optimizer: Optimizer) -> "Graphs | None":
    """Return what records the steps of ``optimizer``; None if they cannot be recorded, for example on a CPU."""
    if optimizer not in _GRAPHS and _can_be_recorded(optimizer):
        _GRAPHS[optimizer] = Graphs(optimizer, record, watched)
    return _GRAPHS.get(optimizer)


@contextmanager
def one_by_one() -> Iterator[None]:
    """Within this context, record and launch no step: a launch would call no hook of a model."""
    global _RECORDS
    before, _RECORDS = _RECORDS, False
    try:
        yield
    finally:
        _RECORDS = before


class Graphs:
    """Takes steps, and launches those that were recorded.

    Two steps are of the same kind if their loss is the same function and their tensors have the same shapes and types.
    A graph reads and writes the memory that it was recorded with, so everything else that the loss reads must stay in
    the same tensors. The rates may change: the graph reads them from the device, where they are copied to.

    Args:
        optimizer: takes the steps. No reference to it is kept, so that its graphs are freed with it.
        record: takes a function that takes a step; returns one that takes it again.
        watch: takes a step; returns its loss and whether such a step can be recorded, as far as that shows.
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
        """Drop all graphs: they would still update the optimizer's former state, or there is no room for another."""
        self._recorded.clear()
        self._seen.clear()

    def take_step(self, optimizer: Optimizer, loss: Callable[[Any], Tensor], batch: Any) -> Tensor:  # noqa: ANN401 - any
        """Take one step; return its loss, detached."""
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
            return launch().clone()  # the next launch overwrites it
        # copies even before recording: the graph must read these very tensors, which nobody else may change or free
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
        return recorded().clone()  # recording launches nothing: this takes the step

    @contextmanager
    def _rates_on_device(self, optimizer: Optimizer) -> Iterator[None]:
        """Within this context, keep the rates in tensors: a number would be recorded as a constant."""
        rates = [group["lr"] for group in optimizer.param_groups]
        for group, held in zip(optimizer.param_groups, self._rates, strict=True):
            group["lr"] = held
        try:
            yield
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def _recording(self, optimizer: Optimizer, loss: Callable[[Any], Tensor], batch: Any) -> Step | None:  # noqa: ANN401
        """Record a step; return None, and record no other, if it cannot be recorded or draws numbers on the CPU.

        A graph would repeat numbers that Python, numpy or torch drew on the CPU while it was recorded; those that the
        GPU draws are new at each launch.
        """
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
    """Record the kernels of ``step`` without running them; return what launches all of them at once.

    Raises:
        RuntimeError: for a step that cannot be recorded. Nothing is recorded any more in this process, since torch
            does not clean up the memory of a failed recording.
    """
    global _RECORDS
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    known = generator.clone_state()
    _clear_workspaces()
    try:
        # on the current stream, as the steps before it; thread_local: other threads may use the GPU meanwhile
        with torch.cuda.stream(stream), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            value = step()
    except RuntimeError:
        _RECORDS = False
        generator.graphsafe_set_state(known)  # the state of the failed recording waits for an end that never comes
        raise
    finally:
        _clear_workspaces()

    def launch() -> Tensor:
        """Copy the batch in and launch the recorded step."""
        graph.replay()
        return value

    return launch


def _clear_workspaces() -> None:
    """Make matrix products take new scratch memory: graphs on different streams must not write into the same."""
    torch._C._cuda_clearCublasWorkspaces()


def watched(step: Step) -> tuple[Tensor, bool]:
    """Take a step; return its loss, and whether it can be recorded.

    It cannot if an operation waits for the GPU, which nothing in a graph can, or if the memory that the graph would
    keep for the step leaves too little room.
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
    """Return whether all weights are on one GPU, and the optimizer keeps its state there, as make_optimizer's do."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    groups = all(group.get("capturable") or group.get("fused") for group in optimizer.param_groups)
    return groups and weights[0].is_cuda and len({weight.device for weight in weights}) == 1


def _drawn() -> tuple[Any, ...]:
    """Return the states of the generators on the CPU, which a graph does not know: Python's, torch's and numpy's."""
    numbers = sys.modules.get("numpy.random")
    return random.getstate(), torch.default_generator.get_state().tolist(), numbers.get_state() if numbers else None


def _draw_from(drawn: tuple[Any, ...]) -> None:
    """Restore what :func:`_drawn` returned."""
    random.setstate(drawn[0])
    torch.default_generator.set_state(torch.tensor(drawn[1], dtype=torch.uint8))
    if drawn[2] is not None:
        sys.modules["numpy.random"].set_state(drawn[2])
