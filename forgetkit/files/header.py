"""The header of a checkpoint, read without its tensors and without torch."""

import json
import stat
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json, strict_json, unique_keys
from forgetkit.files.lfs import POINTER, refuse_pointer
from forgetkit.files.near_file import near_file
from forgetkit.files.record import Record

PICKLES = {".pt", ".pth", ".ckpt", ".bin"}
LARGEST_HEADER = 25 << 20
"""Most bytes that the header of a checkpoint may have."""
SOME = 1000
"""Bytes by which an ID list that is given for a checkpoint is known."""
DAMAGED = "the file is damaged: use a copy"


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a safetensors file without reading its tensors.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    try:
        state = path.stat()
        if stat.S_ISDIR(state.st_mode):
            raise _folder(path)
        if not stat.S_ISREG(state.st_mode):  # asked before opening: a named pipe would wait for a writer
            raise _malformed(path, "not a regular file")
        with path.open("rb") as stream:
            return _header(stream, state.st_size, path)
    except (OSError, ValueError) as problem:  # a name with a NUL byte is a ValueError
        why = getattr(problem, "strerror", None) or problem
        raise ForgetkitError("checkpoint-missing", f"{path}: {why}", _hint(path)) from problem


def header_in(content: bytes, path: Path) -> dict[str, Any]:
    """Return the JSON header of a safetensors file whose whole ``content`` was read from ``path``.

    Raises:
        ForgetkitError: ``checkpoint-malformed``.
    """
    return _header(BytesIO(content), len(content), path)


def _header(stream: BinaryIO, size: int, path: Path) -> dict[str, Any]:
    refuse_pointer(path, stream.read(len(POINTER)))
    stream.seek(0)
    prefix = stream.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if not 2 <= length <= min(LARGEST_HEADER, size - 8):
        raise _other(path, prefix + stream.read(SOME), length)
    try:
        header = json.loads(stream.read(length).decode(), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as problem:
        raise _malformed(path, f"its header is not JSON ({problem})") from problem
    if not isinstance(header, dict):
        raise _malformed(path, "its header is not an object")
    return header


def read_record(path: Path) -> Record:
    """Return the record of the checkpoint at ``path`` without reading its tensors.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    return record_in(read_header(path), path)


def record_in(header: dict[str, Any], path: Path) -> Record:
    """Return the record in the header of the checkpoint at ``path``.

    Raises:
        ForgetkitError: ``checkpoint-malformed``.
    """
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("forgetkit"), str):
        hint = f"weights from elsewhere get one with: forgetkit adopt {path} --model NAME --dataset NAME -o model.st"
        raise ForgetkitError("checkpoint-malformed", f"{path}: a safetensors file without a forgetkit record", hint)
    try:
        return Record.from_json(strict_json(metadata["forgetkit"]))
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise _malformed(path, f"its record cannot be read ({type(problem).__name__}: {problem})") from problem


def dumps(record: Record) -> str:
    """Return the record as a checkpoint holds it."""
    return compact_json(record.to_json())


def _malformed(path: Path, why: str) -> ForgetkitError:
    hint = "give a checkpoint that forgetkit wrote"
    if path.suffix in PICKLES:
        hint = f"a pickle? forgetkit convert {path} -o {path.with_suffix('.safetensors')}, then forgetkit adopt that"
    return ForgetkitError("checkpoint-malformed", f"{path}: {why}", hint)


def _other(path: Path, start: bytes, length: int) -> ForgetkitError:
    """Return the error for a file that begins with ``start``, and has no header of ``length``."""
    if 2 <= length <= LARGEST_HEADER and start[8:9] == b"{":
        return ForgetkitError("checkpoint-malformed", f"{path}: cut short within its header", DAMAGED)
    try:
        text = start.decode("utf-8", "strict" if len(start) < SOME else "ignore").split("\n")
    except UnicodeDecodeError:
        text = []
    if "".join(text) and all(line.strip("\r\t").isprintable() for line in text):
        hint = "it looks like an ID list: name a checkpoint here, and the list with --ids (train: --exclude)"
        return ForgetkitError("checkpoint-malformed", f"{path}: not a safetensors file", hint)
    return _malformed(path, "not a safetensors file")


def cut_short(path: Path) -> str | None:
    """Say how much of a checkpoint, whose header is whole, is missing; None where nothing is, or it cannot be known."""
    with suppress(ForgetkitError, OSError, KeyError, TypeError, ValueError, IndexError):
        header = read_header(path)
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        with path.open("rb") as stream:
            whole = 8 + struct.unpack("<Q", stream.read(8))[0] + max(ends)
        if (size := path.stat().st_size) < whole:
            return f"cut short: {size:,} of {whole:,} bytes"
    return None


def no_checkpoint() -> ForgetkitError:
    """Return the error for an empty path."""
    message = "no checkpoint given: the command before wrote none"
    return ForgetkitError("checkpoint-missing", message, "see what it printed on stderr")


def _folder(path: Path) -> ForgetkitError:
    """Return the error for a folder."""
    found = sorted(one for one in path.glob("*.st") if not one.name.endswith(".optimizer.st"))
    hint = f"name a file in it: {found[0]}" if found else "name a file; train one with: forgetkit train"
    code = "checkpoint-missing" if path == Path() else "checkpoint-malformed"  # an empty path is the folder, too
    return ForgetkitError(code, f"{path}: a folder, not a checkpoint", hint)


def _hint(path: Path) -> str:
    """Return a hint for a missing checkpoint: a similar name in its folder, or how to train one."""
    close = near_file(path, [".st"])
    return f"did you mean {close}?" if close else "train one with: forgetkit train"


def open_checkpoint(text: str) -> tuple[Path, Record]:
    """Return path and record of the checkpoint that ``text`` names.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    if not text:
        raise no_checkpoint()
    return Path(text), read_record(Path(text))


def checkpoint_files(name: str) -> list[Path]:
    """Return the checkpoints that ``name``, a file or a folder, means.

    Raises:
        ForgetkitError: ``checkpoint-missing`` for an empty name, or a folder without one.
    """
    path = Path(name)
    if not name or not path.is_dir():
        return [path] if name else [open_checkpoint(name)[0]]
    files = sorted(file for file in path.glob("*.st") if not file.name.endswith(".optimizer.st"))
    if not files:
        raise ForgetkitError("checkpoint-missing", f"{path}: no .st file in this folder")
    return files
