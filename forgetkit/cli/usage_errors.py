"""Usage errors that say what to do: the option or command that was meant, or an example."""

import re

import typer

from forgetkit.registry import nearest

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
    (r"got unexpected extra argument\(s\) \((.*)\)", r"unexpected: \1"),
)


def usage_error(problem: typer.TyperException) -> tuple[str, str]:
    """Return message and hint for what Typer found wrong with a command line."""
    text, _, offered = problem.format_message().partition(". Did you mean ")
    text = " ".join(text.split(" (Possible options:")[0].split()).rstrip(".")
    for pattern, words in REWORDED:
        text = re.sub(pattern, words, text, flags=re.IGNORECASE)
    context = getattr(problem, "ctx", None)
    command = context.command if context else None
    option = getattr(problem, "option_name", "")
    word = re.search(r"[Nn]o such command '([^']+)'", text)
    known = {name for one in command.params for name in one.opts} if command else set()
    known |= set(getattr(command, "commands", ()))
    meant = MEANT.get(word[1] if word else option)
    close = meant if meant in known else nearest(option, getattr(problem, "possibilities", None) or [])
    if close or offered:
        hint = f"did you mean {close or offered.partition(',')[0].rstrip('?')}?"
    elif command and re.match(r"(?i)missing|unexpected", text) and (example := _example(command.help or "")):
        hint = f"for example: {example}"
    elif word:
        hint = "see forgetkit --help; the command of a plugin needs --plugin FILE, or FORGETKIT_PLUGINS"
    else:
        hint = f"see {context.command_path if context else 'forgetkit'} --help"
    return text[:1].lower() + text[1:], hint


def _example(help_: str) -> str | None:
    """Return the first example of a command's help."""
    found = re.search(r"Examples:\s*\n\s*(forgetkit .+)", help_)
    return found[1].strip() if found else None
