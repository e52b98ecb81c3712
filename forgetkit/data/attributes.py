"""Attribute columns of a data set or a table, and the samples that have a value in one. Without torch."""

import csv
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_list import IdList, read_ids
from forgetkit.registry import did_you_mean

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A column, and the values that are wanted of it.

    Attributes:
        column: name of the column.
        held: its value in each training row; None where there is none.
        values: the wanted values, in the order in which they were given, those of lists last.
        listed: number of values that came from lists, which messages do not name.
    """

    column: str
    held: Sequence[str | None]
    values: list[str]
    listed: int = 0

    def says(self, offered: Mask) -> Iterator[str]:
        """Yield in words how many of the ``offered`` samples have each value; values from lists are summed up."""
        held = Counter(value for value, here in zip(self.held, offered.tolist(), strict=True) if here)
        named = self.values[: len(self.values) - self.listed]
        yield from (f"{self.column}={shorten(value)}: {held[value]} ids" for value in named)
        if counts := sorted(held[value] for value in self.values[len(named) :]):
            each = f"{counts[0]} to {counts[-1]} ids each" if len(counts) > 1 else "in the file"
            yield f"{self.column}: {len(counts)} more values from files, {each}, {sum(counts)} in all"


def conditions_of(
    dataset: Dataset, where: Mapping[str, str | Iterable[str | IdList]], table: str | None = None
) -> list[Condition]:
    """Return a condition for each column of ``where``.

    Args:
        dataset: with the attribute columns.
        where: columns, and the value or values wanted of each; a list has one value per line.
        table: path of a CSV file with a column ``id`` and further attribute columns.

    Raises:
        ForgetkitError: ``usage`` for a column that does not exist, or a table of which none is wanted; ``ids-empty``
            for a value that no sample has; and what :func:`read_attributes` raises.
    """
    columns: dict[str, Sequence[str | None]] = dict(dataset.attributes)
    read = {} if table is None else read_attributes(table, dataset.train.row_of)
    columns |= read
    found = []
    for column, values in where.items():
        named, listed = _values(values)
        if column not in columns:
            hint = did_you_mean(column, columns) if columns else "give a table of them: --attributes FILE.csv"
            option = "--where" if named else "--where-file"
            raise ForgetkitError("usage", f"{option}: there is no column '{column}'", hint)
        known = set(columns[column]) - {None}
        for value, place in [*named.items(), *listed.items()]:
            _check_value(place, column, value, known)
        found.append(Condition(column, columns[column], list({**named, **listed}), len(listed.keys() - named.keys())))
    if table is not None and not read.keys() & where.keys():
        message, hint = f"no --where names a column of {table}", f"its columns: {shorten(', '.join(read))}"
        raise ForgetkitError("usage", message, hint, option="attributes")
    return found


def column_of(dataset: Dataset, column: str, table: str | None = None) -> list[str]:
    """Return a column that groups the training samples: the value of each; without one, a sample is its own group.

    Args:
        dataset: with the attribute columns.
        column: name of the column.
        table: path of a CSV file with a column ``id`` that has the column, if the data set has not.

    Raises:
        ForgetkitError: ``usage`` for a column that does not exist; and what :func:`read_attributes` raises.
    """
    columns: dict[str, Sequence[str | None]] = dict(dataset.attributes)
    if table is not None:
        columns |= read_attributes(table, dataset.train.row_of)
    if column not in columns:
        hint = did_you_mean(column, columns) if columns else "give a table that has it: --attributes FILE.csv"
        raise ForgetkitError("usage", f"there is no column '{column}'", hint, option="shadow_group")
    held = zip(columns[column], dataset.train.ids, strict=True)
    return [f"id {id_}" if value is None else f"{column}={value}" for value, id_ in held]


def _values(given: str | Iterable[str | IdList]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values that are named and those in lists, each with its place for messages."""
    items = [given] if isinstance(given, str) else list(given)
    named = {value: "--where" for value in items if isinstance(value, str)}
    lists = [one for one in items if isinstance(one, IdList)]
    return named, {value: f"{one.source}:{line}" for one in lists for value, line in one.lines.items()}


def parse_where(texts: Iterable[str], files: Iterable[str]) -> dict[str, list[str | IdList]]:
    """Return columns and wanted values of texts ``COLUMN=VALUE`` and ``COLUMN=FILE``; a file has one value per line.

    Raises:
        ForgetkitError: ``usage``, and what :func:`forgetkit.files.id_list.read_ids` raises.
    """
    found: dict[str, list[str | IdList]] = {}
    for text in texts:
        column, value = _divided(text, "--where", "VALUE", "writer=w2154")
        found.setdefault(column, []).append(value)
    for text in files:
        column, file = _divided(text, "--where-file", "FILE", "writer=writers.txt")
        found.setdefault(column, []).append(read_ids(file))
    return found


def _divided(text: str, option: str, what: str, example: str) -> tuple[str, str]:
    """Return both sides of ``COLUMN=VALUE``."""
    column, equals, value = text.partition("=")
    if not equals:
        raise ForgetkitError("usage", f"{option}: '{text}' is not COLUMN={what}", f"for example: {option} {example}")
    return column, value


def with_attributes(rows: int, conditions: Sequence[Condition]) -> Mask:
    """Say for each of ``rows`` training samples whether it has a wanted value in every column."""
    mask: Mask = np.ones(rows, dtype=bool)
    for condition in conditions:
        values = set(condition.values)
        mask &= np.array([held in values for held in condition.held])
    return mask


def _check_value(place: str, column: str, value: str, known: Collection[str | None]) -> None:
    """Refuse a value that no training sample has."""
    if value not in known:
        message = f"{place}: no training sample has {column}={shorten(value)}"
        near = did_you_mean(value, [held for held in known if held is not None]) if len(known) <= 10_000 else None
        raise ForgetkitError("ids-empty", message, _brief(near) if near else None)


def read_attributes(path: str, row_of: Mapping[str, int]) -> dict[str, list[str | None]]:
    """Return the columns of a CSV file with a column ``id``: a value per training row, None where the file has none.

    Ids that are no training samples (those of a test split, for example) are ignored.

    Raises:
        ForgetkitError: ``attributes-missing`` or ``attributes-malformed``; names file and line.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            if "id" not in (reader.fieldnames or []):
                raise ForgetkitError("attributes-malformed", f"{path}:1: there is no column 'id'")
            names = [name for name in reader.fieldnames or [] if name != "id"]
            if len(set(reader.fieldnames or [])) < len(names) + 1:
                raise ForgetkitError("attributes-malformed", f"{path}:1: two columns have the same name")
            seen = set()
            columns: dict[str, list[str | None]] = {name: [None] * len(row_of) for name in names}
            for entry in reader:
                row = row_of.get((entry["id"] or "").strip())
                if row is None:
                    continue
                if row in seen:
                    raise ForgetkitError("attributes-malformed", f"{path}:{reader.line_num}: the id is repeated")
                seen.add(row)
                for name in names:
                    columns[name][row] = entry[name]
    except OSError as problem:
        raise ForgetkitError("attributes-missing", f"{path}: {problem.strerror or problem}") from problem
    except (UnicodeDecodeError, csv.Error) as problem:
        raise ForgetkitError("attributes-malformed", f"{path}: not a UTF-8 CSV file ({problem})") from problem
    return columns


def _brief(hint: str) -> str | None:
    """Return a hint, unless it lists every value of a column."""
    return None if hint.startswith("known:") else hint
