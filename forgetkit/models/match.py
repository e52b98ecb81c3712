"""Tensors from elsewhere under the names, shapes and types that a model has."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.models.selection import EVERYTHING, Selection, select

_COUNTER = "num_batches_tracked"
_FLOATS = (torch.float16, torch.bfloat16, torch.float64)

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Matched:
    """The state of a model, from a file.

    Attributes:
        state: by the model's own names.
        notes: what was changed for that, in words.
        prefix: of the names in the file, if it chose between tensors.
    """

    state: dict[str, Tensor]
    notes: list[str]
    prefix: str | None


def match(
    found: Tensors,
    expected: Tensors,
    *,
    where: str,
    what: str,
    head: Mapping[str, tuple[bool, ...]] | None = None,
    selection: Selection = EVERYTHING,
) -> Matched:
    """Return the tensors of a file as the state of a model.

    The prefix under which the file holds the whole model is removed, and what is not under it left out; tied weights
    that the file holds once get each of their names; batch-norm counters that old files lack are set to 0; half and
    double precision become float32.

    Args:
        found: the file's tensors.
        expected: the model's ``state_dict``, not on the meta device.
        where: name of the file in messages.
        what: name of the model in messages.
        head: what :func:`head_of` returns: tensors to take from ``expected``, whatever number of classes those of the
            file have, and where the file has none.
        selection: what the user wants of the file.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` with every tensor that is missing, unexpected or does not fit, or for
            two models; ``usage`` for a selection of none.
    """
    tied = _tied(expected)
    spare = {*(head or ()), *(name for names in tied for name in names)}
    required = [name for name in expected if name not in spare and not name.endswith(_COUNTER)]
    selected = select(found, expected, required, selection, where=where)
    state, notes = selected.state, selected.notes
    for names in tied:
        there = [name for name in names if name in state]
        for name in names if there else ():
            if name not in state:
                state[name] = state[there[0]]
                notes.append(f"'{name}' is tied to '{there[0]}'")
    counters = [name for name in expected if name not in state and name.endswith(_COUNTER)]
    if counters:
        state |= {name: torch.zeros_like(expected[name]) for name in counters}
        notes.append(f"batch-norm counters start at 0 where the file has none ({len(counters)})")
    if head:
        notes.append(_replace(state, expected, head))
    _check(state, expected, f"{where} does not fit {what}", selected.prefix)
    changed = sorted({str(t.dtype) for name, t in state.items() if t.dtype != expected[name].dtype})
    if changed:
        count = sum(tensor.dtype != expected[name].dtype for name, tensor in state.items())
        kinds = ", ".join(kind.removeprefix("torch.") for kind in changed)
        notes.append(f"converted {count} tensors from {kinds} to float32")
    state = {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}
    return Matched(state, notes, selected.prefix if selected.partly or selection.prefix is not None else None)


def head_of(expected: Tensors, wider: Tensors) -> dict[str, tuple[bool, ...]]:
    """Return the tensors whose shape depends on the number of classes, and for each dimension whether it does.

    Args:
        expected: the ``state_dict`` of the model.
        wider: that of the same model with one more class.
    """
    return {
        name: tuple(one != other for one, other in zip(tensor.shape, wider[name].shape, strict=True))
        for name, tensor in expected.items()
        if name in wider and tensor.dim() == wider[name].dim() and tensor.shape != wider[name].shape
    }


def _replace(state: dict[str, Tensor], expected: Tensors, head: Mapping[str, tuple[bool, ...]]) -> str:
    """Put the new head into ``state``, and return words for it; a tensor that differs in more than classes stays."""
    shown = []
    for name, follows in head.items():
        old, new = state.get(name), expected[name]
        if old is not None and (
            old.dim() != new.dim()
            or any(a != b for a, b, free in zip(old.shape, new.shape, follows, strict=True) if not free)
        ):
            continue
        state[name] = new
        shown.append(f"{shorten(name)} {_size(new)}, {f'was {_size(old)}' if old is not None else 'was missing'}")
    return f"new head: {'; '.join(shown)}"


def _tied(expected: Tensors) -> list[list[str]]:
    """Return the groups of names whose tensors share memory."""
    by_memory: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, tensor in expected.items():
        by_memory.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(name)
    return [names for names in by_memory.values() if len(names) > 1 and expected[names[0]].numel()]


def _check(state: Tensors, expected: Tensors, sentence: str, prefix: str) -> None:
    """Refuse a state that does not fit the model, with everything that is wrong."""
    shared = [name for name in expected if name in state]
    shapes = [
        f"{shorten(name)} {_size(state[name])} not {_size(expected[name])}"
        for name in shared
        if state[name].shape != expected[name].shape
    ]
    types = [
        f"{shorten(name)} {state[name].dtype} not {expected[name].dtype}"
        for name in shared
        if state[name].dtype not in (expected[name].dtype, *(_FLOATS if expected[name].is_floating_point() else ()))
    ]
    more = [name for name in state if name not in expected]
    faults = [
        _listed("missing", [shorten(name) for name in expected if name not in state]),
        _listed("unexpected", [shorten(name) for name in more]),
        _listed("of another shape", shapes),
        _listed("of another type", types),
    ]
    if found := "; ".join(fault for fault in faults if fault):
        hint = "choose the --model, --model-option and --dataset that the weights were made for"
        if found == faults[1]:
            pattern = f"{prefix}{more[0] if len(more) == 1 else more[0].partition('.')[0] + '*'}"
            hint = f"if the model does not use them, --drop '{pattern}'; else {hint}"
        raise ForgetkitError("checkpoint-mismatch", f"{sentence}: {found}", hint)


def _listed(what: str, names: list[str]) -> str:
    return f"{len(names)} {what} ({', '.join(names)})" if names else ""


def _size(tensor: Tensor) -> str:
    return "×".join(str(length) for length in tensor.shape) or "a number"
