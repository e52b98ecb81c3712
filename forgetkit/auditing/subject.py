"""The subject of an audit: the model, the samples in question, the original, the references; read and checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.canaries import Canaries, open_canaries
from forgetkit.data.dataset import Dataset
from forgetkit.data.deleted_rows import check_same_data, on_data, same_data
from forgetkit.data.duplicates import warn_of_unseen
from forgetkit.data.of_checkpoint import dataset_of, read_lists, warn_held_out
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, Warned
from forgetkit.files.header import checkpoint_files, open_checkpoint
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import IdList
from forgetkit.files.lineage import SHORT
from forgetkit.files.record import Record
from forgetkit.options import ListForm, Source
from forgetkit.training.recipe import without_machine

Rows = NDArray[np.int64]
Opened = tuple[Path, Record]
"""Path and record of a checkpoint."""


@dataclass(frozen=True)
class Subject:
    """The model under audit and the samples in question.

    Attributes:
        path: the checkpoint.
        record: its record.
        dataset: the data it was trained on.
        rows: training rows in question.
        earlier: training rows forgotten before, if the audit is about others.
        named: whether the record names every row in question as forgotten.
        canaries: those that the model was trained with, if any; none of the rows is one.
    """

    path: Path
    record: Record
    dataset: Dataset
    rows: Rows
    earlier: Rows
    named: bool
    canaries: Canaries | None

    @property
    def size(self) -> str:
        """Number of ids, and of canaries, in words."""
        return f"{len(self.rows)} ids" + (f" and {len(self.canaries)} canaries" if self.canaries else "")

    @property
    def retain_rows(self) -> Rows:
        """Training rows that the model may know: all except those forgotten or in question, and canaries."""
        kept = self.record.retains(self.dataset.train.ids)
        kept[self.rows] = False
        if self.canaries:
            kept[self.canaries.rows] = False
        return np.flatnonzero(kept)


def subject_of(
    checkpoint: str, lists: Sequence[str | IdList] | KeySet, form: ListForm, *, source: Source, tell: Tell
) -> Subject:
    """Read and check what an audit is about.

    Args:
        checkpoint: the model under audit.
        lists: ID lists, or the paths of some, or digests of the ids; none for every id that the record names as
            forgotten.
        form: how lists are to be read.
        source: where the data is.
        tell: told what is left out.

    Raises:
        ForgetkitError: ``ids-empty`` if neither lists nor record name an id; for the others see
            :func:`forgetkit.files.header.open_checkpoint` and :mod:`forgetkit.data.of_checkpoint`.
    """
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, source, tell)
    warn_of_unseen(dataset, tell)
    record = on_data(record, dataset)
    trained = record.was_trained(dataset.train.ids)
    forgotten = np.flatnonzero(record.forgotten.contains(dataset.train.ids) & trained)
    if gone := len(record.forgotten) - int(record.forgotten.contains(dataset.train.ids).sum()):
        text = (
            f"{gone} of {len(record.forgotten)} forgotten ids are no longer in the data; the audit does not cover them"
        )
        tell(Warned("ids-gone", text))
    if not lists:
        if gone and len(forgotten) == 0:
            raise _all_gone(path)
        if len(forgotten) == 0:
            message = f"{path}: the record names no forgotten ids, and none were given"
            raise ForgetkitError("ids-empty", message, "name them with --ids")
        return _subject(path, record, dataset, forgotten, forgotten[:0], named=True)
    if isinstance(lists, KeySet):
        ids = dataset.train.ids_at(np.flatnonzero(lists.contains(dataset.train.ids)))
        warn_held_out(unseen := int(lists.contains(list(dataset.held_out)).sum()), len(lists), tell)
        if not ids and not unseen:
            raise _all_gone(path)
    else:
        ids = read_lists(lists, form, dataset, tell, forgotten=record.forgotten)
    trained = record.was_trained(ids)
    if untrained := int((~trained).sum()):
        tell(Warned("ids-untrained", f"{untrained} of {len(ids)} ids were never trained on and are left out"))
    ids = [id_ for id_, kept in zip(ids, trained, strict=True) if kept]
    if not ids:
        raise ForgetkitError("ids-empty", "none of the ids was ever trained on: there is nothing to audit")
    rows = np.array(sorted(dataset.train.row_of[id_] for id_ in ids), dtype=np.int64)
    named = bool(record.forgotten.contains(ids).all())
    return _subject(path, record, dataset, rows, np.setdiff1d(forgotten, rows), named=named)


def _all_gone(path: Path) -> ForgetkitError:
    """Return the error for ids that cannot be audited, since they were deleted."""
    message = f"{path}: all forgotten ids are gone from the data, so they cannot be audited"
    return ForgetkitError("ids-empty", message, "audit before you delete the rows, or on a copy of the data")


def _subject(path: Path, record: Record, dataset: Dataset, rows: Rows, earlier: Rows, *, named: bool) -> Subject:
    """Return the subject, with its canaries separated from the other rows."""
    canaries = open_canaries(record, dataset)
    if canaries:
        rows, earlier = (np.setdiff1d(part, canaries.rows) for part in (rows, earlier))
    return Subject(path, record, dataset, rows, earlier, named, canaries)


def open_original(name: str, subject: Subject) -> Opened:
    """Return path and record of the original.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` for one that cannot be
            the control: of other data, or without the samples in question.
    """
    path, record = open_checkpoint(name)
    check_same_data(path, record, subject.record, "original")
    ids = subject.dataset.train.ids_at(subject.rows)
    known, trained = record.retains(ids), record.was_trained(ids)
    if known.all():
        return path, record
    forgot, never = int((trained & ~known).sum()), int((~trained).sum())
    message = f"{name}: of the {len(ids)} ids in question it forgot {forgot} and never saw {never}"
    raise ForgetkitError("checkpoint-mismatch", message, _which_original(subject.record, record, int(known.sum())))


def _which_original(record: Record, given: Record, known: int) -> str:
    """Return which original to give instead of one that was trained on ``known`` ids only."""
    before = record.original
    trained_once = bool(record.unlearning) and record.unlearning[0].parent == before
    if before is not None and trained_once and before != given.digest:
        return f"give the model that this one was before it forgot anything: sha256:{before[:SHORT]}"
    if known:
        few = f"audit the {known} ids that it knows apart, with --ids"
        return f"{few}, and the others with --ids and the model that was trained on them"
    return "--original is the model that was trained on them; audit ids of different trainings apart, each with --ids"


def open_references(names: list[str], subject: Subject, tell: Tell) -> list[Opened]:
    """Return path and record of each reference; a folder stands for all ``.st`` files in it.

    A reference trained by another recipe than the model under audit is left out, with a warning.

    Raises:
        ForgetkitError: ``checkpoint-missing`` for an empty folder, ``checkpoint-mismatch`` for a model of other data,
            one that was trained on some of the ids, or the same model twice.
    """
    ids = subject.dataset.train.ids_at(subject.rows)
    opened: dict[str, Opened] = {}
    for path in (path for name in names for path in checkpoint_files(name)):
        record = open_checkpoint(str(path))[1]
        check_same_data(path, record, subject.record, "reference")
        if trained := int(record.retains(ids).sum()):
            message = f"{path}: it was trained on {trained} of the ids in question, so it is no reference"
            raise ForgetkitError("checkpoint-mismatch", message, "make one with: forgetkit train --like … --exclude …")
        if record.digest in opened or record.digest == subject.record.digest:
            message = f"{path}: the same model is given twice"
            raise ForgetkitError("checkpoint-mismatch", message, "leave one of them out; a copy is no second reference")
        if not same_recipe(record, subject.record):
            tell(Warned("other-recipe", f"{path}: trained by another recipe, or not from scratch; left out"))
        else:
            opened[record.digest] = (path, record)
    return list(opened.values())


def descends(record: Record, original: Record) -> bool:
    """Say whether a model descends from the original, or was trained from scratch by its recipe."""
    return any(step.parent == original.digest for step in record.steps) or same_recipe(record, original)


def same_recipe(record: Record, original: Record) -> bool:
    """Say whether a model was last trained by the original's recipe and on its data: from scratch, or its new head."""
    trainings = [step for step in record.steps if step.command == "train"]
    same = _training(record) == _training(original) and same_data(record, original)
    return bool(trainings) and trainings[-1].parent == original.new_head and same


def _training(record: Record) -> dict[str, object]:
    """Return model and recipe."""
    recipe = without_machine(record.recipe)
    return {"model": record.model["name"], "model_options": record.model["options"], "recipe": recipe}
