"""Optimizer steps; on a GPU, a step like one before is launched whole, from a graph that was recorded of it.

Launching the kernels of a small model's step one by one takes a GPU's host four times as long as running them.
"""

import random
import sys
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
        _GRAPHS[optimizer] = Graphs(optimizer, record)
    return _GRAPHS.get(optimizer)


class Graphs:
    """Takes steps; launches those that were recorded.

    A step is like another where its loss is the same function and its tensors have the same shapes and types. All else
    that the loss reads must be the same tensors as before. The rates may change: they are copied to the device.

    Args:
        optimizer: of the steps; it is not kept.
        record: given a step, returns what takes it again.
    """

    def __init__(self, optimizer: Optimizer, record: Callable[[Step], Step]) -> None:
        self._record = record
        self._device = optimizer.param_groups[0]["params"][0].device
        self._rates = [torch.full((), float(group["lr"]), device=self._device) for group in optimizer.param_groups]
        self._known = [float(group["lr"]) for group in optimizer.param_groups]
        self._seen = Counter[Hashable]()
        self._recorded: dict[Hashable, tuple[list[Tensor], Step]] = {}
        self._fit = True
        optimizer.register_load_state_dict_post_hook(lambda _: self._recorded.clear())  # they hold the state before

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
        if kind in self._recorded:
            inputs, launch = self._recorded[kind]
            for held, tensor in zip(inputs, tensors, strict=True):
                held.copy_(tensor, non_blocking=True)
            return launch().clone()
        inputs = [tensor.to(self._device, copy=True) for tensor in tensors]
        given = tuple(inputs) if isinstance(batch, tuple) else inputs[0]
        self._seen[kind] += 1
        with self._rates_on_device(optimizer):
            recorded = self._recording(optimizer, loss, given) if self._seen[kind] > WARM_UP and self._fit else None
            if recorded is None:
                return take_step(optimizer, loss, given)
        while len(self._recorded) >= MOST:
            self._recorded.pop(next(iter(self._recorded)))
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
        before = _drawn()
        try:
            launch = self._record(lambda: take_step(optimizer, loss, batch))
        except RuntimeError:  # it waits for the device, say
            self._fit = False
            return None
        self._fit = _drawn() == before
        return launch if self._fit else None


def record(step: Step) -> Step:
    """Return what launches all kernels of ``step`` at once; it is not taken by that.

    Raises:
        RuntimeError: for a step that cannot be recorded.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        value = step()

    def launch() -> Tensor:
        graph.replay()
        return value

    return launch


def _can_be_recorded(optimizer: Optimizer) -> bool:
    """Say whether all is on one GPU, and the optimizer made for it (:func:`forgetkit.optimizers.make_optimizer`)."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    groups = all(group.get("capturable") or group.get("fused") for group in optimizer.param_groups)
    return groups and weights[0].is_cuda and len({weight.device for weight in weights}) == 1


def _drawn() -> tuple[object, ...]:
    """Return where the sources of randomness stand that a graph knows nothing of."""
    numbers = sys.modules["numpy.random"].get_state() if "numpy.random" in sys.modules else ()
    on_cpu = torch.default_generator.get_state().numpy().tobytes()
    return random.getstate(), *(str(part) for part in numbers), on_cpu
