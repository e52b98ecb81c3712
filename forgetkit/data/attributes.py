"""Attribute columns of a data set or a table, and the samples that have a value in one. Without torch."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.attribute_table import AttributeTable, Condition, read_attributes
from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError, did_you_mean, shorten
from forgetkit.events import Note, Tell, Warned, silent
from forgetkit.files.id_list import IdList, read_ids

Mask = NDArray[np.bool_]


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
    unseen: dict[str, Sequence[str | None]] = dict(dataset.test_attributes)
    read = None if table is None else read_attributes(table, dataset, where)
    columns |= read.columns if read else {}
    unseen |= read.unseen if read else {}
    found = []
    for column, values in where.items():
        named, listed = _values(values)
        if column not in columns:
            message, hint = _no_column(dataset, read, column)
            raise ForgetkitError("usage", f"{'--where' if named else '--where-file'}: {message}", hint)
        condition = Condition(
            column,
            columns[column],
            list({**named, **listed}),
            len(listed.keys() - named.keys()),
            unseen.get(column, [None] * len(dataset.test)),
        )
        if read and column in read.columns:
            read.check(condition, dataset, tell)
        known = set(columns[column]) - {None}
        for value, place in [*named.items(), *listed.items()]:
            _check_value(place, column, value, known, condition.unseen.count(value))
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


def with_attributes(rows: int, conditions: Sequence[Condition], *, unseen: bool = False) -> Mask:
    """Say for each of ``rows`` training samples, or ``unseen`` ones, whether it has a wanted value in every column."""
    mask: Mask = np.ones(rows, dtype=bool)
    for condition in conditions:
        values = set(condition.values)
        mask &= np.array([held in values for held in (condition.unseen if unseen else condition.held)], dtype=bool)
    return mask


def tell_matches(conditions: Sequence[Condition], offered: Mask, dataset: Dataset, tell: Tell, *, aside: bool) -> None:
    """Tell how many samples have the wanted values, and warn of those in the test split.

    Args:
        conditions: what is wanted.
        offered: which training samples can be chosen.
        dataset: that has them.
        tell: told.
        aside: whether samples of the test split count, if they are of a class that is offered.
    """
    for text in (text for condition in conditions for text in condition.says(offered)):
        tell(Note(f"forget-ids: {text}"))
    unseen = with_attributes(len(dataset.test), conditions, unseen=True)
    if aside and (count := int((unseen & np.isin(dataset.test.labels, dataset.train.labels[offered])).sum())):
        text = f"matching samples in the test split: {count}; they are not chosen, as no model was trained on them"
        tell(Warned("ids-untrained", text))


def _check_value(place: str, column: str, value: str, known: Collection[str | None], unseen: int) -> None:
    """Refuse a value that no training sample has; ``unseen`` samples of the test split have it."""
    if value not in known:
        if unseen:
            message = f"{place}: {column}={shorten(value)}: its samples, {unseen}, are all in the test split"
            raise ForgetkitError("ids-empty", message, "no model was trained on them: there is nothing to forget")
        message = f"{place}: no training sample has {column}={shorten(value)}"
        near = did_you_mean(value, [held for held in known if held is not None]) if len(known) <= 10_000 else None
        raise ForgetkitError("ids-empty", message, _brief(near) if near else None)


def _brief(hint: str) -> str | None:
    """Return a hint, unless it lists every value of a column."""
    return None if hint.startswith("known:") else hint
