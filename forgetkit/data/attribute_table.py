"""A table of attributes: a column ``id`` and further columns, matched with a data set. Without torch."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.events import Tell, Warned
from forgetkit.files.columns import Columns, Form, read_columns
from forgetkit.files.id_list import nearest_hint
from forgetkit.files.near_file import near_file

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Condition:
    """A column, and the values that are wanted of it.

    Attributes:
        column: name of the column.
        held: its value in each training row; None where there is none.
        values: the wanted values, in the order in which they were given, those of lists last.
        listed: number of values that came from lists, which messages do not name.
        unseen: its value in each row of the test split; None where there is none.
    """

    column: str
    held: Sequence[str | None]
    values: list[str]
    listed: int = 0
    unseen: Sequence[str | None] = ()

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
        unseen: the same for the rows of the test split.
        strange: rows of the table whose ids the data set does not have, counted from 0.
    """

    table: Columns
    columns: dict[str, list[str | None]]
    unseen: dict[str, list[str | None]]
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
        near = near_file(Path(path), [".csv", ".parquet"])
        hint = f"did you mean {near}?" if near else "name a table with a column id: --attributes FILE.csv"
        raise ForgetkitError("attributes-missing", f"{path}: {problem.strerror or problem}", hint) from problem
    table.need(["id"], "rename the one that has the ids")
    names = [name for name in table.texts if name != "id"]
    columns: dict[str, list[str | None]] = {name: [None] * len(dataset.train) for name in names}
    unseen: dict[str, list[str | None]] = {name: [None] * len(dataset.test) for name in names}
    seen, strange = set(), []
    for at, id_ in enumerate(table.texts["id"]):
        held, row = columns, dataset.train.row_of.get(id_)
        if row is None:
            held, row = unseen, dataset.held_out.get(id_)
        if row is None:
            strange.append(at)
            continue
        if id_ in seen:
            message = f"the id '{shorten(id_)}' is repeated"
            raise table.form.malformed(table.lines[at], message, "give each sample one row")
        seen.add(id_)
        for name, values in held.items():
            values[row] = table.texts[name][at]
    found = AttributeTable(table, columns, unseen, strange)
    if strange and len(strange) == len(table.lines):
        found.report(strange, "", dataset, None)
    return found
