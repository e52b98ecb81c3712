"""Help texts."""

import inspect
from collections.abc import Callable

import typer

from forgetkit.cli.console import write_result


def show_help(context: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    if context.invoked_subcommand is None:
        write_result(context.get_help())


def help_of(function: Callable[..., None]) -> str:
    """Return a function's docstring as help in which indented blocks keep their lines."""
    paragraphs = (inspect.getdoc(function) or "").replace("Examples:\n\n", "Examples:\n").split("\n\n")
    return "\n\n".join(
        f"\b\n{text}" if "\n  " in text or text.startswith("  ") else " ".join(text.split()) for text in paragraphs
    )
