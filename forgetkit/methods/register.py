"""Methods from outside: a function that a plugin or an installed package registers is a full command. Without torch."""

import hashlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from forgetkit import methods
from forgetkit.errors import ForgetkitError
from forgetkit.registry import Registry

F = TypeVar("F", bound=Callable[..., object])
SETS = ("model", "forget", "retain")
OFFERED = ("optimizer", "seed", "keys", "classes", "untrained")
"""Keyword arguments that a method is given if its signature names them; all others are its options."""
TYPES = (int, float, str, bool)
FORM = '@register_method("shrink", paper="Author, Title, year")'


@dataclass(frozen=True)
class Parameter:
    """An option of a method: its name, type, default, and help."""

    name: str
    type: Any
    default: object
    help: str


@dataclass(frozen=True)
class OutsideMethod:
    """A registered method.

    Attributes:
        name: of the command.
        paper: whose method it is.
        function: ``(model, forget, retain, *, …)``; yields updates, or losses whose step is taken for it.
        options: its own options.
        onward: whether it goes too far at first and comes back, so that all its steps are taken.
    """

    name: str
    paper: str
    function: Callable[..., Any]
    options: tuple[Parameter, ...]
    onward: bool = False

    @property
    def help(self) -> str:
        """Help of the command: the docstring up to its sections, the paper, and an example."""
        text = re.split(r"\n\s*(?:Args|Returns|Yields|Raises|Source):", inspect.getdoc(self.function) or "")[0]
        return f"{text.strip() or self.name}\n\nSource: {self.paper}\n\nExamples:\n  {self.example}"

    @property
    def code(self) -> str:
        """SHA-256 of the file that defines it: a record with another one is of other code."""
        return hashlib.sha256(Path(self.function.__code__.co_filename).read_bytes()).hexdigest()

    @property
    def example(self) -> str:
        """A command line."""
        return f"forgetkit {self.name} model.st --ids ids.txt"


METHODS: Registry[Callable[..., Any]] = Registry("method")
_KNOWN: dict[str, OutsideMethod] = {}


def register_method(name: str, *, paper: str = "", onward: bool = False) -> Callable[[F], F]:
    """Return a decorator that makes a method a command of this name.

    The function takes the model, the forget set and the retain set, each set images and labels; then, by keyword, its
    own typed options with their defaults, and any of ``optimizer``, ``seed``, ``classes`` and ``untrained``. It yields
    the loss of each step, which is taken for it, or :class:`forgetkit.training.updates.Update`.

    Args:
        name: of the command, such as ``shrink``.
        paper: whose method it is; the help shows it.
        onward: whether it goes too far at first and comes back, so that all its steps are taken, and the best
            evaluation is kept; otherwise it stops as soon as the ids look like unseen samples.

    Raises:
        ForgetkitError: ``plugin-malformed`` for another form, a name that is taken, or a signature that does not fit.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ForgetkitError("plugin-malformed", f"register_method was given {name!r}, not a name", f"write {FORM}")
    if name.replace("-", "_") in {module.name for module in pkgutil.iter_modules(methods.__path__)}:
        message = f"there is a built-in method named '{name}'"
        raise ForgetkitError("plugin-malformed", message, "give yours another name")
    if not isinstance(paper, str) or not paper:
        raise ForgetkitError("plugin-malformed", f"method '{name}' names no paper", f"write {FORM}")

    def enter(function: F) -> F:
        """Register the function."""
        _KNOWN[name] = OutsideMethod(name, paper, function, _options(name, function), onward)
        METHODS.register(name)(function)
        return function

    return enter


def method_named(name: str) -> OutsideMethod:
    """Return a registered method; an installed package's is imported now.

    Raises:
        ForgetkitError: ``method-unknown``, or ``plugin-malformed``.
    """
    function = METHODS[name]
    if name not in _KNOWN:
        _KNOWN[name] = OutsideMethod(name, f"{function.__module__}", function, _options(name, function))
    return _KNOWN[name]


def _options(name: str, function: Callable[..., object]) -> tuple[Parameter, ...]:
    """Return the options of a method's function; raises ForgetkitError ``plugin-malformed``."""
    signature, hints = inspect.signature(function), get_type_hints(function)
    parameters = list(signature.parameters.values())
    if tuple(one.name for one in parameters[:3]) != SETS:
        message = f"method '{name}': its first parameters are not model, forget, retain"
        raise ForgetkitError("plugin-malformed", message, f"def {function.__name__}(model, forget, retain, *, …)")
    found = []
    for one in parameters[3:]:
        if one.name in OFFERED:
            continue
        kind = hints.get(one.name)
        if one.kind is not one.KEYWORD_ONLY or one.default is one.empty or kind not in TYPES:
            message = f"method '{name}': '{one.name}' is not a keyword option with a type and a default"
            types = "bool, int, float or str"
            raise ForgetkitError(
                "plugin-malformed", message, f"write it after *, typed {types}, for example: steps: int = 3"
            )
        found.append(Parameter(one.name, kind, one.default, _help_of(one.name, function)))
    return tuple(found)


def _help_of(name: str, function: Callable[..., object]) -> str:
    """Return what the docstring's ``Args`` say of a parameter."""
    match = re.search(rf"^\s+{name}: (.+)$", inspect.getdoc(function) or "", re.MULTILINE)
    text = match[1].strip() if match else "An option of this method."
    return f"{text[:1].upper()}{text[1:]}"
