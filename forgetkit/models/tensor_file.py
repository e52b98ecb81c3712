"""Safetensors files: written whole and the same way each time, read back, compared; and the digest of tensors."""

import errno
import hashlib
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_header
from forgetkit.files.publish import publish, write_bytes

DTYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What safetensors calls the types that a checkpoint may hold, in the order in which it writes them."""
_ORDER = {dtype: number for number, dtype in enumerate(DTYPES)}
ALIGNED = 8
"""Bytes of which the header's length is a multiple."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def unfit(name: str, tensor: Tensor) -> str | None:
    """Return in words why a checkpoint cannot hold a tensor under this name; None if it can."""
    if name == "__metadata__" or _SURROGATE.search(name):
        return "has a name that safetensors cannot hold"
    if tensor.layout != torch.strided or tensor.is_nested or tensor.dtype not in DTYPES:
        layout = "nested " if tensor.is_nested else "" if tensor.layout == torch.strided else f"{tensor.layout} "
        return f"is {layout}{tensor.dtype}, which a checkpoint cannot hold"
    return None


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) over names, dtypes, shapes and data, in UTF-8 byte order of the names.

    Raises:
        KeyError: for a tensor of a type that a checkpoint cannot hold.
    """
    state = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        state.update(compact_json([name, DTYPES[tensor.dtype], list(tensor.shape)]).encode() + b"\n")
        state.update(_data(tensor))
    return state.hexdigest()


def publish_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all; it is read back before it takes its place.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.publish.publish`.
    """

    def verify(written: Path) -> None:
        """Raise OSError unless the file has the content."""
        if not holds(written, tensors, metadata):
            raise OSError(errno.EIO, "what was written cannot be read back")

    publish(path, lambda temporary: write_tensors(temporary, tensors, metadata), verify=verify)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, laid out as the library does, with the names in its header in order.

    The library's own function writes to a file of a random name first, which a killed process leaves for good, and
    orders metadata at random.

    Raises:
        OSError: where it cannot be written.
        KeyError: for a tensor of a type that a checkpoint cannot hold.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    parts, end = [], 0
    for name in sorted(tensors, key=lambda name: (_ORDER[tensors[name].dtype], name.encode())):
        parts.append(_data(tensors[name]))
        begin, end = end, end + len(parts[-1])
        shape = list(tensors[name].shape)
        header[name] = {"data_offsets": [begin, end], "dtype": DTYPES[tensors[name].dtype], "shape": shape}
    text = compact_json(header).encode()
    text = text.ljust(-(-len(text) // ALIGNED) * ALIGNED)
    write_bytes(path, struct.pack("<Q", len(text)), text, *parts)


def _data(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor, without a copy where it is contiguous and on the CPU."""
    whole = tensor.detach().cpu().contiguous()
    if not whole.numel():  # an empty one cannot be viewed as bytes
        return memoryview(b"")
    return whole.reshape(-1).view(torch.uint8).numpy().data


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; raises SafetensorError, KeyError or OSError where it is damaged."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:  # the library opens no file whose path is not UTF-8
        return load(path.read_bytes())
    return load_file(path)


def holds(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bool:
    """Say whether the file at ``path`` holds these tensors and this metadata."""
    try:
        known = path.is_file() and read_header(path).get("__metadata__") == metadata
        return known and same_tensors(read_tensors(path), tensors)
    except (ForgetkitError, SafetensorError, KeyError, OSError):
        return False


def same_tensors(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Say whether names, dtypes, shapes and every bit of contiguous tensors are the same; NaN equals NaN."""
    return some.keys() == others.keys() and all(_same(some[name], others[name]) for name in some)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(_bits(one), _bits(other))


def _bits(tensor: Tensor) -> Tensor:
    flat = tensor.reshape(-1)
    if not len(flat):
        return flat.new_empty(0, dtype=torch.uint8)
    return flat.view(torch.uint8 if flat.nbytes % 8 else torch.int64)
