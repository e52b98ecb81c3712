"""Groups of options: a command takes a plain dataclass as one parameter; each of its fields becomes an option."""

import functools
import inspect
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

from forgetkit.cli.completion import offer_of
from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError, is_text, shorten
from forgetkit.options import Argument, Compute, DataPlace, Plugins, ResumableOutput, Say
from forgetkit.registry import load_plugins

C = TypeVar("C", bound=Callable[..., None])
PATHS = {"CHECKPOINT", "DIR", "FILE", "FILE-or-FOLDER", "FOLDER", "PATH", "PLAN", "WEIGHTS"}
"""Placeholders of values that are paths."""
READ = ("checkpoint", "scores", "weights", "like", "from_", "dataset")
"""Parameters that name what a command reads, the most specific first."""


def requires(*names: str) -> Callable[[C], C]:
    """Return a decorator for a command that cannot do without these options of its groups."""

    def mark(command: C) -> C:
        """Mark the command."""
        command.required = names  # type: ignore[attr-defined]
        return command

    return mark


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with each parameter that is a group of options replaced by one parameter for each field."""
    required = getattr(command, "required", ())
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _laid_out(groups[name], required)
        else:
            parameters.append(parameter.replace(annotation=_for_typer(name, hints[name])))
    paths = [one.name for one in parameters if _placeholder(one.annotation) in PATHS]

    @functools.wraps(command)
    def flat(**values: Any) -> None:  # noqa: ANN401 - whatever the options hold
        """Pack the values into the groups and call the command."""
        values |= {name: expand_home(values[name]) for name in paths}
        subject = next((values[name] for name in READ if values.get(name)), None)
        _check_values(values)
        _check_text({name: value for name, value in values.items() if name not in {*paths, "dataset", "where_file"}})
        packed = {name: _packed(kind, values) for name, kind in groups.items()}
        given = [part for group in packed.values() for part in _parts(group)]
        _say_first_words(command.__name__, subject, given)
        for part in given:
            if isinstance(part, ResumableOutput) and (part.out or "").endswith("/"):
                raise ForgetkitError("usage", f"--out: {part.out} is a folder", f"name a file: {part.out}model.st")
            if isinstance(part, DataPlace):
                part.check()
            if isinstance(part, DataPlace | Plugins):
                load_plugins(part.plugin or [])
        command(**values, **packed)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del flat.__wrapped__
    return flat


def _laid_out(group: Any, required: tuple[str, ...]) -> list[inspect.Parameter]:  # noqa: ANN401 - a dataclass
    """Return a parameter for each field of a group, and of the groups within it."""
    kinds, parameters = get_type_hints(group, include_extras=True), []
    for entry in fields(group):
        if is_dataclass(kinds[entry.name]):
            parameters += _laid_out(kinds[entry.name], required)
            continue
        default: object = inspect.Parameter.empty if entry.default is MISSING else entry.default
        if entry.default_factory is not MISSING:
            default = None  # the factory's
        if entry.metadata.get("required") or entry.name in required:
            default = inspect.Parameter.empty
        annotation = _for_typer(entry.name, kinds[entry.name])
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(entry.name, kind, default=default, annotation=annotation))
    return parameters


def _packed(group: Any, values: dict[str, Any]) -> Any:  # noqa: ANN401 - a dataclass, and one of it
    """Return a group with its fields taken out of ``values``."""
    kinds, taken = get_type_hints(group), {}
    for entry in fields(group):
        inner = is_dataclass(kinds[entry.name])
        value = _packed(kinds[entry.name], values) if inner else values.pop(entry.name)
        if value is not None or entry.default_factory is MISSING:
            taken[entry.name] = value
    return group(**taken)


def _parts(group: Any) -> list[Any]:  # noqa: ANN401 - a dataclass
    """Return a group and the groups within it."""
    return [group, *(part for value in vars(group).values() if is_dataclass(value) for part in _parts(value))]


def _for_typer(name: str, annotation: Any) -> Any:  # noqa: ANN401 - a type
    """Return the type of a parameter with Typer's own word for how it is offered."""
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, option = get_args(annotation)
    info: Any
    if isinstance(option, Argument):
        info = typer.Argument(metavar=option.metavar, help=option.help, show_default=False)
    else:
        info = typer.Option(
            *(option.flags or ((f"--{name.replace('_', '-')}",) if kind is bool else ())),
            metavar=option.metavar,
            help=option.help,
            min=option.min,
            max=option.max,
            envvar=option.envvar,
            show_default=option.unset or True,
            rich_help_panel=option.panel,
        )
    info.autocompletion = offer_of(name)
    return Annotated[kind, info]


def _placeholder(annotation: Any) -> str | None:  # noqa: ANN401 - a type
    return getattr(get_args(annotation)[1], "metavar", None) if get_origin(annotation) is Annotated else None


def expand_home(path: Any) -> Any:  # noqa: ANN401 - a path, several of them, or none
    """Return ``path`` with the home folder for ``~``, which a shell leaves alone in ``--out=~/model.st``."""
    if isinstance(path, list | tuple):
        return [expand_home(one) for one in path]
    return type(path)(os.path.expanduser(path)) if isinstance(path, str | Path) else path


def _say_first_words(command: str, subject: str | list[str] | None, groups: list[object]) -> None:
    """Say what is read, where the command computes: before torch is imported, which takes seconds."""
    if isinstance(subject, list):
        subject = subject[0] if len(subject) == 1 else f"{subject[0]} and {len(subject) - 1} more"
    says = next((group for group in groups if isinstance(group, Say)), None)
    if says and subject and any(isinstance(group, Compute) for group in groups):
        Console(says).note(f"{command.replace('_', '-')}: reading {subject}")


def _check_text(values: Mapping[str, object]) -> None:
    """Refuse a value, not a path, that is not UTF-8: a record could not hold it."""
    for name, value in values.items():
        for word in value if isinstance(value, list | tuple) else [value]:
            if isinstance(word, str) and not is_text(word):
                message = f"--{name.replace('_', '-')}: '{shorten(word)}' is not UTF-8"
                raise ForgetkitError("usage", message, "write it in UTF-8; only paths may be other bytes")


def _check_values(values: Mapping[str, object]) -> None:
    """Refuse what no option may be: a number that is not finite, an empty path to write to."""
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, float) and not math.isfinite(value):
            raise ForgetkitError("usage", f"{flag}: {value} is not a finite number", f"for example: {flag} 0.1")
        if value == "" and name in {"out", "log"}:
            raise ForgetkitError("usage", f"{flag}: the path is empty", "name a file, or leave the option out")
