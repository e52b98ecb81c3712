"""From a function to a subcommand: its groups of options laid out, its docstring as help."""

import functools
import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from forgetkit import methods
from forgetkit.cli import commands
from forgetkit.cli.completion import offer_of
from forgetkit.cli.console import Console
from forgetkit.cli.help import help_of
from forgetkit.errors import ForgetkitError
from forgetkit.options import Argument, Compute, LongRun, Option, Plugins, Say, Source
from forgetkit.registry import load_plugins

READ = ("checkpoint", "weights", "like", "from_", "dataset")
"""Parameters that name what a command reads, the most telling first."""


def mount(app: typer.Typer, wanted: str | None = None) -> None:
    """Make every module of ``forgetkit.cli.commands`` a command: the function of its own name.

    Where ``wanted`` is one of them, it alone: to lay out all of them takes longer than many a command.

    A module with ``COMMANDS``, a tuple of functions, is a group of commands; its function of its own name, which takes
    the context and is called before them, says in its docstring what they have in common.
    """
    found = [module.name for module in pkgutil.iter_modules(commands.__path__)]
    steps = {step.replace("-", "_") for step in step_names()}
    others = sorted(set(found) - set(commands.ORDER), key=lambda module: (module not in steps, module))
    every = (*commands.ORDER, *others)
    for module in [one for one in every if one.replace("_", "-") == wanted] or every:
        loaded = importlib.import_module(f"{commands.__name__}.{module}")
        function, name = getattr(loaded, module), module.replace("_", "-")
        panel = "The work, in order" if module in commands.ORDER else "Other methods" if module in steps else "Helpers"
        if hasattr(loaded, "COMMANDS"):
            app.add_typer(group_of(function, loaded.COMMANDS), name=name, rich_help_panel=panel)
        else:
            app.command(name, help=help_of(function), rich_help_panel=panel)(expand(function))


def step_names() -> list[str]:
    """Return the commands that unlearn: those with a file of the same name in ``forgetkit.methods``, sorted."""
    known = {module.name for module in pkgutil.iter_modules(methods.__path__)}
    names = (module.name for module in pkgutil.iter_modules(commands.__path__))
    return [name.replace("_", "-") for name in names if name in known]


def needs_only_ids(step: str) -> bool:
    """Say whether a step takes a checkpoint and ids, and has a default for everything else."""
    name = step.replace("-", "_")
    function = getattr(importlib.import_module(f"{commands.__name__}.{name}"), name)
    needed = {one.name for one in inspect.signature(expand(function)).parameters.values() if one.default is one.empty}
    return needed <= {"checkpoint", "ids"}


def group_of(function: Callable[..., None], members: tuple[Callable[..., None], ...]) -> typer.Typer:
    """Return a group of commands.

    Args:
        function: takes the context; its docstring is the group's help.
        members: the commands, by their functions' names.
    """
    group = typer.Typer()
    group.callback(invoke_without_command=True, help=help_of(function))(function)
    for member in members:
        group.command(member.__name__.replace("_", "-"), help=help_of(member))(expand(member))
    return group


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Return ``command`` with each parameter that is a group of options replaced by one parameter for each field."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _laid_out(groups[name])
        else:
            parameters.append(parameter.replace(annotation=_for_typer(name, hints[name])))

    @functools.wraps(command)
    def flat(**values: Any) -> None:  # noqa: ANN401 - whatever the options hold
        subject = next((values[name] for name in READ if values.get(name)), None)
        _check_values(values)
        packed = {name: _packed(kind, values) for name, kind in groups.items()}
        given = [part for group in packed.values() for part in _parts(group)]
        _say_first_words(command.__name__, subject, given)
        for part in given:
            if isinstance(part, LongRun) and (part.out or "").endswith("/"):
                raise ForgetkitError("usage", f"--out: {part.out} is a folder", f"name a file: {part.out}model.st")
            if isinstance(part, Source | Plugins):
                load_plugins(part.plugin or [])
        command(**values, **packed)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del flat.__wrapped__
    return flat


def _laid_out(group: Any) -> list[inspect.Parameter]:  # noqa: ANN401 - a dataclass
    """Return a parameter for each field of a group, and of the groups within it."""
    kinds, parameters = get_type_hints(group, include_extras=True), []
    for entry in fields(group):
        if is_dataclass(kinds[entry.name]):
            parameters += _laid_out(kinds[entry.name])
            continue
        default: object = inspect.Parameter.empty if entry.default is MISSING else entry.default
        if entry.default_factory is not MISSING and not entry.metadata.get("required"):
            default = None  # the factory's
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
    kind, *said = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
    info: Any
    if isinstance(said[0] if said else None, Argument):
        info = typer.Argument(metavar=said[0].metavar, help=said[0].help, show_default=False)
    else:
        option = said[0] if said else Option("")
        info = typer.Option(
            *(option.flags or ((f"--{name.replace('_', '-')}",) if kind is bool else ())),
            metavar=option.metavar,
            help=option.help,
            min=option.min,
            max=option.max,
            envvar=option.envvar,
            rich_help_panel=option.panel,
        )
    info.autocompletion = offer_of(name)
    return Annotated[kind, info]


def _say_first_words(command: str, subject: str | None, groups: list[object]) -> None:
    """Say what is read, where the command computes: before torch is imported, which takes seconds."""
    says = next((group for group in groups if isinstance(group, Say)), None)
    if says and subject and any(isinstance(group, Compute) for group in groups):
        Console(says).note(f"{command.replace('_', '-')}: reading {subject}")


def _check_values(values: Mapping[str, object]) -> None:
    """Refuse what no option may be: a number that is not finite, an empty path to write to."""
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, float) and not math.isfinite(value):
            raise ForgetkitError("usage", f"{flag}: {value} is not a finite number")
        if value == "" and name in {"out", "log"}:
            raise ForgetkitError("usage", f"{flag}: the path is empty", "name a file, or leave the option out")
