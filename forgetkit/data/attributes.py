"""Attribute columns of a data set or a table, and the samples that have a value in one. Without torch."""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.events import Tell, Warned, silent
from forgetkit.files.columns import Columns, Form, read_columns
from forgetkit.files.id_list import IdList, nearest_hint, read_ids
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

    @property
    def named(self) -> list[str]:
        """The wanted values that messages name."""
        return self.values[: len(self.values) - self.listed]

    def says(self, offered: Mask) -> Iterator[str]:
        """Yield in words how many of the ``offered`` samples have each value; values from lists are summed up."""
        held = Counter(value for value, here in zip(self.held, offered.tolist(), strict=True) if here)
        yield from (f"{self.column}={shorten(value)}: {held[value]} ids" for value in self.named)
        if counts := sorted(held[value] for value in self.values[len(self.named) :]):
            each = f"{counts[0]} to {counts[-1]} ids each" if len(counts) > 1 else "in the file"
            yield f"{self.column}: {len(counts)} more values from files, {each}, {sum(counts)} in all"


@dataclass(frozen=True)
class AttributeTable:
    """A table of attributes, matched with a data set.

    Attributes:
        table: what was read.
        columns: the wanted columns: a value per training row, None where the table has none.
        strange: rows of the table whose ids the data set does not have, counted from 0.
    """

    table: Columns
    columns: dict[str, list[str | None]]
    strange: list[int]

    @property
    def names(self) -> list[str]:
        """The attributes that the table has."""
        return [name for name in self.table.header if name != "id"]

    def check(self, condition: Condition, dataset: Dataset, tell: Tell) -> None:
        """Warn of rows that have a wanted value, but whose ids the data set does not have.

        Raises:
            ForgetkitError: ``ids-unknown`` where all rows with one of the values are such rows.
        """
        held, wanted = self.table.texts[condition.column], set(condition.values)
        if not (lost := [row for row in self.strange if held[row] in wanted]):
            return
        counts = Counter(held[row] for row in lost)
        which = [f"{condition.column}={shorten(value)}: {counts[value]}" for value in condition.named if counts[value]]
        which += [f"values from files: {rest}"] if (rest := len(lost) - sum(counts[v] for v in condition.named)) else []
        self.report(lost, f" ({', '.join(which)})", dataset, tell if counts.keys() <= {*condition.held} else None)

    def report(self, lost: list[int], which: str, dataset: Dataset, tell: Tell | None) -> None:
        """Warn of rows whose ids the data set does not have; raises ForgetkitError ``ids-unknown`` without ``tell``."""
        id_ = self.table.texts["id"][lost[0]]
        text = f"{self.table.place(lost[0])}: '{shorten(id_)}' is not an id of {dataset.name}"
        count = f"{len(lost)} of {rows}" if len(lost) < (rows := len(self.table.lines)) else f"all {rows}"
        hint = nearest_hint(id_, list(dataset.train.ids))
        if tell is None:
            raise ForgetkitError("ids-unknown", f"{text}; rows like it: {count}{which}", hint)
        tell(Warned("ids-unknown", f"{text}; rows like it, which choose nothing: {count}{which}; {hint}"))


def conditions_of(
    dataset: Dataset,
    where: Mapping[str, str | Iterable[str | IdList]],
    table: str | None = None,
    tell: Tell = silent,
) -> list[Condition]:
    """Return a condition for each column of ``where``.

    Args:
        dataset: with the attribute columns.
        where: columns, and the value or values wanted of each; a list has one value per line.
        table: path of a table with a column ``id`` and further attribute columns.
        tell: warned of rows of the table that have a wanted value, but an id that the data set does not have.

    Raises:
        ForgetkitError: ``usage`` for a column that does not exist, or a table of which none is wanted; ``ids-empty``
            for a value that no sample has; and what :func:`read_attributes` raises.
    """
    columns: dict[str, Sequence[str | None]] = dict(dataset.attributes)
    read = None if table is None else read_attributes(table, dataset, where)
    columns |= read.columns if read else {}
    found = []
    for column, values in where.items():
        named, listed = _values(values)
        if column not in columns:
            message, hint = _no_column(dataset, read, column)
            raise ForgetkitError("usage", f"{'--where' if named else '--where-file'}: {message}", hint)
        condition = Condition(column, columns[column], list({**named, **listed}), len(listed.keys() - named.keys()))
        if read and column in read.columns:
            read.check(condition, dataset, tell)
        known = set(columns[column]) - {None}
        for value, place in [*named.items(), *listed.items()]:
            _check_value(place, column, value, known)
        found.append(condition)
    if read and not read.columns.keys() & where.keys():
        message, hint = f"no --where names a column of {table}", f"its columns: {shorten(', '.join(read.names))}"
        raise ForgetkitError("usage", message, hint, option="attributes")
    return found


def column_of(dataset: Dataset, column: str, table: str | None = None, tell: Tell = silent) -> list[str]:
    """Return a column that groups the training samples: the value of each; without one, a sample is its own group.

    Args:
        dataset: with the attribute columns.
        column: name of the column.
        table: path of a table with a column ``id`` that has the column, if the data set has not.
        tell: warned of rows of the table that have an id that the data set does not have.

    Raises:
        ForgetkitError: ``usage`` for a column that does not exist; and what :func:`read_attributes` raises.
    """
    columns: dict[str, Sequence[str | None]] = dict(dataset.attributes)
    read = None if table is None else read_attributes(table, dataset, [column])
    columns |= read.columns if read else {}
    if column not in columns:
        raise ForgetkitError("usage", *_no_column(dataset, read, column), option="shadow_group")
    if read and read.strange and column in read.columns:
        read.report(read.strange, "", dataset, tell)
    held = zip(columns[column], dataset.train.ids, strict=True)
    return [f"id {id_}" if value is None else f"{column}={value}" for value, id_ in held]


def _no_column(dataset: Dataset, read: AttributeTable | None, column: str) -> tuple[str, str]:
    """Return message and hint for a column that does not exist."""
    known = [*dataset.attributes, *(read.names if read else ())]
    hint = did_you_mean(column, known) if known else "give a table that has it: --attributes FILE.csv"
    return f"there is no column '{shorten(column)}'", hint


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
        found.setdefault(column, []).append(read_ids(os.path.expanduser(file)))
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


def read_attributes(path: str, dataset: Dataset, wanted: Collection[str]) -> AttributeTable:
    """Read those of the ``wanted`` columns that a table with a column ``id`` has.

    Raises:
        ForgetkitError: ``attributes-missing`` or ``attributes-malformed``; names file and line. ``ids-unknown`` where
            the data set has none of its ids.
    """
    try:
        with Path(path).open("rb") as stream:
            table = read_columns(Form(path, "attributes-malformed", only={"id", *wanted}), stream)
    except OSError as problem:
        hint = "name a table with a column id: --attributes FILE.csv"
        raise ForgetkitError("attributes-missing", f"{path}: {problem.strerror or problem}", hint) from problem
    table.need(["id"], "rename the one that has the ids")
    train, test = dataset.train.row_of, dataset.test.row_of
    columns: dict[str, list[str | None]] = {name: [None] * len(train) for name in table.texts if name != "id"}
    seen, strange = set(), []
    for at, id_ in enumerate(table.texts["id"]):
        row = train.get(id_)
        if row in seen:
            message = f"the id '{shorten(id_)}' is repeated"
            raise table.form.malformed(table.lines[at], message, "give each sample one row")
        if row is not None:
            seen.add(row)
            for name, values in columns.items():
                values[row] = table.texts[name][at]
        elif id_ not in test:
            strange.append(at)
    found = AttributeTable(table, columns, strange)
    if strange and len(strange) == len(table.lines):
        found.report(strange, "", dataset, None)
    return found


def _brief(hint: str) -> str | None:
    """Return a hint, unless it lists every value of a column."""
    return None if hint.startswith("known:") else hint
