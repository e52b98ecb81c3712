"""A queue of requests, answered in one process: each by a step, a record and a file of its own.

The files are those of one command a request, each on the output of the one before. The data set is read once, and all
lists are checked before any work. After an interruption the same call goes on: what was written is up to date.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from forgetkit.data.deleted_rows import on_data
from forgetkit.data.of_checkpoint import dataset_of, in_training, keeping_data, leave_out, listed
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell, silent
from forgetkit.files.header import open_checkpoint, read_record
from forgetkit.files.id_digests import KeySet, forgotten_with
from forgetkit.files.publish import check_target
from forgetkit.request_book.book import Booking
from forgetkit.training.outputs import Written, output_path
from forgetkit.unlearning.step_options import Booked, QueueOptions, StepOptions

Answer = Callable[[str, StepOptions], Written | None]
"""Takes one step on the checkpoint at a path, with the options of one request."""


@dataclass(frozen=True)
class Queued:
    """A request that waits.

    Attributes:
        name: that of its list without folder and suffix; its name in a book, and ``{request}`` in ``--out``.
        ids: path of its list.
        number: from 1 on; ``{n}`` in ``--out``.
    """

    name: str
    ids: Path
    number: int

    def options(self, options: QueueOptions) -> QueueOptions:
        """Return the options of the queue as those of this request."""
        book, out = options.booked.book, options.output.out
        booked = Booked(self.name, book) if book else Booked()
        out = out and out.replace("{n}", str(self.number)).replace("{request}", self.name)
        return replace(
            options, ids=[str(self.ids)], requests=[], booked=booked, output=replace(options.output, out=out)
        )


def answer_queue(
    command: str, checkpoint: str, options: QueueOptions, answer: Answer, *, tell: Tell = silent
) -> Iterator[tuple[Queued, Written]]:
    """Answer the requests of a queue in turn, each on the output of the one before.

    Args:
        command: name of the step.
        checkpoint: path of the input.
        options: those of every step, and the requests.
        answer: takes a step.
        tell: receives what is done.

    Yields:
        each request, once it is answered, with what was written, or was there already; nothing in a dry run.

    Raises:
        ForgetkitError: for bad input, before any work; that of the step which failed: the requests before it are
            answered, and it names the request.
    """
    queue = _queue_of(options)
    with keeping_data():
        _check(command, checkpoint, options, queue, tell)
        for request in queue:
            place = f"request {request.number} of {len(queue)} ({request.name})"
            tell(Note(place))
            try:
                written = answer(checkpoint, request.options(options))
            except ForgetkitError as problem:
                problem.message = f"{place}: {problem.on_command_line}"
                problem.option = None
                raise
            if written is None:
                tell(Note(f"dry run: all {len(queue)} requests were checked"))
                return
            yield request, written
            checkpoint = str(written.path)


def _queue_of(options: QueueOptions) -> list[Queued]:
    """Return the requests in the order in which they are answered.

    Raises:
        ForgetkitError: ``usage``, or ``ids-missing`` for a folder without lists.
    """
    paths = [path for given in options.requests for path in _lists_in(given)]
    queue = [Queued(Path(path.name.removesuffix(".gz")).stem, path, n) for n, path in enumerate(paths, 1)]
    out, names = options.output.out or "{n}", [request.name for request in queue]
    if options.booked.request is not None:
        hint = "leave it out: the name of each list, without its suffix, is its request in the book"
        raise ForgetkitError("usage", "not with --requests", hint, option="request")
    if len(queue) > 1 and "{n}" not in out and "{request}" not in out:
        hint = "for example: -o answered/{n}.st, or -o answered/{request}.st for the name of the list"
        raise ForgetkitError("usage", f"{out} is one file for {len(queue)} requests", hint, option="out")
    by_name = options.booked.book or "{n}" not in out
    twice = next((one for at, one in enumerate(names) if one in names[:at]), None) if by_name else None
    if twice is not None:
        raise ForgetkitError("usage", f"two lists are named {twice}", "rename one of them", option="requests")
    return queue


def _lists_in(given: str) -> list[Path]:
    """Return an ID list, or those in a folder in the order of their names, without hidden files."""
    if given in {"", "-"}:
        hint = "name a file with one request, or a folder of them; --ids - reads a single one"
        raise ForgetkitError("usage", f"'{given}' names no file", hint, option="requests")
    if not Path(given).is_dir():
        return [Path(given)]
    found = sorted(path for path in Path(given).iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise ForgetkitError("ids-missing", f"{given}: no ID list in this folder", "put one list a request there")
    return found


def _check(command: str, checkpoint: str, options: QueueOptions, queue: list[Queued], tell: Tell) -> None:
    """Refuse lists and outputs that a later request would be refused for; raises ForgetkitError."""
    path, record = open_checkpoint(checkpoint)
    dataset = dataset_of(path, record, options.source, tell)
    record = on_data(record, dataset)
    read, book = [path, *(request.ids for request in queue)], options.booked.book
    for request in queue:
        ids = listed([str(request.ids)], options.form, dataset, silent, forgotten=record.forgotten)
        if book:
            Booking(Path(book), request.name).check(ids)
        wanted = leave_out(in_training(ids, dataset, silent), record, silent)
        if not wanted:
            continue
        record = replace(record, forgotten=forgotten_with(record.forgotten, wanted))
        path = output_path(path, command, request.options(options).output.out)
        force = options.output.force or _has_forgotten(path, record.forgotten)
        check_target(path, force=force, inputs=(*read, *([Path(book)] if book else [])))


def _has_forgotten(path: Path, forgotten: KeySet) -> bool:
    """Return whether a checkpoint, perhaps of an earlier run, has forgotten exactly these ids."""
    try:
        return read_record(path).forgotten.digest == forgotten.digest
    except ForgetkitError:
        return False
