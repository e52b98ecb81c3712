"""A dictionary of functions that explains itself when a name is missing."""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from forgetkit.errors import ForgetkitError

SHOWN = 20
"""Known names that a hint lists at most."""

F = TypeVar("F", bound=Callable[..., object])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` most likely means, or None."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown ``name``: the nearest known one, else what is known."""
    names = sorted(known)
    close = nearest(name, names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"did you mean '{close}'?" if close else f"known: {', '.join(names[:SHOWN])}{more}"


class Registry(Generic[F]):
    """Functions by name.

    Args:
        kind: the word for an entry in messages (``model``, ``dataset``); an unknown name
            has the cause ``<kind>-unknown``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, F] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Return a decorator that enters a function under ``name``."""

        def enter(function: F) -> F:
            self._entries[name] = function
            return function

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> F:
        if name not in self._entries:
            message = f"there is no {self.kind} named '{name}'"
            raise ForgetkitError(f"{self.kind}-unknown", message, did_you_mean(name, self._entries))
        return self._entries[name]
