"""Which commands there are: one for each file in ``commands/``, and one for each registered method."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType

import typer

from forgetkit import methods
from forgetkit.cli import commands
from forgetkit.cli.help import Command, Group, help_of
from forgetkit.cli.option_groups import expand

WORK, METHODS, HELPERS = "The work, in order", "Methods to choose yourself", "Helpers"


def mount(app: typer.Typer, wanted: str | None = None, outside: tuple[str, ...] = ()) -> None:
    """Add the commands to ``app``.

    A module of ``forgetkit.cli.commands`` is a command: the function of its own name. A module with ``COMMANDS``, a
    tuple of functions, is a group of commands; its function of its own name takes the context, is called before them,
    and its docstring is the help of the group.

    Args:
        app: Typer's app.
        wanted: name of the only command to add, if there is one: to add all of them takes longer than many a command.
        outside: names of registered methods.
    """
    if wanted in built_in():
        _add(app, wanted)
    elif wanted in outside:
        _add_method(app, wanted)
    else:
        for name in built_in():
            _add(app, name)
        for name in outside:
            _add_method(app, name)


def built_in() -> list[str]:
    """Return the names of the commands that have a file, in the order of the help."""
    found, steps = _names(commands), set(method_names())
    others = sorted(set(found) - set(ORDER), key=lambda name: (name not in steps, name))
    return [*ORDER, *others]


def method_names() -> list[str]:
    """Return the commands that have a file of the same name in ``forgetkit.methods``, sorted."""
    known = set(_names(methods))
    return [name for name in _names(commands) if name in known]


def step_names() -> list[str]:
    """Return the commands that unlearn, those of registered methods included, sorted."""
    from forgetkit.cli.outside_methods import registered_methods

    return sorted([*method_names(), *registered_methods()])


def needs_only_ids(step: str) -> bool:
    """Return whether a step takes a checkpoint and ids, and has a default for everything else."""
    from forgetkit.cli.outside_methods import command_of, registered_methods

    function = command_of(step) if step in registered_methods() else getattr(_module(step), step.replace("-", "_"))
    parameters = inspect.signature(expand(function)).parameters.values()
    return {one.name for one in parameters if one.default is one.empty} <= {"checkpoint", "ids"}


def _names(package: ModuleType) -> list[str]:
    return [module.name.replace("_", "-") for module in pkgutil.iter_modules(package.__path__)]


ORDER = tuple(name.replace("_", "-") for name in commands.ORDER)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{commands.__name__}.{name.replace('-', '_')}")


def _add(app: typer.Typer, name: str) -> None:
    loaded = _module(name)
    function = getattr(loaded, name.replace("-", "_"))
    panel = METHODS if name in method_names() else WORK if name in ORDER else HELPERS
    if hasattr(loaded, "COMMANDS"):
        app.add_typer(group_of(function, loaded.COMMANDS), name=name, rich_help_panel=panel)
    else:
        app.command(name, cls=Command, help=help_of(function), rich_help_panel=panel)(expand(function))


def _add_method(app: typer.Typer, name: str) -> None:
    from forgetkit.cli.outside_methods import command_of

    function = command_of(name)
    app.command(name, cls=Command, help=help_of(function), rich_help_panel=METHODS)(expand(function))


def group_of(function: Callable[..., None], members: tuple[Callable[..., None], ...]) -> typer.Typer:
    """Return a group of commands."""
    group = typer.Typer(cls=Group, rich_markup_mode=None)
    group.callback(invoke_without_command=True, help=help_of(function))(function)
    for member in members:
        name = member.__name__.replace("_", "-")
        group.command(name, cls=Command, help=help_of(member))(expand(member))
    return group
