"""What a command was asked to do: its checkpoint, its data set and its ids, read and checked. Without torch."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.canaries import as_trained, open_canaries
from forgetkit.console import Console
from forgetkit.data.changed import find_changed, on_data, same_data
from forgetkit.data.dataset import Dataset
from forgetkit.data.find import find_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_digests import KeySet, forgotten_with
from forgetkit.files.id_list import IdList, check_known, read_ids
from forgetkit.files.record import Record
from forgetkit.files.request_book import Booking
from forgetkit.options import ListForm, Source, data_root
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
        booking: the request in a book that it fulfils, if any.
    """

    path: Path
    record: Record
    dataset: Dataset
    ids: list[str]
    inputs: tuple[Path, ...]
    booking: Booking | None = None

    @cached_property
    def forgotten(self) -> KeySet:
        """Everything forgotten, this request included."""
        return forgotten_with(self.record.forgotten, self.ids)

    @cached_property
    def forget_rows(self) -> NDArray[np.int64]:
        """Training rows of ``ids``, in their order."""
        return np.array([self.dataset.train.row_of[id_] for id_ in self.ids], dtype=np.int64)

    @cached_property
    def all_forgotten_rows(self) -> NDArray[np.int64]:
        """Training rows of everything forgotten, this request included."""
        return np.flatnonzero(self.forgotten.contains(self.dataset.train.ids))

    @property
    def with_all_forgotten(self) -> "Request":
        """The same, with everything that was forgotten before as part of what is to be forgotten now."""
        return replace(self, ids=self.dataset.train.ids_at(self.all_forgotten_rows))

    @cached_property
    def retain_rows(self) -> NDArray[np.int64]:
        """Training rows that a step may draw from: trained, less everything forgotten."""
        ids = self.dataset.train.ids
        return np.flatnonzero(self.record.was_trained(ids) & ~self.forgotten.contains(ids))

    @cached_property
    def measured_rows(self) -> NDArray[np.int64]:
        """Training rows of ``ids`` less canaries, in their order: what membership is measured on."""
        canaries = open_canaries(self.record, self.dataset)
        return self.forget_rows if canaries is None else self.forget_rows[~np.isin(self.forget_rows, canaries.rows)]

    def check_retained(self) -> None:
        """Refuse a request that leaves nothing to train on: ForgetkitError, ``ids-empty``."""
        if len(self.retain_rows) == 0:
            raise ForgetkitError("ids-empty", "no retained samples are left to train on", "forget fewer ids")


def open_teacher(text: str, request: Request) -> tuple[Path, Record]:
    """Return path and record of a teacher for the retain set of ``request``.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` for one trained on
            other data; ``ids-empty`` where no retained samples are left.
    """
    path, record = open_checkpoint(text)
    if not same_data(record, request.record):
        raise ForgetkitError("checkpoint-mismatch", f"{path}: the teacher was trained on another data set")
    request.check_retained()
    return path, record


def dataset_of(path: Path, record: Record, source: Source, console: Console | None = None) -> Dataset:
    """Return the data set that the checkpoint was trained on; its canaries carry the labels they were trained with.

    With ``--dataset-changed`` it is what is left of that data set, and has another fingerprint.

    Raises:
        ForgetkitError: as :func:`forgetkit.data.find.find_dataset`, :func:`forgetkit.canaries.open_canaries` and
            :func:`forgetkit.data.changed.accept_changed`; ``usage`` for another ``--unseen`` than the recorded one.
    """
    name = source.dataset or record.dataset["name"]
    roots = [data_root(source), path.parent]
    unseen = record.dataset["options"].get("unseen")
    if source.unseen is not None and source.unseen != unseen:
        said = "a test split of its own" if unseen is None else f"--unseen {unseen}"
        raise ForgetkitError("usage", f"--unseen: {path} was trained with {said}", "leave the option out")
    if source.dataset_changed:
        dataset = find_changed(name, record, roots, unseen=unseen, console=console)
    else:
        dataset = find_dataset(
            name,
            record.dataset["fingerprint"],
            roots,
            download=source.download,
            unseen=unseen,
            classes=record.classes,
            console=console,
        )
    if list(dataset.classes) != record.classes or list(dataset.shape) != record.input["shape"]:
        raise ForgetkitError("checkpoint-mismatch", f"{path}: classes or image shape are not those of {dataset.name}")
    return as_trained(dataset, record)


def read_lists(
    sources: list[str], form: ListForm, dataset: Dataset, console: Console, *, forgotten: KeySet | None = None
) -> list[str]:
    """Return the ids of one or more ID lists, each once, checked against the training split.

    Those that are ``forgotten`` and no longer in the data are left out, with a warning.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.id_list.read_ids` and :func:`forgetkit.files.id_list.check_known`.
    """
    lists = [read_ids(source, column=form.id_column, strict=form.strict) for source in sources]
    for at, found in enumerate(lists):
        lists[at] = found = _without_gone(found, forgotten, dataset, console) if forgotten else found
        check_known(found, dataset.train.row_of, dataset.name, unseen=dataset.test.row_of)
        if found.duplicates:
            warn_duplicates(found, console)
    return list(dict.fromkeys(id_ for found in lists for id_ in found.lines))


def _without_gone(found: IdList, forgotten: KeySet, dataset: Dataset, console: Console) -> IdList:
    """Return a list less the forgotten ids that were taken out of the data."""
    unknown = [id_ for id_ in found.lines if id_ not in dataset.train.row_of]
    gone = {id_ for id_, known in zip(unknown, forgotten.contains(unknown), strict=True) if known}
    if gone:
        text = f"{len(gone)} of {len(found.lines)} ids are forgotten already, no longer in the data, and left out"
        console.warn("ids-forgotten", text)
    return replace(found, lines={id_: line for id_, line in found.lines.items() if id_ not in gone})


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
    booking: Booking | None = None,
) -> Request | None:
    """Read and check the input of a step; None where nothing is left to do, which is said and is a success.

    With ``needs_ids`` off, a step goes on although every id is left out: it works on the retain set.

    Raises:
        ForgetkitError: for each cause of bad input; nothing was computed or written.
    """
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, source, console)
    record = on_data(record, dataset)
    given = read_lists(lists, form, dataset, console, forgotten=record.forgotten)
    if booking:
        booking.check(given)
    ids = leave_out(given, record, console)
    if needs_ids and not ids:
        if booking and not console.dry_run:
            booking.publish(command, record.digest)
        console.note("nothing left to do")
        console.result([checkpoint], document(command, path, record, up_to_date=True))
        return None
    inputs = (path, *(Path(name) for name in lists if name != "-"), *((booking.book,) if booking else ()))
    request = Request(path, record, dataset, ids, inputs, booking)
    _ = request.forgotten  # raises, before any work, where it is too much
    return request
