"""Files of ``torch.save``: their tensors are read, and nothing in them is run."""

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.header import read_header
from forgetkit.files.lfs import refuse_pointer
from forgetkit.models.class_names import class_names
from forgetkit.models.tensor_file import unfit

PLACES = ("state_dict", "model_state_dict", "model")
"""Keys under which most files have the state of their model."""
MOST_STRANGERS = 200
"""Most names of classes and functions that a file may use besides those of torch's tensors."""
_CURE = f"where it was made, save model.state_dict(), alone or under {', '.join(PLACES)}"
_UNKNOWN = re.compile(r"GLOBAL (\S+) was not an allowed global")
_BLOCKED = re.compile(r"GLOBAL ([\w.]+) whose module")
_NO_MAPPING = re.compile(r"Can only SETITEMS? for .* but got <class '(\S+)'>")


class _Inert(list[Any]):
    """What stands in for an object of any class but those of tensors: it takes everything and keeps nothing of it."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def __setstate__(self, _: object) -> None:
        """Take the attributes of the object."""

    def __hash__(self) -> int:  # type: ignore[override] # it may be a key
        return id(self)


class _Mapping:
    """What stands in for a dictionary of any class: a plain one with the same content."""

    def __new__(cls, *_: object) -> OrderedDict[Any, Any]:  # type: ignore[misc] # the point of it
        return OrderedDict()


@dataclass(frozen=True)
class State:
    """The state of a model, from a file of ``torch.save``.

    Attributes:
        tensors: by name, contiguous, on the CPU; they share no memory.
        place: keys under which the file has them, joined by dots; empty for the file as a whole.
        twins: where else the file has a state of as many tensors.
        left_out: what the state holds besides tensors, in words.
        strangers: classes and functions that the file names; none was imported.
        labels: names of the classes, in the order of the logits; empty if the file has none.
    """

    tensors: dict[str, Tensor]
    place: str
    twins: list[str]
    left_out: list[str]
    strangers: list[str]
    labels: list[str]


def read_state(name: str, key: str | None = None) -> State:
    """Return the state of a model from a file of ``torch.save``.

    Args:
        name: of the file.
        key: where in the file it is; if not given, under one of :data:`PLACES`, else wherever the only tensors are.

    Raises:
        ForgetkitError: ``checkpoint-missing``; ``checkpoint-malformed`` for a file of another kind, one without such a
            state, or a state that safetensors cannot hold; ``usage`` for an unknown key, or where several may be meant.
    """
    content, strangers = _read(name)
    states = dict(_states(content))
    if not states:
        raise ForgetkitError("checkpoint-malformed", f"{name}: {_instead(content)}", _CURE)
    place = _place(name, list(states), key)
    tensors, left_out = {}, []
    for entry, value in states[place].items():
        shown = shorten(str(entry))
        if not isinstance(value, Tensor):
            left_out.append(f"'{shown}' ({_kind(value)})")
        elif found := _why_not(entry, value):
            message, hint = f"{name}: '{shown}' of the state_dict {found[0]}", f"where it was made, {found[1]}"
            raise ForgetkitError("checkpoint-malformed", message, hint)
        else:
            tensors[entry] = value.detach().clone(memory_format=torch.contiguous_format)
    twins = [other for other in states if other != place and len(states[other]) >= len(states[place])]
    labels = class_names(content) if isinstance(content, Mapping) else []
    return State(tensors, place, twins, left_out, strangers, labels)


def _place(name: str, places: list[str], key: str | None) -> str:
    """Return which of ``places`` has the state of the model.

    Raises:
        ForgetkitError: ``usage``.
    """
    listed = ", ".join(f"'{shorten(place)}'" if place else "the file as a whole" for place in places)
    if key is not None:
        if key not in places:
            raise ForgetkitError("usage", f"--key: {name} has no tensors under '{shorten(key)}'", f"it has: {listed}")
        return key
    usual = next((place for place in PLACES if place in places), None)
    if usual is None and len(places) > 1:
        hint = "choose one: " + " or ".join(f"--key '{shorten(place)}'" for place in places)
        raise ForgetkitError("usage", f"{name}: tensors stand in {len(places)} places: {listed}", hint)
    return places[0] if usual is None else usual


def _states(content: object, place: str = "", depth: int = 3) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the mappings of tensors in a file with the keys that lead there; the state of an optimizer is none."""
    if not isinstance(content, Mapping) or (place and "param_groups" in content) or not depth:
        return
    inner = [
        found
        for key, value in content.items()
        if isinstance(key, str)
        for found in _states(value, f"{place}.{key}" if place else key, depth - 1)
    ]
    own = [value for value in content.values() if isinstance(value, Tensor)]
    if own and (not inner or any(one.dim() and one.dtype != torch.uint8 for one in own)):  # else counters, or a seed
        yield place, content
    yield from inner


def _why_not(entry: object, tensor: Tensor) -> tuple[str, str] | None:
    """Return in words why a tensor cannot be converted, and what to do; None if it can."""
    if not isinstance(entry, str):
        return f"has a key of type {_kind(entry)}, not a name", "save model.state_dict()"
    if tensor.is_meta:
        return "is a meta tensor: it has a shape, but no values", "load the weights into the model before you save it"
    if tensor.is_quantized:
        return f"is quantised ({tensor.dtype})", "save the model as it was before, in float32"
    why = unfit(entry, tensor)
    return (why, "rename the tensor" if "a name" in why else "save it as a dense tensor of float32") if why else None


def _read(name: str) -> tuple[object, list[str]]:
    """Return the content of a file of ``torch.save``, and the classes and functions that it names.

    Torch imports and calls nothing but what tensors are made of. Each name that it refuses gets a stand-in, which takes
    arguments, content and attributes and does nothing, and the file is read again.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    path, stand_ins = Path(name), dict[str, type]()
    try:
        zipped = _check_kind(path, name)
        for _ in range(MOST_STRANGERS):
            with warnings.catch_warnings(), torch.serialization.safe_globals([*stand_ins.values()]):
                warnings.simplefilter("ignore")  # of sparse and quantised tensors, which are refused below
                try:
                    content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
                    return content, [shorten(stranger) for stranger in sorted(stand_ins)]
                except pickle.UnpicklingError as problem:
                    _add_stand_in(stand_ins, problem)
    except (ForgetkitError, MemoryError):
        raise
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise ForgetkitError("checkpoint-missing", f"{name}: {why}", "name a .pt file") from problem
    except Exception as problem:  # the library raises anything for a malformed file
        raise ForgetkitError("checkpoint-malformed", f"{name}: {_refused(problem, stand_ins)}", _CURE) from problem
    raise ForgetkitError("checkpoint-malformed", f"{name}: it names more than {MOST_STRANGERS} classes", _CURE)


def _add_stand_in(stand_ins: dict[str, type], problem: pickle.UnpicklingError) -> None:
    """Add a stand-in for the name that torch refused, or raise its error again."""
    unknown, mapping = _UNKNOWN.search(str(problem)), _NO_MAPPING.search(str(problem))
    if not (found := unknown or mapping):
        raise problem
    module, _, last = found[1].rpartition(".")
    name = f"{module or 'builtins'}.{last}"
    if name in stand_ins and (unknown or issubclass(stand_ins[name], _Mapping)):
        raise problem
    stand_ins[name] = type(last, (_Inert if unknown else _Mapping,), {"__module__": module or "builtins"})


def _check_kind(path: Path, name: str) -> bool:
    """Say whether a file is a zip archive, as ``torch.save`` writes; refuse what is known to be of another kind."""
    if not name or not path.is_file():
        raise ForgetkitError("checkpoint-missing", f"{name or 'no file given'}: no such file", "name a .pt file")
    with path.open("rb") as stream:
        start = stream.read(64)
    refuse_pointer(path, start)
    if start[4:9] == bytes(4) + b"{":  # torch would read safetensors, and drop a record
        hint = f"forgetkit adopt {name} --model NAME --dataset NAME -o model.st"
        if "forgetkit" in (read_header(path).get("__metadata__") or {}):
            hint = f"it is a checkpoint: forgetkit inspect {name}"
        raise ForgetkitError("checkpoint-malformed", f"{name}: it is in safetensors already", hint)
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(entry.endswith("/constants.pkl") for entry in names):
        hint = f"where it was made: torch.save(torch.jit.load('{name}').state_dict(), 'state.pt'); convert that"
        raise ForgetkitError("checkpoint-malformed", f"{name}: a TorchScript program, not a state_dict", hint)
    return True


def _instead(content: object) -> str:
    """Return in words what a file without a state holds."""
    if isinstance(content, _Inert):
        return f"it would run code ({_kind(content)})"
    if not isinstance(content, Mapping):
        return f"no state_dict, but a {_kind(content)}"
    keys = [
        f"'{shorten(str(key))}'" + (f" ({_kind(value)})" if isinstance(value, _Inert) else "")
        for key, value in content.items()
    ]
    return f"no state_dict, but a {_kind(content)} with {', '.join(keys[:5]) or 'nothing in it'}"


def _kind(value: object) -> str:
    """Return the name of a class, or of the class of an object."""
    kind = value if isinstance(value, type) else type(value)
    return shorten(f"{kind.__module__}.{kind.__name__}".removeprefix("builtins."))


def _refused(problem: Exception, strangers: Iterable[str]) -> str:
    """Return in one line why a file was refused that names the ``strangers``."""
    if found := _BLOCKED.search(str(problem)):
        return f"it would run code ({found[1]})"
    if "persistent_load of storage" in str(problem):
        return "it would run code (a module that an old version of torch pickled)"
    if "Unsupported operand" in str(problem):
        return "not a file of torch.save with its usual pickle protocol, 2, or damaged"
    if names := ", ".join(shorten(name) for name in sorted(strangers)):
        return f"damaged, or not readable without its own code ({names})"
    return "not a file of torch.save, or damaged"
