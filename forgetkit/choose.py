"""Choosing ids: by class, by attribute, by list, then by a draw. Without torch."""

import csv
from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.ids import draw
from forgetkit.registry import did_you_mean

Mask = NDArray[np.bool_]


def in_classes(dataset: Dataset, names: list[str]) -> Mask:
    """Return which training samples are of one of the classes, each given by name or index.

    Raises:
        ForgetkitError: ``usage`` for a class that the data set does not have.
    """
    index = {str(row): row for row in range(len(dataset.classes))}
    index |= {name: row for row, name in enumerate(dataset.classes)}
    for name in names:
        if name not in index:
            message = f"{dataset.name} has no class '{shorten(name)}'"
            raise ForgetkitError("usage", message, did_you_mean(name, dataset.classes))
    return np.isin(dataset.train.labels, [index[name] for name in names])


def with_attributes(dataset: Dataset, conditions: list[str], table: str | None) -> Mask:
    """Return which training samples meet the conditions: any value of a column, all columns.

    Args:
        dataset: whose attribute columns count.
        conditions: each ``COLUMN=VALUE``.
        table: path of a CSV file with a column ``id`` and further columns, which count too.

    Raises:
        ForgetkitError: ``usage`` for a column that there is not, ``ids-empty`` for a value that no sample has.
    """
    columns: dict[str, Sequence[str | None]] = dict(dataset.attributes)
    if table is not None:
        columns |= read_attributes(table, dataset.train.row_of)
    wanted: dict[str, set[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise ForgetkitError(
                "usage", f"--where: '{condition}' is not COLUMN=VALUE", "for example: --where writer=w2154"
            )
        if column not in columns:
            hint = did_you_mean(column, columns) if columns else "give a table of them: --attributes FILE.csv"
            raise ForgetkitError("usage", f"--where: there is no column '{column}'", hint)
        if value not in columns[column]:
            known = {held for held in columns[column] if held is not None}
            message = f"--where: no training sample has {column}={shorten(value)}"
            raise ForgetkitError(
                "ids-empty", message, _brief(did_you_mean(value, known)) if len(known) <= 10_000 else None
            )
        wanted.setdefault(column, set()).add(value)
    mask: Mask = np.ones(len(dataset.train), dtype=bool)
    for column, values in wanted.items():
        mask &= np.array([held in values for held in columns[column]])
    return mask


def read_attributes(path: str, row_of: Mapping[str, int]) -> dict[str, list[str | None]]:
    """Return the columns of a CSV file keyed by ``id``, a value a training row; None where the file has none.

    Raises:
        ForgetkitError: ``attributes-malformed``; names file and line. Ids that are not training samples
            (a test split's, say) are passed over.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if "id" not in (reader.fieldnames or []):
                raise ForgetkitError("attributes-malformed", f"{path}:1: there is no column 'id'")
            names = [name for name in reader.fieldnames or [] if name != "id"]
            if len(set(reader.fieldnames or [])) < len(names) + 1:
                raise ForgetkitError("attributes-malformed", f"{path}:1: a column stands twice")
            seen = set()
            columns: dict[str, list[str | None]] = {name: [None] * len(row_of) for name in names}
            for entry in reader:
                row = row_of.get((entry["id"] or "").strip())
                if row is None:
                    continue
                if row in seen:
                    raise ForgetkitError("attributes-malformed", f"{path}:{reader.line_num}: an id stands twice")
                seen.add(row)
                for name in names:
                    columns[name][row] = entry[name]
    except OSError as problem:
        raise ForgetkitError("attributes-missing", f"{path}: {problem.strerror or problem}") from problem
    except (UnicodeDecodeError, csv.Error) as problem:
        raise ForgetkitError("attributes-malformed", f"{path}: not a UTF-8 CSV file ({problem})") from problem
    return columns


def drawn(ids: list[str], *, count: int | None, fraction: float | None, seed: int) -> list[str]:
    """Return the draw of ``count`` ids, or of a ``fraction`` of them (rounded, at least one), or all of them.

    Raises:
        ForgetkitError: ``usage`` for a fraction outside (0, 1] or more ids than there are.
    """
    if fraction is not None:
        if not 0 < fraction <= 1:
            raise ForgetkitError("usage", f"--fraction: {fraction} is not in (0, 1]", "for example: --fraction 0.05")
        count = max(1, floor(fraction * len(ids) + 0.5))
    if count is None or not ids:
        return ids
    if count > len(ids):
        raise ForgetkitError("usage", f"--count: {count} ids wanted, {len(ids)} are there", "ask for fewer")
    return draw(ids, count, seed)


def _brief(hint: str) -> str | None:
    """Return a hint that does not list every value of a column."""
    return None if hint.startswith("known:") else hint
