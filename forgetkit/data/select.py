"""Choosing ids: by class, by attribute, by list, then by a draw. Without torch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from math import floor
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.attributes import conditions_of, tell_matches, with_attributes
from forgetkit.data.canaries import open_canaries
from forgetkit.data.dataset import Dataset, Split
from forgetkit.data.duplicates import with_copies
from forgetkit.data.of_checkpoint import dataset_named, dataset_of, leave_out, read_lists
from forgetkit.errors import ForgetkitError, did_you_mean, shorten
from forgetkit.events import Note, Tell, silent
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_list import IdList, draw, ids_of, read_ids
from forgetkit.files.record import Record
from forgetkit.options import ListForm, Source, choice

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
COPIES = ("add", "warn", "ignore")
Mask = NDArray[np.bool_]
Ids = str | Path | Iterable[str | IdList]
"""An ID list: a file of one (``-`` is stdin), ids, or lists that :func:`forgetkit.files.id_list.read_ids` returned."""
Where = Mapping[str, str | Iterable[str | IdList]]
"""Attribute columns, and the values that are wanted of each, or lists of values: ``{"writer": ["w1", "w2"]}``."""


def forget_ids(
    source: str | Path,
    *,
    classes: str | int | Iterable[str | int] = (),
    where: Where = MappingProxyType({}),
    attributes: str | Path | None = None,
    ids: Ids | None = None,
    intersect: Ids | None = None,
    minus: Ids | None = None,
    count: int | None = None,
    fraction: float | None = None,
    canaries: bool = False,
    with_duplicates: str = "warn",
    near_duplicates: bool = False,
    seed: int = 0,
    data: Source = Source(),  # noqa: B008 - it is frozen
    tell: Tell = silent,
) -> list[str]:
    """Choose training samples to forget; return their ids, sorted.

    Different choosers mean all of them; then ``intersect``, ``minus``, and last the draw of ``count`` or ``fraction``,
    which is stable: a smaller draw with the same seed is part of a larger one.

    Args:
        source: a checkpoint (a path, or text that ends in .st), to choose from its retain set; or a data set's name.
        classes: names, or indices where no name is a number; any of them.
        where: attribute columns and values; any value of a column, all columns.
        attributes: table, CSV or parquet, with a column ``id`` and further columns for ``where``.
        ids: any of these.
        intersect: keep only these.
        minus: remove these.
        count: how many to draw.
        fraction: share to draw, in (0, 1].
        canaries: add the canaries that the training included; ``seed`` is that of their training.
        with_duplicates: ``add``, ``warn`` of or ``ignore`` exact copies of chosen images among the other samples.
        near_duplicates: count images with nearly the same average hash as copies.
        seed: of the draw.
        data: where the data are, if the record does not lead there.
        tell: told notes and warnings.

    Raises:
        ForgetkitError: ``usage``, ``ids-empty``, and what reading the checkpoint, the data or a list raises.
    """
    table = None if attributes is None else str(attributes)
    lists = (_lists("ids", ids), _lists("intersect", intersect), _lists("minus", minus))
    chooser = _Chooser(_names(classes), where, table, lists, count, fraction, seed)
    chooser.check(canaries=canaries)
    _check_copies(with_duplicates, near=near_duplicates)
    record, dataset = _opened(source, data, tell)
    retained = record.retains(dataset.train.ids) if record else np.ones(len(dataset.train), dtype=bool)
    added = _canaries(record, dataset, seed, source) & retained if canaries else np.zeros_like(retained)
    chosen = chooser.rows(record, dataset, retained, tell, added=added)
    if with_duplicates != "ignore":
        chosen = with_copies(chosen, retained, dataset, add=with_duplicates == "add", near=near_duplicates, tell=tell)
    found = sorted(dataset.train.ids_at(np.flatnonzero(chosen)))
    words = f"{len(found)} ids of {dataset.name}" + (f", {added.sum()} of them canaries" if added.any() else "")
    tell(Note(f"forget-ids: {words if found else 'nothing left to do'}"))
    return found


@dataclass(frozen=True)
class _Chooser:
    """What chooses; the fields are those of :func:`forget_ids`, and ``lists`` those to choose, keep and remove."""

    classes: list[str]
    where: Where
    attributes: str | None
    lists: tuple[list[IdList], list[IdList], list[IdList]]
    count: int | None
    fraction: float | None
    seed: int

    @property
    def chooses(self) -> bool:
        """Whether there is a chooser."""
        drawn = self.count is not None or self.fraction is not None
        return bool(self.classes or self.where or self.lists[0] or drawn)

    def check(self, *, canaries: bool) -> None:
        """Refuse choosers that choose nothing or do not go together; raises ForgetkitError ``usage``."""
        if not self.chooses and not canaries:
            hint = "give --class, --where, --ids, --count, --fraction or --canaries"
            raise ForgetkitError("usage", "nothing chooses the ids", hint)
        if not self.chooses and any(self.lists[1:]):
            message = "--intersect and --minus narrow down what other options choose; --canaries comes after them"
            raise ForgetkitError("usage", message, "also give --class, --where, --ids, --count or --fraction")
        if self.count is not None and self.fraction is not None:
            raise ForgetkitError("usage", "--count and --fraction are both given", "give one of them")
        if self.attributes is not None and not self.where:
            raise ForgetkitError("usage", "--attributes is given, but no --where", "for example: --where writer=w2154")

    def rows(self, record: Record | None, dataset: Dataset, retained: Mask, tell: Tell, *, added: Mask) -> Mask:
        """Return which training samples are chosen: of the ``retained`` ones, and all that are ``added``.

        Raises:
            ForgetkitError: ``ids-empty`` where none is left; not where all that is listed is forgotten already.
        """
        train, (ids, intersect, minus) = dataset.train, self.lists
        listed = partial(_listed, record=record, dataset=dataset, tell=tell)
        chosen = listed(ids) if ids else np.full(len(train), self.chooses)
        asked = train.ids_at(np.flatnonzero(chosen))
        done = bool(record and ids and not leave_out(asked, record, tell))
        if self.classes:
            chosen &= in_classes(dataset, self.classes, tell)
        if self.where:
            conditions = conditions_of(dataset, self.where, self.attributes, tell)
            tell_matches(conditions, chosen, dataset, tell, aside=not ids and not intersect)
            chosen &= with_attributes(len(train), conditions)
        if intersect:
            chosen &= listed(intersect)
        if minus:
            chosen &= ~listed(minus)
        gone = int((chosen & ~retained).sum())
        if gone and not ids:
            text = f"{gone} of {int(chosen.sum())} matching samples are forgotten already or were never trained on"
            tell(Note(f"forget-ids: {text}"))
        chosen &= retained & ~added
        if not chosen.any() and not added.any() and not done:
            hint = "they are forgotten already or were never trained on" if gone else "give fewer conditions"
            raise ForgetkitError("ids-empty", "no training sample is left to choose", hint)
        return drawn_of(chosen, train, count=self.count, fraction=self.fraction, seed=self.seed) | added


def _names(classes: str | int | Iterable[str | int]) -> list[str]:
    return [str(one) for one in ([classes] if isinstance(classes, str | int) else classes)]


def _lists(name: str, given: Ids | None) -> list[IdList]:
    """Return the lists that are given, read; ids that are given as they are become one list of this name."""
    if given is None:
        return []
    if isinstance(given, str | Path):
        return [read_ids(str(given))]
    items = list(given)
    lists, ids = [one for one in items if isinstance(one, IdList)], [one for one in items if isinstance(one, str)]
    return [*lists, ids_of(name, ids)] if ids or not lists else lists


def _listed(lists: list[IdList], record: Record | None, dataset: Dataset, tell: Tell) -> Mask:
    """Say for each training sample whether a list names it."""
    mask: Mask = np.zeros(len(dataset.train), dtype=bool)
    ids = read_lists(lists, ListForm(), dataset, tell, forgotten=record.forgotten if record else None)
    mask[[dataset.train.row_of[id_] for id_ in ids]] = True
    return mask


def _check_copies(what: str, *, near: bool) -> None:
    choice("--with-duplicates", what, COPIES)
    if near and what == "ignore":
        message = "--near-duplicates does not go with --with-duplicates ignore"
        raise ForgetkitError("usage", message, "choose warn or add")


def _opened(source: str | Path, data: Source, tell: Tell) -> tuple[Record | None, Dataset]:
    """Return the record of a checkpoint, None for a data set, and the data to choose from."""
    if isinstance(source, Path) or source.endswith(".st"):
        path, record = open_checkpoint(str(source))
        return record, dataset_of(path, record, data, tell)
    return None, dataset_named(source, data, tell)


def _canaries(record: Record | None, dataset: Dataset, seed: int, source: str | Path) -> Mask:
    """Say for each training sample whether it is an included canary; ``seed`` must reproduce the committed draws."""
    found = open_canaries(record, dataset, seed) if record else None
    if found is None:
        hint = "only a training adds canaries: forgetkit train --canaries M"
        raise ForgetkitError("usage", f"--canaries: {source} has none", hint)
    return np.isin(np.arange(len(dataset.train)), found.included_rows)


def in_classes(dataset: Dataset, names: list[str], tell: Tell = silent) -> Mask:
    """Say for each training sample whether it is of one of the classes, given by name, or index if no name is a number.

    Raises:
        ForgetkitError: ``usage`` for a class that the data set does not have.
    """
    classes = dataset.classes
    index = {name: row for row, name in enumerate(classes)}
    if not any(_NUMBER.fullmatch(name) for name in classes):
        index |= {str(row): row for row in range(len(classes))}
    for name in names:
        if name not in index:
            message = f"{dataset.name} has no class '{shorten(name)}'"
            raise ForgetkitError("usage", message, did_you_mean(name, classes, "its classes", quoted=True))
        if name not in classes:
            tell(Note(f"forget-ids: class {name} is '{shorten(classes[index[name]])}'"))
    return np.isin(dataset.train.labels, [index[name] for name in names])


def drawn(ids: list[str], *, count: int | None, fraction: float | None, seed: int) -> list[str]:
    """Draw ``count`` ids, or a ``fraction`` of them (rounded, at least one); without either, return all.

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
        raise ForgetkitError("usage", f"--count: {count} ids wanted, {len(ids)} are there", "draw fewer")
    return draw(ids, count, seed)


def drawn_of(chosen: Mask, train: Split, *, count: int | None, fraction: float | None, seed: int) -> Mask:
    """Say for each sample whether it is ``chosen`` and in the draw; see :func:`drawn`."""
    rows = np.flatnonzero(chosen)
    ids = train.ids_at(rows)
    left = set(drawn(ids, count=count, fraction=fraction, seed=seed))
    mask: Mask = np.zeros(len(chosen), dtype=bool)
    mask[rows[[id_ in left for id_ in ids]]] = True
    return mask
