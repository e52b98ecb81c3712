"""ID lists: the files that say which samples to forget. Format: docs/formats.md."""

import gzip
import hashlib
import io
import re
import sys
import zlib
from bisect import bisect_left
from codecs import BOM_UTF8
from collections.abc import Container, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from forgetkit.errors import ForgetkitError, nearest, shorten
from forgetkit.files.id_formats import array_entries, jsonl_entries, line_names, table_entries, text_entries
from forgetkit.files.near_file import near_file

LONGEST_ID = 1024
"""Most characters that an id may have."""
LARGEST_LIST = 1 << 28
"""Most bytes that an ID list may have, once unpacked."""

Ids = str | Path | Iterable[object]
"""The path of an ID list, or the ids themselves."""

SUFFIXES = (".txt", ".ids", ".csv", ".jsonl", ".parquet", ".npy", ".gz")
"""What names of ID lists end in, by which a mistyped one is looked for."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)")
UNFIT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What no id may hold."""


@dataclass(frozen=True)
class IdList:
    """The unique ids of one list, in the order of their first lines.

    Attributes:
        source: name of the list in messages.
        lines: line of each id (row, in a table), counted from 1.
        duplicates: lines whose id is on an earlier line too.
    """

    source: str
    lines: dict[str, int]
    duplicates: tuple[int, ...] = ()

    @property
    def ids(self) -> list[str]:
        """The ids, in the list's order."""
        return list(self.lines)


def read_ids(source: str, *, column: str = "id", strict: bool = False) -> IdList:
    """Read an ID list: text, ``.jsonl``, ``.csv``, ``.parquet`` or ``.npy``, gzipped or not; ``-`` is stdin.

    Args:
        source: path of the list, or ``-``.
        column: name of the id column of a ``.csv`` or ``.parquet`` file.
        strict: whether a duplicate is an error.

    Raises:
        ForgetkitError: ``ids-missing``, ``ids-malformed``, ``ids-empty``, or with ``strict``
            ``ids-duplicate``; each names the list and the line.
    """
    name = "stdin" if source == "-" else source
    entries: Iterable[tuple[int, str]]
    suffix = Path(source.removesuffix(".gz")).suffix.lower()
    content = _unpacked(name, _content(source))
    if content[8:9] == b"{" and content[5:8] == bytes(3):  # the header of a safetensors file, and its length
        hint = "name an ID list here, and the checkpoint first: forgetkit forget model.st --ids ids.txt"
        raise ForgetkitError("ids-malformed", f"{name}: a checkpoint, not an ID list", hint)
    if suffix in {".csv", ".parquet"}:
        entries = table_entries(name, content, column)
    elif suffix == ".npy":
        entries = array_entries(name, content)
    else:
        text = _decoded(name, content)
        if source == "-" and text and not text.endswith("\n"):
            hint = "end the list with a line feed: without one, a cut pipe could turn 12345 into 123"
            raise ForgetkitError("ids-malformed", "stdin: the last line does not end with a line feed", hint)
        entries = jsonl_entries(name, text) if suffix == ".jsonl" else text_entries(text)
    return _collect(name, entries, strict=strict)


def ids_of(name: str, ids: Iterable[str]) -> IdList:
    """Return ids as the list ``name``; raises ForgetkitError ``ids-malformed`` or ``ids-empty``."""
    return _collect(name, enumerate(ids, 1), strict=False)


def as_list(ids: Ids, name: str = "the ids given") -> str | IdList:
    """Return the path of an ID list, or ids from memory as the list ``name``; raises as :func:`ids_of`."""
    return str(ids) if isinstance(ids, str | Path) else ids_of(name, map(str, ids))


def check_known(found: IdList, known: Mapping[str, int], dataset: str, *, unseen: Container[str] = frozenset()) -> None:
    """Refuse a list with ids that the data set does not have.

    Args:
        found: the list.
        known: row of every id of the training split.
        dataset: name of the data set, for the message.
        unseen: ids of the test split.

    Raises:
        ForgetkitError: ``ids-unknown``; names file, line and the nearest known id.
    """
    unknown = [id_ for id_ in found.lines if id_ not in known and id_ not in unseen]
    if not unknown:
        return
    lines = [found.lines[id_] for id_ in unknown]
    place = f"{found.source}:{lines[0]}: '{shorten(unknown[0])}'"
    more = f" ({len(unknown)} unknown ids in all, {line_names(lines)})" if len(unknown) > 1 else ""
    raise ForgetkitError(
        "ids-unknown", f"{place} is not an id of {dataset}{more}", nearest_hint(unknown[0], list(known))
    )


def draw(ids: Iterable[str], count: int, seed: int) -> list[str]:
    """Draw the ``count`` ids with the smallest hashes keyed by ``seed``: draws are nested and stable."""
    import numpy as np  # here, so that help does not wait for it

    key, given = str(seed).encode(), list(ids)
    hashes = b"".join([hashlib.blake2b(id_.encode(), digest_size=16, key=key).digest() for id_ in given])
    high, low = np.frombuffer(hashes, ">u8").reshape(-1, 2).astype(np.uint64).T
    near = np.arange(len(given))
    if 0 < count < len(given):  # the rest need no order
        near = np.flatnonzero(high <= np.partition(high, count - 1)[count - 1])
    return [given[row] for row in near[np.lexsort((low[near], high[near]))[:count]].tolist()]


def digest_of(ids: Iterable[str]) -> str:
    """Return the SHA-256 (hex) of ``ids``, LF-terminated, in their order."""
    return hashlib.sha256("".join(f"{id_}\n" for id_ in ids).encode()).hexdigest()


def _content(source: str) -> bytes:
    if not source:
        raise ForgetkitError("ids-missing", "no ID list given: the path is empty", "name a file, or '-' for stdin")
    if source == "-" and sys.stdin is None:
        raise ForgetkitError("ids-missing", "stdin is closed", "name a file, or pipe the list in")
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as stream:
            content = stream.read(LARGEST_LIST + 1)
    except OSError as problem:
        near = near_file(Path(source), SUFFIXES)
        hint = f"did you mean {near}?" if near else "an ID list has one id a line; forgetkit forget-ids writes one"
        raise ForgetkitError("ids-missing", f"{source}: {problem.strerror or problem}", hint) from problem
    _check_size("stdin" if source == "-" else source, content)
    return content


def _check_size(name: str, content: bytes) -> None:
    if len(content) > LARGEST_LIST:
        raise ForgetkitError("ids-malformed", f"{name}: holds more than {LARGEST_LIST >> 20} MiB", "split the list")


def _unpacked(name: str, content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            unpacked = stream.read(LARGEST_LIST + 1)
    except (OSError, EOFError, zlib.error) as problem:
        message = f"{name}: the gzip data are damaged ({problem})"
        raise ForgetkitError("ids-malformed", message, "fetch or pack the list again") from problem
    _check_size(name, unpacked)
    return unpacked


def _decoded(name: str, content: bytes) -> str:
    try:
        text = content.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as problem:
        line = problem.object.count(b"\n", 0, problem.start) + 1
        raise ForgetkitError("ids-malformed", f"{name}:{line}: not UTF-8", "save the list as UTF-8 text") from problem
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        message = f"{name}:{line}: holds the control character {control.group()!r}"
        raise ForgetkitError("ids-malformed", message, "save the list again, as UTF-8 text with one id a line")
    return text


def _collect(name: str, entries: Iterable[tuple[int, str]], *, strict: bool) -> IdList:
    lines: dict[str, int] = {}
    duplicates, bad = [], []
    for line, id_ in entries:
        if not id_ or len(id_) > LONGEST_ID or (not id_.isprintable() and UNFIT.search(id_)):
            bad.append(line)
        elif id_ in lines:
            duplicates.append(line)
        else:
            lines[id_] = line
    if bad:
        message = f"{name}:{bad[0]}: an id is empty, holds a control character or is too long ({line_names(bad)})"
        raise ForgetkitError("ids-malformed", message, f"an id is text of 1 to {LONGEST_ID} characters on one line")
    if not lines:
        raise ForgetkitError(
            "ids-empty", f"{name}: holds no ids", "write one id a line; lines that begin with # are comments"
        )
    if strict and duplicates:
        message = f"{name}:{duplicates[0]}: an id is listed twice ({line_names(duplicates)})"
        raise ForgetkitError("ids-duplicate", message, "without --strict, each id counts once")
    return IdList(name, lines, tuple(duplicates))


def nearest_hint(id_: str, known: list[str]) -> str:
    """Return a hint for an unknown id: the range of row numbers, or the nearest of the ``known`` ids."""
    if id_ == "id" or "," in id_:
        return "a table needs a name that ends in .csv; a plain list has one id a line"
    span = f"ids run from {known[0]} to {known[-1]}"
    if known[-1] == str(len(known) - 1) and known[0] == "0":
        plain = id_.removesuffix(".0").lstrip("0") or "0"
        return f"{span}; did you mean '{plain}'?" if plain.isdecimal() and plain in set(known) else span
    close = nearest(
        id_, [*_neighbours(id_, known), *(x[::-1] for x in _neighbours(id_[::-1], [k[::-1] for k in known]))]
    )
    return f"did you mean '{shorten(close)}'?" if close else f"for example '{shorten(known[0])}'"


def _neighbours(id_: str, known: list[str]) -> list[str]:
    ordered = sorted(known)
    at = bisect_left(ordered, id_)
    return ordered[max(0, at - 8) : at + 8]
