"""What a command was asked to do: its checkpoint, its data set and its ids, read and checked. Without torch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.console import Console
from forgetkit.data.dataset import Dataset
from forgetkit.data.find import find_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.ids import IdList, check_known, read_ids
from forgetkit.keys import KeySet
from forgetkit.options import ListForm, Source, data_root
from forgetkit.record import Record, read_record
from forgetkit.results import document


@dataclass(frozen=True)
class Request:
    """A step that was asked for, its input read and checked.

    Attributes:
        path: the input checkpoint.
        record: its record.
        dataset: the data set it was trained on.
        ids: the ids to forget now, in the order of the request; what was forgotten before is left out.
        inputs: every file that was read for it; no output may replace one.
    """

    path: Path
    record: Record
    dataset: Dataset
    ids: list[str]
    inputs: tuple[Path, ...]

    @cached_property
    def forgotten(self) -> KeySet:
        """Everything forgotten, this request included."""
        return self.record.forgotten | KeySet.of(self.ids, self.record.forgotten.salt)

    @cached_property
    def forget_rows(self) -> NDArray[np.int64]:
        """Training rows of ``ids``, in their order."""
        return np.array([self.dataset.train.row_of[id_] for id_ in self.ids], dtype=np.int64)

    @cached_property
    def all_forgotten_rows(self) -> NDArray[np.int64]:
        """Training rows of everything forgotten, this request included."""
        return np.flatnonzero(self.forgotten.contains(self.dataset.train.ids))

    @cached_property
    def retain_rows(self) -> NDArray[np.int64]:
        """Training rows that a step may draw from: trained, less everything forgotten."""
        ids = self.dataset.train.ids
        return np.flatnonzero(self.record.was_trained(ids) & ~self.forgotten.contains(ids))


def open_checkpoint(text: str) -> tuple[Path, Record]:
    """Return path and record of a checkpoint that was named on the command line.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    if not text:
        message = "no checkpoint given: the command before wrote none"
        raise ForgetkitError("checkpoint-missing", message, "look at what it printed on stderr")
    return Path(text), read_record(Path(text))


def open_teacher(text: str, request: Request) -> tuple[Path, Record]:
    """Return path and record of a teacher for the retain set of ``request``.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` for one trained on
            other data; ``ids-empty`` where no retained samples are left.
    """
    path, record = open_checkpoint(text)
    if record.dataset["fingerprint"] != request.dataset.fingerprint:
        raise ForgetkitError("checkpoint-mismatch", f"{path}: the teacher was trained on another data set")
    if len(request.retain_rows) == 0:
        raise ForgetkitError("ids-empty", "no retained samples are left to train on", "forget fewer ids")
    return path, record


def dataset_of(path: Path, record: Record, source: Source) -> Dataset:
    """Return the data set that the checkpoint was trained on.

    Raises:
        ForgetkitError: as :func:`forgetkit.data.find.find_dataset`.
    """
    name = source.dataset or record.dataset["name"]
    roots = [data_root(source), path.parent]
    dataset = find_dataset(name, record.dataset["fingerprint"], roots, download=source.download)
    if list(dataset.classes) != record.classes or list(dataset.shape) != record.input["shape"]:
        raise ForgetkitError("checkpoint-mismatch", f"{path}: classes or image shape are not those of {dataset.name}")
    return dataset


def read_lists(sources: list[str], form: ListForm, dataset: Dataset, console: Console) -> list[str]:
    """Return the ids of one or more ID lists, each once, checked against the training split.

    Raises:
        ForgetkitError: as :func:`forgetkit.ids.read_ids` and :func:`forgetkit.ids.check_known`.
    """
    lists = [read_ids(source, column=form.id_column, strict=form.strict) for source in sources]
    for found in lists:
        check_known(found, dataset.train.row_of, dataset.name)
        if found.duplicates:
            warn_duplicates(found, console)
    return list(dict.fromkeys(id_ for found in lists for id_ in found.lines))


def warn_duplicates(found: IdList, console: Console) -> None:
    """Say how many ids of a list stood there before."""
    count = len(found.duplicates)
    text = f"{found.source}:{found.duplicates[0]}: an id stands there twice ({count} in all); each counts once"
    console.warn("ids-duplicate", text)


def leave_out(ids: list[str], record: Record, console: Console) -> list[str]:
    """Return ``ids`` less those that are forgotten already or were never trained on, and say so."""
    forgotten, trained = record.forgotten.contains(ids), record.was_trained(ids)
    if forgotten.any():
        console.warn("ids-forgotten", f"{forgotten.sum()} of {len(ids)} ids are forgotten already and left out")
    if untrained := int((~trained & ~forgotten).sum()):
        console.warn("ids-untrained", f"{untrained} of {len(ids)} ids were never trained on and left out")
    return [id_ for id_, wanted in zip(ids, trained & ~forgotten, strict=True) if wanted]


def begin(
    command: str,
    checkpoint: str,
    lists: list[str],
    form: ListForm,
    *,
    source: Source,
    console: Console,
    needs_ids: bool = True,
) -> Request | None:
    """Read and check the input of a step; None where nothing is left to do, which is said and is a success.

    With ``needs_ids`` off, a step goes on although every id is left out: it works on the retain set.

    Raises:
        ForgetkitError: for each cause of bad input; nothing was computed or written.
    """
    console.note(f"{command}: reading {checkpoint}")
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, source)
    ids = leave_out(read_lists(lists, form, dataset, console), record, console)
    if needs_ids and not ids:
        console.note("nothing left to do")
        console.result([checkpoint], document(command, path, record, up_to_date=True))
        return None
    return Request(path, record, dataset, ids, (path, *(Path(name) for name in lists if name != "-")))
