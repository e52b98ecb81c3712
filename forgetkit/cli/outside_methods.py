"""Commands of methods that a plugin or an installed package registers."""

import os
from collections.abc import Callable
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.results import report
from forgetkit.methods.register import METHODS, OutsideMethod, method_named
from forgetkit.options import Checkpoint, Option
from forgetkit.registry import load_plugins
from forgetkit.unlearning.method_options import StepSettings
from forgetkit.unlearning.step_options import MethodOptions

METAVARS = {int: "N", float: "FLOAT", str: "TEXT"}
"""Placeholders of values in the help, by type."""


def command_of(name: str) -> Callable[..., None]:
    """Return the command of a registered method."""
    method = method_named(name)
    kind = settings_of(method)

    def run(checkpoint: str, *, settings: StepSettings, options: MethodOptions) -> None:
        """Carry out the method."""
        from forgetkit.unlearning.run_method import run_method

        console = Console(options.output)
        written = run_method(
            name, method.function, checkpoint, settings, options, code=method.code, onward=method.onward, tell=console
        )
        report(console, written)

    run.__name__, run.__doc__ = name.replace("-", "_"), method.help
    run.__annotations__ = {"checkpoint": Checkpoint, "settings": kind, "options": MethodOptions, "return": None}
    return run


def settings_of(method: OutsideMethod) -> type[StepSettings]:
    """Return the settings of a registered method: those of every method, and its own options."""
    own = [
        (one.name, Annotated[one.type, Option(one.help, metavar=METAVARS.get(one.type))], field(default=one.default))
        for one in method.options
    ]
    return make_dataclass(f"Settings of {method.name}", own, bases=(StepSettings,), frozen=True)


def load_named_plugins(arguments: list[str]) -> None:
    """Run the plugin files that a command line and ``FORGETKIT_PLUGINS`` name: one of them may register the command."""
    named = [part for part in os.environ.get("FORGETKIT_PLUGINS", "").split(os.pathsep) if part]
    for place, word in enumerate(arguments):
        if word == "--plugin" and place + 1 < len(arguments):
            named.append(arguments[place + 1])
        elif word.startswith("--plugin="):
            named.append(word.partition("=")[2])
    load_plugins(Path(name) for name in named)


def registered_methods() -> list[str]:
    """Return the names of all registered methods, sorted."""
    return sorted(METHODS)
