"""Tensors from elsewhere under the names, shapes and types that a model has."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from forgetkit.errors import ForgetkitError, shorten

_COUNTER = "num_batches_tracked"
_FLOATS = (torch.float16, torch.bfloat16, torch.float64)

Tensors = Mapping[str, Tensor]


def match(
    found: Tensors, expected: Tensors, *, where: str, what: str, head: Mapping[str, tuple[bool, ...]] | None = None
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a file as the state of a model, and in words what was changed for that.

    A prefix that all names share is removed; tied weights that the file holds once get each of their names; batch-norm
    counters that old files lack are set to 0; half and double precision become float32.

    Args:
        found: the file's tensors.
        expected: the model's ``state_dict``, not on the meta device.
        where: name of the file in messages.
        what: name of the model in messages.
        head: what :func:`head_of` returns: tensors to take from ``expected``, whatever number of classes those of the
            file have, and where the file has none.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` with every tensor that is missing, unexpected or does not fit.
    """
    prefix = common_prefix(found, expected)
    notes = [f"removed the prefix '{prefix}' from {len(found)} names"] if prefix else []
    state = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    for names in _tied(expected):
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
    _check(state, expected, f"{where} does not fit {what}")
    changed = sorted({str(t.dtype) for name, t in state.items() if t.dtype != expected[name].dtype})
    if changed:
        count = sum(tensor.dtype != expected[name].dtype for name, tensor in state.items())
        kinds = ", ".join(kind.removeprefix("torch.") for kind in changed)
        notes.append(f"converted {count} tensors from {kinds} to float32")
    return {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}, notes


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


def common_prefix(found: Iterable[str], expected: Iterable[str]) -> str:
    """Return the prefix of all found names whose removal turns most of them into expected ones.

    DataParallel adds ``module.``, torch.compile ``_orig_mod.``, and many training scripts ``model.``.
    """
    names, known = list(found), set(expected)
    best, most, prefix = "", sum(name in known for name in names), ""
    while names:
        part = names[0].removeprefix(prefix).partition(".")
        prefix += f"{part[0]}."
        if not part[1] or not all(name.startswith(prefix) for name in names):
            break
        hits = sum(name.removeprefix(prefix) in known for name in names)
        if hits > most:
            best, most = prefix, hits
    return best


def _tied(expected: Tensors) -> list[list[str]]:
    """Return the groups of names whose tensors share memory."""
    by_memory: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, tensor in expected.items():
        by_memory.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(name)
    return [names for names in by_memory.values() if len(names) > 1 and expected[names[0]].numel()]


def _check(state: Tensors, expected: Tensors, sentence: str) -> None:
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
    faults = [
        _listed("missing", [shorten(name) for name in expected if name not in state]),
        _listed("unexpected", [shorten(name) for name in state if name not in expected]),
        _listed("of another shape", shapes),
        _listed("of another type", types),
    ]
    if found := "; ".join(fault for fault in faults if fault):
        hint = "choose the --model, --model-option and --dataset that the weights were made for"
        raise ForgetkitError("checkpoint-mismatch", f"{sentence}: {found}", hint)


def _listed(what: str, names: list[str]) -> str:
    return f"{len(names)} {what} ({', '.join(names)})" if names else ""


def _size(tensor: Tensor) -> str:
    return "×".join(str(length) for length in tensor.shape) or "a number"
