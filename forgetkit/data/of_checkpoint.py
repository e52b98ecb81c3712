"""The data that a checkpoint was trained on, and ID lists checked against them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from forgetkit.data.canaries import as_trained
from forgetkit.data.dataset import Dataset, at_size
from forgetkit.data.deleted_rows import find_changed
from forgetkit.data.find import find_dataset
from forgetkit.data.listing import SizesDiffer
from forgetkit.data.open import data_root, open_dataset
from forgetkit.data.readers.table import columns_of
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, Warned, silent
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import IdList, check_known, read_ids
from forgetkit.files.record import Record
from forgetkit.options import ListForm, Source

_KEPT: ContextVar[dict[tuple[object, ...], Dataset] | None] = ContextVar("kept", default=None)
"""The data sets that :func:`keeping_data` keeps, by name, fingerprint, settings, and classes."""


def dataset_of(path: Path, record: Record, source: Source, tell: Tell = silent) -> Dataset:
    """Return the data set that a checkpoint was trained on, as its model saw it: :func:`.canaries.as_trained`.

    With ``source.dataset_changed`` it is the rest of that data set, with another fingerprint.

    Raises:
        ForgetkitError: as :func:`find_dataset`, :func:`forgetkit.data.canaries.open_canaries` and
            :func:`forgetkit.data.deleted_rows.accept_changed`; ``usage`` for another ``--unseen`` than the record's.
    """
    name = source.dataset or record.dataset["name"]
    roots = [data_root(source.data_root), path.parent]
    options = record.dataset["options"]
    if columns := columns_of(source.column):
        options = {**options, "columns": {**options.get("columns", {}), **columns}}
    unseen = options.get("unseen")
    if source.unseen is not None and source.unseen != unseen:
        said = "the test split of the data set" if unseen is None else f"--unseen {unseen}"
        raise ForgetkitError("usage", f"--unseen: {path} was trained with {said}", "leave the option out")
    if source.dataset_changed:
        dataset = find_changed(name, record, roots, options=options, tell=tell)
    else:
        dataset = _found(name, record, roots, options=options, download=source.download, tell=tell)
    if list(dataset.classes) != record.classes or list(dataset.shape) != record.data_shape:
        raise ForgetkitError("checkpoint-mismatch", f"{path}: classes or image shape are not those of {dataset.name}")
    return as_trained(dataset, record)


@contextmanager
def keeping_data() -> Iterator[None]:
    """Keep, within this context, each data set that is found for a checkpoint: later ones need not read it again."""
    if _KEPT.get() is not None:  # an outer context keeps them
        yield
        return
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def _found(
    name: str, record: Record, roots: list[Path], *, options: dict[str, Any], download: bool, tell: Tell
) -> Dataset:
    """Return the data set of ``record``; raises as :func:`find_dataset`."""
    kept = _KEPT.get()
    fingerprint, classes = record.dataset["fingerprint"], record.classes
    key = (name, fingerprint, compact_json(options), *classes)
    if kept is None or key not in kept:
        found = find_dataset(name, fingerprint, roots, download=download, options=options, classes=classes, tell=tell)
        if kept is None:
            return found
        kept[key] = found
    return kept[key]


def dataset_named(name: str, source: Source, tell: Tell = silent, *, image_size: int | None = None) -> Dataset:
    """Return a data set that no checkpoint names, for a model that sees its images at ``image_size``, if given.

    Images in files that have different sizes are cropped to that size as they are read.

    Raises:
        ForgetkitError: as :func:`open_dataset`; ``usage`` for ``source.dataset_changed``.
    """
    if source.dataset_changed:
        hint = "name the checkpoint that was trained on the data"
        raise ForgetkitError("usage", "--dataset-changed is given, but no checkpoint", hint)
    root = data_root(source.data_root)
    columns = columns_of(source.column)
    read = partial(open_dataset, name, root, download=source.download, unseen=source.unseen, columns=columns, tell=tell)
    try:
        dataset = read()
    except SizesDiffer:
        if image_size is None:
            raise
        dataset = read(image_size=image_size)
    return at_size(dataset, None if image_size is None else (image_size, image_size))


def read_lists(
    sources: Iterable[str | IdList], form: ListForm, dataset: Dataset, tell: Tell, *, forgotten: KeySet | None = None
) -> list[str]:
    """Return the unique ids of ID lists, named or read already, that are in the training split; see :func:`listed`.

    Ids of the test split are left out, with a warning: no model was trained on them.
    """
    return in_training(listed(sources, form, dataset, tell, forgotten=forgotten), dataset, tell)


def listed(
    sources: Iterable[str | IdList], form: ListForm, dataset: Dataset, tell: Tell, *, forgotten: KeySet | None = None
) -> list[str]:
    """Return the unique ids of ID lists, named or read already, checked against both splits.

    Ids that are ``forgotten`` and no longer in the data are left out, with a warning.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.id_list.read_ids` and :func:`forgetkit.files.id_list.check_known`.
    """
    lists = [
        read_ids(source, column=form.id_column, strict=form.strict) if isinstance(source, str) else source
        for source in sources
    ]
    for at, found in enumerate(lists):
        lists[at] = found = _without_gone(found, forgotten, dataset, tell) if forgotten else found
        check_known(found, dataset.train.row_of, dataset.name, unseen=dataset.held_out)
        if found.duplicates:
            warn_duplicates(found, tell)
    return list(dict.fromkeys(id_ for found in lists for id_ in found.lines))


def in_training(ids: list[str], dataset: Dataset, tell: Tell) -> list[str]:
    """Return ``ids`` without those of the test split, and warn of these."""
    kept = [id_ for id_ in ids if id_ in dataset.train.row_of]
    warn_held_out(len(ids) - len(kept), len(ids), tell)
    return kept


def warn_held_out(unseen: int, asked: int, tell: Tell) -> None:
    """Warn that ``unseen`` of the ids that are ``asked`` for are in the test split, if there are any."""
    if unseen:
        text = f"{unseen} of {asked} ids are left out: they are in the test split, on which no model was trained"
        tell(Warned("ids-untrained", text))


def _without_gone(found: IdList, forgotten: KeySet, dataset: Dataset, tell: Tell) -> IdList:
    """Return a list without the forgotten ids that are no longer in the data."""
    unknown = [id_ for id_ in found.lines if id_ not in dataset.train.row_of and id_ not in dataset.held_out]
    gone = {id_ for id_, known in zip(unknown, forgotten.contains(unknown), strict=True) if known}
    if gone:
        text = f"{len(gone)} of {len(found.lines)} ids are left out: forgotten already, and no longer in the data"
        tell(Warned("ids-forgotten", text))
    return replace(found, lines={id_: line for id_, line in found.lines.items() if id_ not in gone})


def nothing_left(path: Path, record: Record, dataset: Dataset) -> ForgetkitError:
    """Return the refusal of a step on a checkpoint after which no sample would be left to train on: ``ids-empty``.

    It says whether these ids leave nothing, or nothing was left before.
    """
    if record.retains(dataset.train.ids).any():
        message = f"with these ids, everything that {path} was trained on is forgotten: no samples are left to train on"
        return ForgetkitError("ids-empty", message, "forget fewer ids, or delete the model")
    message = f"everything that {path} was trained on has been forgotten: no samples are left to train on"
    hint = "delete the model; a new one needs other samples: forgetkit train --dataset NAME -o NEW.st"
    return ForgetkitError("ids-empty", message, hint)


def warn_duplicates(found: IdList, tell: Tell) -> None:
    """Warn of ids that a list has more than once."""
    count = len(found.duplicates)
    text = f"{found.source}:{found.duplicates[0]}: an id is listed twice ({count} in all); each counts once"
    tell(Warned("ids-duplicate", text))


def leave_out(ids: list[str], record: Record, tell: Tell) -> list[str]:
    """Return ``ids`` without those that are forgotten already or were never trained on, and warn of these."""
    forgotten, trained = record.forgotten.contains(ids), record.was_trained(ids)
    if forgotten.any():
        tell(Warned("ids-forgotten", f"{forgotten.sum()} of {len(ids)} ids are left out: they are forgotten already"))
    if untrained := int((~trained & ~forgotten).sum()):
        tell(Warned("ids-untrained", f"{untrained} of {len(ids)} ids are left out: they were never trained on"))
    return [id_ for id_, wanted in zip(ids, trained & ~forgotten, strict=True) if wanted]
