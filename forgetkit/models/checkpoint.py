"""Checkpoints: a model's tensors under its own names, and the record. Format: docs/formats.md."""

import errno
import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import dumps, read_header, read_record
from forgetkit.files.publish import publish
from forgetkit.files.record import Record
from forgetkit.models.build import build_recorded
from forgetkit.models.finite import cure, not_finite

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) over names, dtypes, shapes and data, in UTF-8 byte order of the names."""
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        state.update(compact_json([name, _DTYPES[tensor.dtype], list(tensor.shape)]).encode() + b"\n")
        if tensor.numel():  # an empty one cannot be viewed as bytes
            state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def save_checkpoint(path: Path, model: nn.Module, record: Record) -> Record:
    """Write ``model`` and ``record`` to ``path``; return the record with its digest.

    Raises:
        ForgetkitError: ``diverged`` for weights that are not finite; else as :func:`forgetkit.files.publish.publish`.
    """
    tensors = _own(model.state_dict())
    if broken := not_finite(tensors):
        hint = cure(record.steps[-1].options.get("precision"), "lower --rate, or use another --optimizer")
        raise ForgetkitError("diverged", f"the weights are no longer finite ({broken}); nothing was written", hint)
    record = replace(record, digest=tensor_digest(tensors))
    metadata = {"format": "pt", "forgetkit": dumps(record)}

    def verify(written: Path) -> None:
        try:
            whole = dumps(read_record(written)) == metadata["forgetkit"] and same_tensors(load_file(written), tensors)
        except (ForgetkitError, SafetensorError) as problem:
            raise OSError(errno.EIO, "what was written cannot be read back") from problem
        if not whole:
            raise OSError(errno.EIO, "what was written is not what can be read back")

    publish(path, lambda temporary: write_tensors(temporary, tensors, metadata), verify=verify)
    return record


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whose header is in order: the library's own order of metadata is random."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as problem:
        number = re.search(r"os error (\d+)", str(problem))
        raise OSError(int(number[1]) if number else errno.EIO, str(problem)) from problem
    with path.open("r+b") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
        ordered = compact_json(header).encode()
        if len(ordered) > length:
            raise OSError(errno.EIO, "the header does not fit its place")
        stream.seek(8)
        stream.write(ordered.ljust(length))


def load_tensors(path: Path, record: Record) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint and check them against its record.

    Raises:
        ForgetkitError: ``checkpoint-malformed``.
    """
    try:
        tensors = load_file(path)
        found = tensor_digest(tensors)
    except (SafetensorError, KeyError, RuntimeError, OSError) as problem:
        raise ForgetkitError(
            "checkpoint-malformed", f"{path}: {problem}", "the file is damaged: use a copy"
        ) from problem
    if found != record.digest:
        message = f"{path}: the tensors are not those of the record (their digest differs)"
        raise ForgetkitError("checkpoint-malformed", message, "the file was changed by another tool, or is damaged")
    return tensors


def same_tensors(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Say whether names, dtypes, shapes and every bit of contiguous tensors are the same."""
    if some.keys() != others.keys():
        return False
    pairs = [(some[name], others[name]) for name in some]
    return all(one.dtype == other.dtype and one.shape == other.shape for one, other in pairs) and all(
        torch.equal(_bits(one), _bits(other)) for one, other in pairs
    )


def load_model(path: Path, record: Record, *, finite: bool = True) -> nn.Module:
    """Build the registered model of ``record`` and load the weights of the checkpoint into it; see :func:`load`."""
    return load(path, record, finite=finite)[0]


def load(path: Path, record: Record, *, finite: bool = True) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build the registered model of ``record`` and load the weights of the checkpoint into it.

    Args:
        path: the checkpoint.
        record: its record.
        finite: refuse NaN and infinity; an audit looks at them itself.

    Returns:
        the model, and the weights as they lie in the file, mapped: they take no memory of their own.

    Raises:
        ForgetkitError: ``model-unknown``, ``checkpoint-mismatch`` or ``checkpoint-malformed``.
    """
    _check_layout(path, record)
    tensors = load_tensors(path, record)
    if finite and (broken := not_finite(tensors)):
        raise ForgetkitError("checkpoint-malformed", f"{path}: '{broken}' holds NaN or infinity")
    model = build_recorded(record, seed=0)
    state = model.state_dict()  # keeps the versions that some modules look for
    state.update(tensors)
    model.load_state_dict(state, strict=True)
    return model, tensors


def _check_layout(path: Path, record: Record) -> None:
    """Refuse tensors that are not those of the record's model, before memory is taken for either."""
    try:
        with torch.device("meta"):
            expected = build_recorded(record, seed=0).state_dict()
    except ForgetkitError:  # unknown, or one of the few models that cannot be built without memory
        expected = build_recorded(record, seed=0).state_dict()
    header = {name: entry for name, entry in read_header(path).items() if name != "__metadata__"}
    wrong = sorted(expected.keys() ^ header.keys()) or [
        name
        for name, entry in header.items()
        if not isinstance(entry, dict)
        or entry.get("shape") != list(expected[name].shape)
        or entry.get("dtype") != _DTYPES[expected[name].dtype]
    ]
    if wrong:
        more = f" ({len(wrong)} tensors differ)" if len(wrong) > 1 else ""
        message = f"{path}: '{shorten(wrong[0])}' does not fit the model {record.model['name']}{more}"
        raise ForgetkitError("checkpoint-mismatch", message, "was the model's code changed since?")


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU that share no memory, as tied weights do: safetensors refuses those."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        found = tensor.detach().cpu().contiguous()
        if (place := found.untyped_storage().data_ptr()) in seen:
            found = found.clone()
        seen.add(place)
        own[name] = found
    return own


def _bits(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    if not len(flat):
        return flat.new_empty(0, dtype=torch.uint8)
    return flat.view(torch.uint8 if flat.nbytes % 8 else torch.int64)
