"""A dictionary of functions that explains itself when a name is missing."""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from forgetkit.errors import ForgetkitError
from forgetkit.plugins import load_entry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
    """Functions by name; installed packages add to them with entry points of the group ``forgetkit.<kind>s``.

    Args:
        kind: the word for an entry in messages (``model``, ``dataset``); an unknown name
            has the cause ``<kind>-unknown``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, F] = {}

    def register(self, name: str) -> Callable[[F], F]:
        """Return a decorator that enters a function under ``name``.

        The decorator raises ForgetkitError ``plugin-malformed`` where another function has that name.
        """

        def enter(function: F) -> F:
            known = self._entries.get(name, function)
            if _identity(known) != _identity(function):
                message = f"two {self.kind}s are named '{name}': {_place(known)} and {_place(function)}"
                raise ForgetkitError("plugin-malformed", message, "give one of them another name")
            self._entries[name] = function
            return function

        return enter

    def __iter__(self) -> Iterator[str]:
        return iter({**self._entries, **self._installed()})

    def __contains__(self, name: str) -> bool:
        return name in self._entries or name in self._installed()

    def __getitem__(self, name: str) -> F:
        if name in self._entries:
            return self._entries[name]
        installed = self._installed()
        if name not in installed:
            message = f"there is no {self.kind} named '{name}'"
            raise ForgetkitError(f"{self.kind}-unknown", message, did_you_mean(name, [*self._entries, *installed]))
        return self.register(name)(cast("F", load_entry(installed[name])))

    def _installed(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=f"forgetkit.{self.kind}s")}


def _identity(function: Callable[..., object]) -> tuple[str, str]:
    """Return what stays the same when the file of ``function`` is run again."""
    return function.__module__, getattr(function, "__qualname__", repr(function))


def _place(function: Callable[..., object]) -> str:
    """Return file and line where ``function`` is written, as far as they are known."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ".".join(_identity(function))
