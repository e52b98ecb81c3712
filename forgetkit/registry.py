"""Registries of models, data sets, methods and checks, and the plugins that add to them. No checkpoint names one."""

import contextlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from forgetkit.errors import ForgetkitError

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


_LOADED: dict[Path, ModuleType] = {}


def load_plugins(files: Iterable[Path]) -> None:
    """Run each of ``files``, once in a process; what it prints goes to stderr.

    Raises:
        ForgetkitError: ``plugin-missing``; ``plugin-malformed`` with the line that failed.
    """
    for file in files:
        path = Path(file).resolve()
        if path not in _LOADED:
            _LOADED[path] = _run(path, str(file))


def loaded_plugins() -> list[Path]:
    """Return the files that were loaded, for another process to load them too."""
    return list(_LOADED)


def load_entry(entry: "EntryPoint") -> object:
    """Import what an installed package offers under an entry point.

    Raises:
        ForgetkitError: ``plugin-malformed``.
    """
    package = entry.dist.name if entry.dist else entry.value
    with _foreign(f"entry point '{entry.name}' of {package}", f"reinstall {package}, or ask its authors"):
        return entry.load()


def place_of(problem: BaseException) -> str | None:
    """Return ``file:line`` of the innermost line of a plugin that led to ``problem``, if there is one."""
    files = {str(path) for path in _LOADED}
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None


def _run(path: Path, name: str) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as problem:
        hint = "name a Python file: --plugin my_model.py"
        raise ForgetkitError("plugin-missing", f"{name}: {problem.strerror}", hint) from problem
    module = ModuleType(f"forgetkit plugin {path}")
    module.__file__ = str(path)
    if str(path.parent) not in sys.path:  # last: what stands beside a plugin hides nothing that is installed
        sys.path.append(str(path.parent))
    sys.modules[module.__name__] = module  # dataclasses and annotations look there
    try:
        with _foreign(str(path), "correct the plugin; --debug shows the traceback"):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


@contextlib.contextmanager
def _foreign(where: str, hint: str) -> Iterator[None]:
    """Run code that is not ours: whatever it raises becomes one line; what it prints is no result."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (ForgetkitError, MemoryError):
        raise
    except (Exception, SystemExit) as problem:  # its code may raise anything
        line = _line_of(problem, where)
        words = " ".join(str(problem.msg if isinstance(problem, SyntaxError) else problem).split())
        message = f"{where}{line}: {type(problem).__name__}: {words}"
        raise ForgetkitError("plugin-malformed", message, hint) from problem


def _line_of(problem: BaseException, path: str) -> str:
    """Return ``:line`` of the innermost line of ``path`` that led to ``problem``."""
    if isinstance(problem, SyntaxError) and problem.filename == path:
        return f":{problem.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == path]
    return f":{lines[-1]}" if lines else ""
