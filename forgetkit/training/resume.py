"""Resuming an interrupted run: its state is kept in a folder beside the output until the output is complete.

A run consists of parts, whose results are small, and of loops of steps. Randomness depends on seed, epoch and step
alone. So the results of the parts that ended, and weights, optimizer and position within a loop, are all that is needed
to end in the same bytes.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from forgetkit.errors import ForgetkitError
from forgetkit.events import Paused, Resumed, Tell, Warned, silent
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_header
from forgetkit.files.interrupts import asked_to_stop, at_last, deferring, stop
from forgetkit.files.lock import state_folder
from forgetkit.files.publish import claimed
from forgetkit.models.tensor_file import publish_tensors, read_tensors, tensor_digest

EVERY = 30.0
"""Seconds between two states at least."""
SHARE = 0.02
"""Largest share of the time of a run that is spent on its states."""
SPEED = 50e6
"""Bytes a second that writing is assumed to reach until the first state is written."""
KEPT = {"out-of-space", "output-unwritable", "output-busy"}
"""Errors after which a state is still worth resuming from."""


@dataclass(frozen=True)
class Place:
    """The position within a loop: what JSON can hold of it, and tensors by name."""

    at: dict[str, Any]
    tensors: dict[str, Tensor] = field(default_factory=dict)


class Bookmark:
    """Keeps and recalls the state of a run.

    Args:
        folder: where states are kept; None to keep nothing.
        asked: digest of what the run was asked to do; states of other runs are ignored.
        tell: receives a warning if no state can be kept.

    Attributes:
        log: entries of the log of epochs or evaluations; it is part of the states.
    """

    def __init__(self, folder: Path | None = None, asked: str = "", tell: Tell = silent) -> None:
        self.folder, self.asked, self.tell = folder, asked, tell
        self.log: list[dict[str, Any]] = []
        self.kept = 0
        self._parts: list[Any] = []
        self._replayed = self._saved = 0
        self._place: tuple[str, Place] | None = None
        self._begun = time.monotonic()
        self._next = self._begun + EVERY
        self._cost = 0.0

    def replay(self) -> Any:  # noqa: ANN401 - any JSON value
        """Return the result of the next part that an interrupted run completed; None if there is none."""
        if self._replayed == len(self._parts):
            return None
        self._replayed += 1
        return self._parts[self._replayed - 1]

    def record(self, result: object) -> None:
        """Keep the result, a JSON value other than None, of a part that has ended."""
        if self.folder is not None:
            self._parts.append(result)
            self._replayed = len(self._parts)
            self._keep_if_due("", lambda: Place({}))

    def once(self, part: Callable[[], Any]) -> Any:  # noqa: ANN401 - any JSON value
        """Return the result of ``part``, a JSON value other than None: an interrupted run's, or computed now."""
        found = self.replay()
        if found is None:
            found = part()
            self.record(found)
        return found

    def open(self, loop: str) -> Place | None:
        """Return the position of an interrupted run in the loop of that name, if it was in that loop."""
        if self._place is None or self._place[0] != loop or self._replayed != len(self._parts):
            return None
        place, self._place = self._place[1], None
        return place

    def reached(self, loop: str, place: Callable[[], Place]) -> None:
        """Keep the position if that is due; call it after each step.

        Raises:
            KeyboardInterrupt, SystemExit: if a signal asked to stop, after the position is kept.
        """
        stopping = self.folder is not None and asked_to_stop()
        self._keep_if_due(loop, place, now=stopping)
        if stopping:
            stop()

    def keep(self, loop: str, place: Callable[[], Place]) -> None:
        """Keep the position now: the run ends here."""
        self._keep_if_due(loop, place, now=True)

    def _keep_if_due(self, loop: str, place: Callable[[], Place], *, now: bool = False) -> None:
        if self.folder is None or (not now and time.monotonic() < self._next):
            return
        begun, kept = time.monotonic(), place()
        size = sum(tensor.nbytes for tensor in kept.tensors.values())
        if not self._cost:
            self._cost = size / SPEED
            self._next = self._begun + max(EVERY, self._cost / SHARE)
            if not now and begun < self._next:
                return
        content = {"asked": self.asked, "number": self.kept + 1, "loop": loop, "at": kept.at, "parts": self._parts}
        metadata = {
            "forgetkit-state": compact_json({**content, "log": self.log, "digest": tensor_digest(kept.tensors)})
        }
        try:
            publish_tensors(self.folder / f"{self.kept % 2}.st", kept.tensors, metadata)
            self.kept, self._saved = self.kept + 1, len(self._parts)
        except ForgetkitError as problem:
            self.tell(Warned("no-state", f"no state is kept to go on from: {problem.message}"))
            self.folder = None
        self._cost = time.monotonic() - begun
        self._next = begun + max(EVERY, self._cost / SHARE)

    def keep_parts(self) -> None:
        """Keep the results of parts that ended since the last state."""
        if len(self._parts) > self._saved:
            self._keep_if_due("", lambda: Place({}), now=True)

    def recall(self) -> bool:
        """Read the newest complete state of this run; return whether there is one."""
        states = [found for name in ("0.st", "1.st") if self.folder and (found := self._read(self.folder / name))]
        if not states:
            return False
        content, tensors = max(states, key=lambda state: state[0]["number"])
        self.kept, self.log[:], self._parts = content["number"], content["log"], content["parts"]
        self._saved = len(self._parts)
        self._place = (content["loop"], Place(content["at"], tensors)) if content["loop"] else None
        return True

    def _read(self, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        with suppress(ForgetkitError, SafetensorError, OSError, ValueError, KeyError, TypeError, RecursionError):
            content = json.loads(read_header(path)["__metadata__"]["forgetkit-state"])
            tensors = read_tensors(path)
            if content["asked"] == self.asked and content["digest"] == tensor_digest(tensors):
                return content, tensors
        return None


@contextmanager
def making(
    target: Path, beside: tuple[Path, ...], *, asked: str, force: bool, fresh: bool = False, tell: Tell = silent
) -> Iterator[Bookmark]:
    """Hold the locks of an output and of the files beside it while they are made; resume an interrupted run.

    Args:
        target: the output.
        beside: what is written beside it.
        asked: digest of what is asked.
        force: whether existing ones are replaced.
        fresh: start over.
        tell: receives an event if an interrupted run is resumed.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.publish.claimed`.
    """
    with (
        claimed((target, *beside), force=force, asked=asked),
        bookmarked(state_folder(target), asked, fresh, tell) as mark,
    ):
        yield mark


@contextmanager
def kept_beside(path: Path, asked: str, *, fresh: bool, tell: Tell = silent) -> Iterator[Bookmark]:
    """Keep and recall the state of a command that judges ``path`` and makes no file.

    Nothing is kept if no file can be made beside it, or if another process does the same.
    """
    place = path.with_name(f"{path.name}.audit")
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed((place,), force=True, asked=asked))
            mark = stack.enter_context(bookmarked(state_folder(place), asked, fresh, tell))
        except ForgetkitError:
            mark = Bookmark()
        yield mark


@contextmanager
def bookmarked(states: Path, asked: str, fresh: bool, tell: Tell = silent) -> Iterator[Bookmark]:
    """Keep states in a folder within ``states`` while an output is made, and remove them all when it is complete.

    A step and the retraining in its place make the same output; each keeps its own states.
    """
    mark = Bookmark(states / asked[:16], asked, tell)
    if fresh or not mark.recall():
        _remove(states, asked)
    else:
        tell(Resumed())

    def leave() -> None:
        """Keep what is complete, and tell how to go on."""
        mark.keep_parts()
        if mark.kept:
            tell(Paused())

    try:
        with at_last(leave), deferring():
            yield mark
    except (KeyboardInterrupt, SystemExit):
        leave()
        raise
    except ForgetkitError as problem:
        if problem.code not in KEPT:
            _remove(states, asked)
        raise
    shutil.rmtree(states, ignore_errors=True)


def _remove(states: Path, asked: str) -> None:
    shutil.rmtree(states / asked[:16], ignore_errors=True)
    with suppress(OSError):  # others are left
        states.rmdir()
