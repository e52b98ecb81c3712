"""The formats of ID lists: text, JSON lines, CSV, parquet."""

import csv
import io
import json
from collections.abc import Iterable, Sequence

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.registry import nearest

MOST_ROWS = 1 << 24
"""Most rows that a parquet file may have: a few bytes of it can encode billions."""
SHOWN = 5
"""Most bad lines that a message names; all are counted."""


def text_entries(text: str) -> Iterable[tuple[int, str]]:
    """Yield line and id of each line of a text list that has one."""
    for line, raw in enumerate(text.split("\n"), 1):
        id_ = raw.strip()
        if id_ and not id_.startswith("#"):
            yield line, id_


def jsonl_entries(name: str, text: str) -> list[tuple[int, str]]:
    """Return line and id of each object of a ``.jsonl`` list; raises ForgetkitError ``ids-malformed``."""
    entries, bad = [], []
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw)["id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            bad.append(line)
            continue
        entries.append((line, str(value).strip())) if _usable(value) else bad.append(line)
    if bad:
        hint = 'each line is an object with the key id: {"id": "12"}'
        raise ForgetkitError("ids-malformed", f"{name}:{bad[0]}: no usable id ({line_names(bad)})", hint)
    return entries


def csv_entries(name: str, text: str, column: str) -> Iterable[tuple[int, str]]:
    """Yield line and id of each row of a ``.csv`` list; raises ForgetkitError ``ids-malformed``."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [field.strip() for field in next(reader, [])]
        at = _column(name, header, column)
        for row in reader:
            if row:
                yield reader.line_num, row[at].strip() if at < len(row) else ""
    except csv.Error as problem:
        raise ForgetkitError("ids-malformed", f"{name}:{reader.line_num}: {problem}") from problem


def parquet_entries(name: str, content: bytes, column: str) -> list[tuple[int, str]]:
    """Return row and id of a ``.parquet`` list.

    Raises:
        ForgetkitError: ``ids-malformed``, or ``missing-extra`` without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        hint = "pip install 'forgetkit[parquet]'"
        raise ForgetkitError("missing-extra", f"{name}: reading parquet needs pyarrow", hint) from problem
    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
        if table.metadata.num_rows > MOST_ROWS:
            raise ForgetkitError("ids-malformed", f"{name}: holds more than {MOST_ROWS} rows", "split the list")
        at = _column(name, table.schema_arrow.names, column)
        values = table.read(columns=[table.schema_arrow.names[at]]).column(0).to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as problem:
        raise ForgetkitError("ids-malformed", f"{name}: not a parquet file ({_one_line(problem)})") from problem
    return [(row, str(value).strip() if _usable(value) else "") for row, value in enumerate(values, 1)]


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())


def _usable(value: object) -> bool:
    """Say whether a value of a table can be an id: text, or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def _column(name: str, header: Sequence[str], column: str) -> int:
    if column in header:
        return list(header).index(column)
    close = nearest(column, header)
    hint = f"name it with --id-column{f'; did you mean {close!r}?' if close else ''}"
    raise ForgetkitError("ids-malformed", f"{name}:1: there is no column '{shorten(column)}'", hint)


def line_names(lines: Sequence[int]) -> str:
    """Return the first lines by number, and how many more there are."""
    shown = ", ".join(str(line) for line in lines[:SHOWN])
    more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return f"{'line' if len(lines) == 1 else 'lines'} {shown}{more}"
