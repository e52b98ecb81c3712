"""The input of a step: its checkpoint, data set and ids, read and checked. Without torch."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.canaries import open_canaries
from forgetkit.data.dataset import Dataset
from forgetkit.data.deleted_rows import check_same_data, on_data
from forgetkit.data.of_checkpoint import dataset_of, in_training, leave_out, listed, nothing_left
from forgetkit.events import Tell, Warned
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_digests import KeySet, forgotten_with
from forgetkit.files.id_list import IdList, as_list
from forgetkit.files.id_list import Ids as Ids
from forgetkit.files.record import Record
from forgetkit.options import ResumableOutput
from forgetkit.request_book.book import Booking, OpenBooking, booking_of
from forgetkit.training.outputs import Written
from forgetkit.unlearning.step_options import StepOptions


@dataclass(frozen=True)
class Request:
    """The input of a step, read and checked.

    Attributes:
        path: the input checkpoint.
        record: its record.
        dataset: the data set it was trained on.
        ids: the ids to forget now, in the order of the request; what was forgotten before is left out.
        inputs: every file that was read for it; no output may replace one.
        booking: the request in a book that it answers, if any.
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

    def answer(self, path: Path, record: Record, output: ResumableOutput) -> None:
        """Enter a checkpoint that is on the disk into the book, if the request is in one; not in a dry run."""
        if self.booking and not output.dry_run:
            self.booking.answer(path, record, again=output.force)

    def check_retained(self) -> None:
        """Refuse a request that leaves nothing to train on: ForgetkitError, ``ids-empty``."""
        if len(self.retain_rows) == 0:
            raise nothing_left(self.path, self.record, self.dataset)


def open_teacher(text: str, request: Request) -> tuple[Path, Record]:
    """Return path and record of a teacher for the retain set of ``request``.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` for one trained on
            other data, or at another image size; ``ids-empty`` where no retained samples are left.
    """
    path, record = open_checkpoint(text)
    check_same_data(path, record, request.record, "teacher")
    request.check_retained()
    return path, record


def begin(
    command: str,
    checkpoint: str,
    options: StepOptions,
    *,
    ids: Ids | None = None,
    needs_ids: bool = True,
    answers: bool = True,
    tell: Tell,
) -> Request | Written:
    """Read and check the input of a step.

    Args:
        command: name of the step.
        checkpoint: path of the input.
        options: ID lists, where the data is, and the request in a book.
        ids: path of an ID list, or the ids themselves, instead of the ID lists in ``options``.
        answers: whether the step does all that a request in a book asks for.
        needs_ids: whether a step ends if no id is left to forget; otherwise it works on the retain set.
        tell: receives warnings about ids that are skipped.

    Returns:
        the request; if no id is left to forget, the checkpoint as it is.

    Raises:
        ForgetkitError: for each kind of bad input; nothing was computed or written.
    """
    booking = booking_of(options.booked.request, options.booked.book)
    if booking and not answers:
        booking = OpenBooking(booking.book, booking.request)
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, options.source, tell)
    record = on_data(record, dataset)
    lists: list[str | IdList] = [*(options.ids or [])] if ids is None else [as_list(ids)]
    given = listed(lists, options.form, dataset, tell, forgotten=record.forgotten)
    if booking:
        booking.check(given)
    given = in_training(given, dataset, tell)
    wanted = leave_out(given, record, tell)
    if needs_ids and not wanted:
        if booking and not options.output.dry_run:
            _enter(booking, path, record, given, tell)
        return Written(command, path, record, 0.0, state="nothing left")
    files = (Path(name) for name in lists if isinstance(name, str) and name != "-")
    request = Request(path, record, dataset, wanted, (path, *files, *((booking.book,) if booking else ())), booking)
    _ = request.forgotten  # raises, before any work, if the list is too long
    return request


def _enter(booking: Booking, path: Path, record: Record, ids: list[str], tell: Tell) -> None:
    """Enter a checkpoint that has forgotten the ids already; one that was never trained on them answers nothing."""
    if record.was_trained(ids).any():
        booking.answer(path, record)
        return
    text = f"request {booking.request} stays open: {path} was never trained on any of its ids"
    close = f"forgetkit requests close {booking.request} --reason TEXT --book {booking.book}"
    tell(Warned("request-pending", f"{text}; if no model was: {close}"))
