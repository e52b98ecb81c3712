"""Matching: tensors from elsewhere brought under the names, shapes and types of a model's own."""

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
    """Return the tensors of a file as a model's state, and what was changed for it, in words.

    A prefix that all names share is taken off; tied weights that the file holds once are there under each name;
    counters of batch norm that old files lack are 0; half and double precision become float32.

    Args:
        found: the file's tensors.
        expected: the model's ``state_dict``, not on the meta device.
        where: what the file is called in messages.
        what: what the model is called there.
        head: what :func:`head_of` returns, of tensors to be taken from ``expected`` if those of the file are of
            another number of classes, or of as many, or not there.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` with every tensor that is missing, unexpected or does not fit.
    """
    prefix = common_prefix(found, expected)
    notes = [f"took the prefix '{prefix}' off {len(found)} names"] if prefix else []
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
        notes.append(f"{len(counters)} counters of batch norm begin at 0")
    if head:
        notes.append(_replace(state, expected, head))
    _check(state, expected, f"{where} does not fit {what}")
    changed = sorted({str(t.dtype) for name, t in state.items() if t.dtype != expected[name].dtype})
    if changed:
        count = sum(tensor.dtype != expected[name].dtype for name, tensor in state.items())
        kinds = ", ".join(kind.removeprefix("torch.") for kind in changed)
        notes.append(f"converted {count} tensors of {kinds} to float32")
    return {name: tensor.to(expected[name].dtype) for name, tensor in state.items()}, notes


def head_of(expected: Tensors, wider: Tensors) -> dict[str, tuple[bool, ...]]:
    """Return the tensors of a model that its number of classes shapes, each with which of its lengths do.

    Args:
        expected: the ``state_dict`` of the model.
        wider: that of the same model for one class more.
    """
    return {
        name: tuple(one != other for one, other in zip(tensor.shape, wider[name].shape, strict=True))
        for name, tensor in expected.items()
        if name in wider and tensor.dim() == wider[name].dim() and tensor.shape != wider[name].shape
    }


def _replace(state: dict[str, Tensor], expected: Tensors, head: Mapping[str, tuple[bool, ...]]) -> str:
    """Put a new head into ``state`` in place; say so. A tensor that differs in more than its classes is left there."""
    shown = []
    for name, follows in head.items():
        old, new = state.get(name), expected[name]
        if old is not None and (
            old.dim() != new.dim()
            or any(a != b for a, b, free in zip(old.shape, new.shape, follows, strict=True) if not free)
        ):
            continue
        state[name] = new
        shown.append(f"{shorten(name)} {_size(new)}, {f'was {_size(old)}' if old is not None else 'was not there'}")
    return f"new head: {'; '.join(shown)}"


def common_prefix(found: Iterable[str], expected: Iterable[str]) -> str:
    """Return what stands before all of the found names and, taken off, brings most of them to expected ones.

    ``module.`` is DataParallel's, ``_orig_mod.`` the compiler's, ``model.`` that of many training scripts.
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
    """Return the groups of names that share their memory."""
    by_memory: dict[tuple[int, tuple[int, ...]], list[str]] = {}
    for name, tensor in expected.items():
        by_memory.setdefault((tensor.data_ptr(), tuple(tensor.shape)), []).append(name)
    return [names for names in by_memory.values() if len(names) > 1 and expected[names[0]].numel()]


def _check(state: Tensors, expected: Tensors, sentence: str) -> None:
    """Refuse a state that is not the model's, and say all that is wrong at once."""
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
