"""The formats of ID lists: text, JSON lines, tables, NumPy arrays."""

import io
import json
from collections.abc import Iterable, Sequence
from tokenize import TokenError

from forgetkit.errors import ForgetkitError, listed, nearest
from forgetkit.files.columns import Form, read_columns

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


def table_entries(name: str, content: bytes, column: str) -> Iterable[tuple[int, str]]:
    """Return line and id of each row of a ``.csv`` or ``.parquet`` list.

    Raises:
        ForgetkitError: ``ids-malformed``, or ``missing-extra`` without pyarrow.
    """
    found = read_columns(Form(name, "ids-malformed", only=[column]), io.BytesIO(content))
    found.need([column], f"name it: --id-column {nearest(column, found.header) or 'NAME'}")
    return zip(found.lines, found.texts[column], strict=True)


def array_entries(name: str, content: bytes) -> Iterable[tuple[int, str]]:
    """Return number and id of each row of a ``.npy`` list, counted from 1; raises ForgetkitError ``ids-malformed``."""
    import numpy as np  # here, so that help does not wait for it

    try:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        ids = [one.decode() if isinstance(one, bytes) else str(one).strip() for one in array.tolist()]
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, MemoryError, OverflowError, TokenError) as problem:
        why = " ".join(str(problem).split())
        hint = "save the ids with numpy.save, as whole numbers or text"
        raise ForgetkitError("ids-malformed", f"{name}: not an array of ids ({why})", hint) from problem
    if array.ndim != 1 or array.dtype.kind not in "iuUS":
        message = f"{name}: {array.dtype} of shape {array.shape}, not one row of whole numbers or text"
        hint = "of a mask, save numpy.flatnonzero(mask); of floats, ids.astype(int)"
        raise ForgetkitError("ids-malformed", message, hint)
    return enumerate(ids, 1)


def _usable(value: object) -> bool:
    """Say whether a value of a JSON list can be an id: text, or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def line_names(lines: Sequence[int]) -> str:
    """Return the first lines by number, and how many more there are."""
    return f"{'line' if len(lines) == 1 else 'lines'} {listed([str(line) for line in lines], SHOWN)}"
