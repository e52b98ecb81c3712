"""Writing scores: the bytes of a table, as ``.npz``, ``.csv`` or ``.parquet``."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from forgetkit.auditing.scores.table import ScoreTable
from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json


def scores_as(path: Path, table: ScoreTable) -> bytes:
    """Return the content of a file of scores; equal tables have equal bytes. Only ``.npz`` has what is said of models.

    Raises:
        ForgetkitError: ``missing-extra`` for parquet without pyarrow.
    """
    if path.suffix == ".npz":
        return _npz(table)
    columns: dict[str, Any] = {"id": table.ids, "label": table.labels.tolist(), "group": table.groups}
    columns |= {"owner": table.owners} if table.owners else {}
    columns |= {key: mask.astype(int).tolist() for key, mask in _masks(table).items()}
    columns |= {f"logit_{number}": column.tolist() for number, column in enumerate(table.logits.T.astype(np.float64))}
    return _csv(columns) if path.suffix == ".csv" else _parquet(path, columns)


def _masks(table: ScoreTable) -> dict[str, Any]:
    masks = {"saw": table.saw, "forgot": table.forgot}
    return {key: mask for key, mask in masks.items() if mask is not None}


def _npz(table: ScoreTable) -> bytes:
    arrays = {
        "id": np.array(table.ids, dtype=np.str_),
        "label": table.labels,
        "group": np.array(table.groups, dtype=np.str_),
        "logits": table.logits,
        **_masks(table),
        **({"owner": np.array(table.owners, dtype=np.str_)} if table.owners else {}),
        **({"classes": np.array(table.classes, dtype=np.str_)} if table.classes else {}),
        **({"model": np.array(compact_json(table.model))} if table.model else {}),
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _csv(columns: dict[str, Any]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return stream.getvalue().encode()


def _parquet(path: Path, columns: dict[str, Any]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        hint = "pip install pyarrow"
        raise ForgetkitError("missing-extra", f"{path}: writing parquet needs pyarrow", hint) from problem
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()
