"""Registries of models, data sets, methods and checks, and the plugins that add to them."""

import contextlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from forgetkit.errors import ForgetkitError, did_you_mean, shorten

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

DECORATORS = ("@register_model", "@register_dataset", "@register_method", "@register_check")
FAILURES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""What a function of a plugin may raise where it cannot do its work."""
F = TypeVar("F", bound=Callable[..., object])


class Registry(Generic[F]):
    """Functions by name; installed packages add to them with entry points of the group ``forgetkit.<kind>s``.

    Args:
        kind: what messages call an entry: ``model``, ``dataset``. An unknown name is a ``<kind>-unknown`` error.
        check: raises ForgetkitError for a function that could not be called; called with name and function.
    """

    def __init__(self, kind: str, check: Callable[[str, F], None] | None = None) -> None:
        self.kind = kind
        self._check = check
        self._entries: dict[str, F] = {}

    @overload
    def register(self, function: F, /) -> F:
        """Register a function under its own name."""

    @overload
    def register(self, name: str = ..., /) -> Callable[[F], F]:
        """Return a decorator that registers a function under ``name``, or under its own."""

    def register(self, *given: object) -> object:
        """Register a function: ``@register``, ``@register()`` or ``@register("name")`` above it.

        Without a name, it is registered under the function's own.

        Raises:
            ForgetkitError: ``plugin-malformed`` for any other argument, for what is not a function, for a function
                that the registry's check refuses, and where another function has that name.
        """
        if len(given) == 1 and callable(given[0]):
            return self._enter(getattr(given[0], "__name__", ""), given[0])
        name = given[0] if given else ""
        if len(given) > 1 or not isinstance(name, str) or (given and not name):
            raise self._refuse(*given, why="is neither a name nor a function")
        return lambda function: self._enter(name or getattr(function, "__name__", ""), function)

    def _enter(self, name: str, function: Any) -> F:  # noqa: ANN401 - whatever is decorated
        if not callable(function):
            raise self._refuse(function, why="is not a function")
        if name in {"", "<lambda>"}:
            raise self._refuse(function, why="has no name")
        if self._check:
            self._check(name, function)
        known = self._entries.get(name, function)
        if _identity(known) != _identity(function):
            message = f"two {self.kind}s are named '{name}': {defined_at(known)} and {defined_at(function)}"
            raise ForgetkitError("plugin-malformed", message, "give one of them another name")
        self._entries[name] = function
        _REGISTERED.append((self.kind, name))
        _FILES.pop((self.kind, name), None)
        return cast("F", function)

    def _refuse(self, *given: object, why: str) -> ForgetkitError:
        decorator = f"@register_{self.kind}"
        hint = f'write {decorator} or {decorator}("name") above a function'
        words = shorten(", ".join(map(repr, given)))
        return ForgetkitError("plugin-malformed", f"{decorator}: {words} {why}", hint)

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
        return self._enter(name, load_entry(installed[name]))

    def plugin_of(self, name: str) -> str | None:
        """Return the base name of the plugin file that registered ``name``; None where no plugin file did."""
        return _FILES.get((self.kind, name))

    def _installed(self) -> "dict[str, EntryPoint]":
        from importlib.metadata import entry_points

        return {entry.name: entry for entry in entry_points(group=f"forgetkit.{self.kind}s")}


def parameters_of(
    word: str, name: str, function: Callable[..., object], *, typed: bool
) -> Mapping[str, inspect.Parameter]:
    """Return the parameters, by name, of a function that a plugin registers.

    Args:
        word: what the function is, for messages: ``factory``, ``reader``.
        name: under which it is registered.
        function: to be called with the parameters that it names.
        typed: whether to evaluate annotations that are text.

    Raises:
        ForgetkitError: ``plugin-malformed`` where the signature cannot be read, or has ``*args`` or ``**kwargs``:
            which names these would accept is not known before the function runs.
    """
    try:
        parameters = inspect.signature(function, eval_str=typed).parameters
    except (NameError, TypeError, ValueError, SyntaxError, AttributeError) as problem:
        hint = "write plain annotations"
        raise malformed_plugin(word, name, f"its signature cannot be read: {problem}", hint) from problem
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            hint = "name each parameter: only named ones are passed"
            raise malformed_plugin(word, name, f"'{parameter}' is not an option with a name", hint)
    return parameters


def malformed_plugin(word: str, name: str, why: str, hint: str) -> ForgetkitError:
    """Return the error for a function (a ``word``) that is registered as ``name`` and cannot be used."""
    return ForgetkitError("plugin-malformed", f"the {word} of '{name}' cannot be used: {why}", hint)


def _identity(function: Callable[..., object]) -> tuple[str, str]:
    """Return what stays the same when the file of ``function`` is run again."""
    return function.__module__, getattr(function, "__qualname__", repr(function))


def defined_at(function: Callable[..., object]) -> str:
    """Return file and line where ``function`` is written, as far as they are known."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ".".join(_identity(function))


_LOADED: dict[Path, ModuleType] = {}
_REGISTERED: list[tuple[str, str]] = []
"""Kind and name of each registration so far; a plugin file that adds none is a mistake."""
_FILES: dict[tuple[str, str], str] = {}
"""Base name of the plugin file that registered a kind and name."""


def load_plugins(files: Iterable[str | Path]) -> None:
    """Run each of ``files``, once in a process; what it prints goes to stderr.

    Raises:
        ForgetkitError: ``plugin-missing``; ``plugin-malformed`` with the line that failed, or for a file that
            registers nothing.
    """
    for file in files:
        path = Path(os.path.expanduser(file)).resolve()
        if path not in _LOADED:
            before = len(_REGISTERED)
            module = _run(path, str(file))
            if len(_REGISTERED) == before:
                hint = f"write one of these above a function in it: {', '.join(DECORATORS)}"
                raise ForgetkitError("plugin-malformed", f"{path}: the plugin registers nothing", hint)
            _LOADED[path] = module
            _FILES.update(dict.fromkeys(_REGISTERED[before:], path.name))


def loaded_plugins() -> list[Path]:
    """Return the files that were loaded, so that another process can load them too."""
    return list(_LOADED)


def load_entry(entry: "EntryPoint") -> object:
    """Import what an entry point of an installed package names.

    Raises:
        ForgetkitError: ``plugin-malformed``.
    """
    package = entry.dist.name if entry.dist else entry.value
    with foreign(f"entry point '{entry.name}' of {package}", f"reinstall {package}, or ask its authors"):
        return entry.load()


def place_of(problem: BaseException, files: Collection[str] | None = None) -> str | None:
    """Return ``file:line`` of the innermost line of ``files`` (of all plugins if not given) that led to ``problem``."""
    files = {str(path) for path in _LOADED} if files is None else files
    if isinstance(problem, SyntaxError) and problem.filename in files:
        return f"{problem.filename}:{problem.lineno}"
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
    if str(path.parent) not in sys.path:  # last, so that a file beside a plugin hides no installed package
        sys.path.append(str(path.parent))
    sys.modules[module.__name__] = module  # dataclasses and annotations are resolved there
    try:
        with foreign(str(path), "correct the plugin; --debug shows the traceback"):
            exec(compile(source, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


@contextlib.contextmanager
def foreign(where: str, hint: str) -> Iterator[None]:
    """Run code that is not ours: whatever it raises becomes one line; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except ForgetkitError as problem:
        if where in problem.message:
            raise
        message = f"{problem.message} ({place_of(problem, {where}) or where})"
        raise ForgetkitError(problem.code, message, problem.hint) from problem
    except MemoryError:
        raise
    except (Exception, SystemExit) as problem:  # its code may raise anything
        words = " ".join(str(problem.msg if isinstance(problem, SyntaxError) else problem).split())
        message = f"{place_of(problem, {where}) or where}: {type(problem).__name__}: {words}"
        raise ForgetkitError("plugin-malformed", message, hint) from problem
