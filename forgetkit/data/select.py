"""Choosing ids: by class, by attribute, by list, then by a draw. Without torch."""

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset, Split
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_list import draw, read_ids
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


@dataclass(frozen=True)
class Condition:
    """One column and the values that are wanted of it.

    Attributes:
        column: its name.
        held: its value for each training row; None where there is none.
        values: the values wanted, in the order in which they were given.
        listed: how many of them came from a file: those are counted, not named.
    """

    column: str
    held: Sequence[str | None]
    values: list[str]
    listed: int = 0

    def says(self, offered: Mask) -> Iterator[str]:
        """Yield in words how many of the ``offered`` samples each value has; values from a file only in all."""
        held = Counter(value for value, here in zip(self.held, offered.tolist(), strict=True) if here)
        named = self.values[: len(self.values) - self.listed]
        yield from (f"{self.column}={shorten(value)}: {held[value]} ids" for value in named)
        if counts := sorted(held[value] for value in self.values[len(named) :]):
            each = f"{counts[0]} to {counts[-1]} ids each" if len(counts) > 1 else "in the file"
            yield f"{self.column}: {len(counts)} more values from files, {each}, {sum(counts)} in all"


def conditions_of(
    dataset: Dataset, conditions: Sequence[str], files: Sequence[str] = (), table: str | None = None
) -> list[Condition]:
    """Return what ``--where`` and ``--where-file`` ask for, a condition a column.

    Args:
        dataset: whose attribute columns count.
        conditions: each ``COLUMN=VALUE``.
        files: each ``COLUMN=FILE``; the file has a value a line, as an ID list has ids.
        table: path of a CSV file with a column ``id`` and further columns, which count too.

    Raises:
        ForgetkitError: ``usage`` for a column that there is not, ``ids-empty`` for a value that no sample has, and
            what :func:`forgetkit.files.id_list.read_ids` raises.
    """
    columns: dict[str, Sequence[str | None]] = dict(dataset.attributes)
    if table is not None:
        columns |= read_attributes(table, dataset.train.row_of)
    known = {column: set(held) - {None} for column, held in columns.items()}
    wanted: dict[str, dict[str, bool]] = {}
    for text in conditions:
        column, value = _divided(text, "--where", "VALUE", "writer=w2154", columns)
        _check_value("--where", column, value, known[column])
        wanted.setdefault(column, {})[value] = False
    for text in files:
        column, file = _divided(text, "--where-file", "FILE", "writer=writers.txt", columns)
        for value, line in read_ids(file).lines.items():
            _check_value(f"{file}:{line}", column, value, known[column])
            wanted.setdefault(column, {}).setdefault(value, True)
    return [Condition(column, columns[column], list(values), sum(values.values())) for column, values in wanted.items()]


def with_attributes(rows: int, conditions: Sequence[Condition]) -> Mask:
    """Return which of ``rows`` training samples meet the conditions: any value of a column, all columns."""
    mask: Mask = np.ones(rows, dtype=bool)
    for condition in conditions:
        values = set(condition.values)
        mask &= np.array([held in values for held in condition.held])
    return mask


def _divided(text: str, option: str, what: str, example: str, columns: Mapping[str, object]) -> tuple[str, str]:
    """Return both sides of ``COLUMN=VALUE``."""
    column, equals, value = text.partition("=")
    if not equals:
        raise ForgetkitError("usage", f"{option}: '{text}' is not COLUMN={what}", f"for example: {option} {example}")
    if column not in columns:
        hint = did_you_mean(column, columns) if columns else "give a table of them: --attributes FILE.csv"
        raise ForgetkitError("usage", f"{option}: there is no column '{column}'", hint)
    return column, value


def _check_value(place: str, column: str, value: str, known: Collection[str | None]) -> None:
    """Refuse a value that no training sample has."""
    if value not in known:
        message = f"{place}: no training sample has {column}={shorten(value)}"
        near = did_you_mean(value, [held for held in known if held is not None]) if len(known) <= 10_000 else None
        raise ForgetkitError("ids-empty", message, _brief(near) if near else None)


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


def drawn_of(chosen: Mask, train: Split, *, count: int | None, fraction: float | None, seed: int) -> Mask:
    """Return which samples :func:`drawn` leaves of the ``chosen`` ones."""
    rows = np.flatnonzero(chosen)
    ids = train.ids_at(rows)
    left = set(drawn(ids, count=count, fraction=fraction, seed=seed))
    mask: Mask = np.zeros(len(chosen), dtype=bool)
    mask[rows[[id_ in left for id_ in ids]]] = True
    return mask


def _brief(hint: str) -> str | None:
    """Return a hint that does not list every value of a column."""
    return None if hint.startswith("known:") else hint
