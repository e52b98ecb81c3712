"""What a run says while it works. The library tells events; whoever called it prints, keeps or ignores them."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

INTERVAL = 0.05
"""Seconds between two :class:`Progress` events, at least."""


@dataclass(frozen=True)
class Note:
    """Something that a user who watches wants to know."""

    text: str


@dataclass(frozen=True)
class Warned:
    """Something that the user should know although the run goes on.

    Attributes:
        code: kebab-case cause, one of those in docs/formats.md.
        text: one sentence.
    """

    code: str
    text: str


@dataclass(frozen=True)
class Progress:
    """How far a loop has come: ``done`` of ``total`` items."""

    label: str
    done: int
    total: int


@dataclass(frozen=True)
class Measured:
    """The latest figures of a loop, such as the loss of an epoch."""

    text: str


@dataclass(frozen=True)
class Tried:
    """A setting that a step tried.

    Attributes:
        setting: in words, such as ``per-id at 0.001``.
        steps: how many steps it took.
        result: in words.
    """

    setting: str
    steps: int
    result: str


@dataclass(frozen=True)
class Changed:
    """What a step changed: its metrics, as the record has them, and the accuracy of a guess."""

    metrics: dict[str, Any]
    chance: float


@dataclass(frozen=True)
class Paused:
    """The run was interrupted and its state is kept: the same call goes on from there."""


@dataclass(frozen=True)
class Resumed:
    """The run goes on from the state of an interrupted one."""


Event = Note | Warned | Progress | Measured | Tried | Changed | Paused | Resumed
Tell = Callable[[Event], None]
"""What a run is given to tell its events to."""


def silent(_: Event) -> None:
    """Ignore an event."""


def progress(items: Iterable[T], label: str, total: int, tell: Tell) -> Iterator[T]:
    """Yield from ``items`` and tell how far they have come, at most twenty times a second."""
    told = 0.0
    try:
        for done, item in enumerate(items):
            if (now := time.monotonic()) - told >= INTERVAL:
                tell(Progress(label, done, total))
                told = now
            yield item
    finally:  # also where the caller stopped early
        tell(Progress(label, total, total))
