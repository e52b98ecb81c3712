"""What an audit is about: the model, the samples in question, the original, the references; read and checked."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.audit.checks import same_recipe
from forgetkit.console import Console
from forgetkit.data.dataset import Dataset
from forgetkit.errors import ForgetkitError
from forgetkit.options import ListForm, Source
from forgetkit.record import Record
from forgetkit.request import dataset_of, open_checkpoint, read_lists

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Subject:
    """The model under audit and the samples in question.

    Attributes:
        path: the checkpoint.
        record: its record.
        dataset: the data it was trained on.
        rows: training rows in question.
        earlier: training rows forgotten before, where the question is about others.
        named: whether the record names all of ``rows`` as forgotten.
    """

    path: Path
    record: Record
    dataset: Dataset
    rows: Rows
    earlier: Rows
    named: bool

    @property
    def retain_rows(self) -> Rows:
        """Training rows that the model may know: trained, less everything forgotten or in question."""
        kept = self.record.retains(self.dataset.train.ids)
        kept[self.rows] = False
        return np.flatnonzero(kept)


def subject_of(checkpoint: str, lists: list[str], form: ListForm, *, source: Source, console: Console) -> Subject:
    """Read and check what an audit is about.

    Raises:
        ForgetkitError: ``ids-empty`` where neither lists nor record name an id; else as for a step.
    """
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, source)
    trained = record.was_trained(dataset.train.ids)
    forgotten = np.flatnonzero(record.forgotten.contains(dataset.train.ids) & trained)
    if not lists:
        if len(forgotten) == 0:
            message = f"{path}: the record names no forgotten ids, and none were given"
            raise ForgetkitError("ids-empty", message, "name them with --ids")
        return Subject(path, record, dataset, forgotten, forgotten[:0], named=True)
    ids = read_lists(lists, form, dataset, console)
    trained = record.was_trained(ids)
    if untrained := int((~trained).sum()):
        console.warn("ids-untrained", f"{untrained} of {len(ids)} ids were never trained on and left out")
    ids = [id_ for id_, kept in zip(ids, trained, strict=True) if kept]
    if not ids:
        raise ForgetkitError("ids-empty", "none of the ids was ever trained on: there is nothing to audit")
    rows = np.array(sorted(dataset.train.row_of[id_] for id_ in ids), dtype=np.int64)
    named = bool(record.forgotten.contains(ids).all())
    return Subject(path, record, dataset, rows, np.setdiff1d(forgotten, rows), named)


def check_original(subject: Subject, record: Record, name: str) -> None:
    """Refuse an original that cannot be the control: of other data, or without the samples in question.

    Raises:
        ForgetkitError: ``checkpoint-mismatch``.
    """
    if record.dataset["fingerprint"] != subject.record.dataset["fingerprint"]:
        raise ForgetkitError("checkpoint-mismatch", f"{name}: the original was trained on another data set")
    ids = subject.dataset.train.ids_at(subject.rows)
    if not record.retains(ids).all():
        message = f"{name}: it forgot, or never saw, some of the ids in question"
        raise ForgetkitError("checkpoint-mismatch", message, "--original is the model that was trained on them")


def open_references(names: list[str], subject: Subject, console: Console) -> list[tuple[Path, Record]]:
    """Return path and record of each reference; a folder stands for all ``.st`` files in it.

    One that was trained by another recipe than the model under audit is left out, with a warning.

    Raises:
        ForgetkitError: ``checkpoint-missing`` for an empty folder, ``checkpoint-mismatch`` for a model of other data,
            one that was trained on some of the ids, or the same model twice.
    """
    ids = subject.dataset.train.ids_at(subject.rows)
    opened: dict[str, tuple[Path, Record]] = {}
    for path in (path for name in names for path in _files(name)):
        record = open_checkpoint(str(path))[1]
        if record.dataset["fingerprint"] != subject.record.dataset["fingerprint"]:
            raise ForgetkitError("checkpoint-mismatch", f"{path}: the reference was trained on another data set")
        if trained := int(record.retains(ids).sum()):
            message = f"{path}: it was trained on {trained} of the ids in question, so it is no reference"
            raise ForgetkitError("checkpoint-mismatch", message, "make one with: forgetkit train --like … --exclude …")
        if record.digest in opened or record.digest == subject.record.digest:
            raise ForgetkitError("checkpoint-mismatch", f"{path}: the same model is given twice")
        if not same_recipe(record, subject.record):
            console.warn("other-recipe", f"{path}: trained by another recipe, or not from nothing; left out")
        else:
            opened[record.digest] = (path, record)
    return list(opened.values())


def _files(name: str) -> list[Path]:
    """Return the checkpoints that a file or folder name stands for."""
    path = Path(name)
    if not name or not path.is_dir():
        return [path] if name else [open_checkpoint(name)[0]]
    files = sorted(file for file in path.glob("*.st") if not file.name.endswith(".optimizer.st"))
    if not files:
        raise ForgetkitError("checkpoint-missing", f"{path}: no .st file in this folder")
    return files
