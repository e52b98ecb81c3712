"""Usage errors that say what to do: the option or command that was meant, or an example."""

import re
from typing import Any

import typer

from forgetkit.cli.help import row
from forgetkit.errors import nearest

MEANT = {
    "--lr": "--rate",
    "--learning-rate": "--rate",
    "--output": "--out",
    "--data": "--dataset",
    "--data-dir": "--data-root",
    "--teacher-model": "--teacher",
    "unlearn": "forget",
    "delete": "forget",
    "remove": "forget",
    "retrain": "train",
    "fit": "train",
    "evaluate": "audit",
    "verify": "audit",
    "test": "audit",
    "show": "inspect",
    "info": "inspect",
}
"""Names that other tools use, and forgetkit's."""
REWORDED = (
    (r"Input should be a valid integer, unable to parse string as an integer", "not a whole number"),
    (r"Input should be a valid number, unable to parse string as a number", "not a number"),
    (r"Input should be greater than or equal to (\S+)", r"it must be \1 or more"),
    (r"Input should be less than or equal to (\S+)", r"it must be \1 or less"),
    (r"option '(\S+)' requires an argument", r"\1 needs a value"),
    (r"option '(\S+)' does not take a value", r"\1 takes no value"),
    (r"got unexpected extra argument\(s\) \((.*)\)", r"unexpected: \1"),
)


def usage_error(problem: typer.TyperException, app: Any, arguments: list[str]) -> tuple[str, str]:  # noqa: ANN401 - Typer's own class
    """Return message and hint for what Typer found wrong with a command line.

    Args:
        problem: what it found.
        app: the group of all commands.
        arguments: the words of the command line after ``forgetkit``.
    """
    text, _, offered = problem.format_message().partition(". Did you mean ")
    text = " ".join(text.split(" (Possible options:")[0].split()).rstrip(".")
    for pattern, words in REWORDED:
        text = re.sub(pattern, words, text, flags=re.IGNORECASE)
    path, command = _command(app, arguments)
    option = getattr(problem, "option_name", "")
    word = re.search(r"[Nn]o such command '([^']+)'", text)
    commands = getattr(command, "commands", {})
    known = {*commands, *(name for one in command.params for name in one.opts)}
    meant = MEANT.get(word[1] if word else option)
    close = meant if meant in known else nearest(option, getattr(problem, "possibilities", None) or [])
    wrong = getattr(problem, "param", None) or next((one for one in command.params if option in one.opts), None)
    if close or offered:
        hint = f"did you mean {close or offered.partition(',')[0].rstrip('?')}?"
    elif re.match(r"(?i)missing|unexpected", text) and (example := _example(command.help or "")):
        hint = f"for example: {example}"
    elif wrong:
        hint = ": ".join(row(wrong, full=False))
    elif word and command is app:
        hint = "see forgetkit --help; the command of a plugin needs --plugin FILE, or FORGETKIT_PLUGINS"
    elif word:
        hint = f"known: {', '.join(commands)}"
    else:
        hint = f"see {path} --help-all"
    return text[:1].lower() + text[1:], hint


def _command(app: Any, arguments: list[str]) -> tuple[str, Any]:  # noqa: ANN401 - Typer's own class
    """Return path and command that the first words of a command line name."""
    path, command = ["forgetkit"], app
    for word in arguments:
        if word not in getattr(command, "commands", {}):
            break
        path, command = [*path, word], command.commands[word]
    return " ".join(path), command


def _example(help_: str) -> str | None:
    """Return the first example of a command's help."""
    found = re.search(r"Examples:\s*\n\s*(forgetkit .+)", help_)
    return found[1].strip() if found else None
