"""Plugins: Python files and installed packages that register models and data sets. No checkpoint can name one."""

import contextlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from forgetkit.errors import ForgetkitError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

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
