"""What a command was asked to do: its checkpoint, its data set and its ids, read and checked. Without torch."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.canaries import open_canaries
from forgetkit.data.dataset import Dataset
from forgetkit.data.deleted_rows import on_data, same_data
from forgetkit.data.of_checkpoint import dataset_of, leave_out, read_lists
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_digests import KeySet, forgotten_with
from forgetkit.files.record import Record
from forgetkit.files.request_book import Booking
from forgetkit.options import Booked, ListForm, Source
from forgetkit.training.outputs import Written


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


def begin(
    command: str,
    checkpoint: str,
    lists: list[str],
    form: ListForm,
    *,
    source: Source,
    tell: Tell,
    dry_run: bool = False,
    needs_ids: bool = True,
    booked: Booked | None = None,
) -> Request | Written:
    """Read and check the input of a step; where no id is left to forget, return the checkpoint as it is.

    With ``needs_ids`` off, a step goes on although every id is left out: it works on the retain set.

    Raises:
        ForgetkitError: for each cause of bad input; nothing was computed or written.
    """
    booking = booking_of(booked) if booked else None
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, source, tell)
    record = on_data(record, dataset)
    given = read_lists(lists, form, dataset, tell, forgotten=record.forgotten)
    if booking:
        booking.check(given)
    ids = leave_out(given, record, tell)
    if needs_ids and not ids:
        if booking and not dry_run:
            booking.publish(command, record.digest)
        return Written(command, path, record, 0.0, state="nothing left")
    inputs = (path, *(Path(name) for name in lists if name != "-"), *((booking.book,) if booking else ()))
    request = Request(path, record, dataset, ids, inputs, booking)
    _ = request.forgotten  # raises, before any work, where it is too much
    return request


def booking_of(booked: Booked) -> Booking | None:
    """Return the request in a book that a step fulfils, if any.

    Raises:
        ForgetkitError: ``usage`` for a request without a book, or the other way round.
    """
    if (booked.request is None) != (booked.book is None):
        example = "for example: --request case-7 --book requests.db"
        raise ForgetkitError("usage", "--request and --book go together", example)
    return None if booked.request is None or booked.book is None else Booking(Path(booked.book), booked.request)
