"""The command line: the app, the mounting of commands, and the one place where errors are printed."""

import importlib
import inspect
import os
import pkgutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from forgetkit import __version__, commands
from forgetkit.console import print_error, write_result
from forgetkit.errors import ForgetkitError
from forgetkit.options import debugging, expand

app = typer.Typer(
    name="forgetkit",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

INTERRUPTED, TERMINATED, BUG = 130, 143, 70


def _version(wanted: bool) -> None:
    if wanted:
        write_result(f"forgetkit {__version__}")
        raise typer.Exit


def forgetkit(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Forget named training samples of an image classifier, then audit that they are forgotten.

    Each command reads and writes safetensors checkpoints and ID lists, so steps compose in the shell:

        forgetkit train --dataset digits -o model.st
        forgetkit forget-ids model.st --count 65 -o ids.txt
        forgetkit relabel model.st --ids ids.txt --optimizer adadelta --rate 0.01
        forgetkit audit model.relabel.st --original model.st
    """
    if context.invoked_subcommand is None:
        write_result(context.get_help())


def mount() -> None:
    """Make every module of ``forgetkit.commands`` a command: the function of its own name."""
    for module in pkgutil.iter_modules(commands.__path__):
        function = getattr(importlib.import_module(f"{commands.__name__}.{module.name}"), module.name)
        app.command(module.name.replace("_", "-"), help=help_of(function))(expand(function))


def help_of(function: Callable[..., None]) -> str:
    """Return a function's docstring as help in which indented blocks keep their lines."""
    paragraphs = (inspect.getdoc(function) or "").replace("Examples:\n\n", "Examples:\n").split("\n\n")
    return "\n\n".join(f"\b\n{text}" if "\n  " in text or text.startswith("  ") else text for text in paragraphs)


app.callback(invoke_without_command=True, help=help_of(forgetkit))(forgetkit)
mount()


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code; no exception leaves here."""
    as_json = "--json" in arguments
    try:
        return int(app(arguments, standalone_mode=False) or 0)
    except ForgetkitError as problem:
        return _fail(problem, as_json=as_json)
    except typer.TyperException as problem:
        hint = "see forgetkit --help" if not arguments else f"see forgetkit {arguments[0]} --help"
        return _fail(ForgetkitError("usage", _usage(problem), hint), as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted; nothing was written\n")
        return INTERRUPTED
    except MemoryError:
        return _fail(ForgetkitError("out-of-memory", "out of memory", "use a smaller --batch-size"), as_json=as_json)
    except Exception as problem:
        return _bug(problem, as_json=as_json)


def main() -> None:
    """Run the command that the process was started with, and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _terminate(*_: Any) -> None:  # noqa: ANN401 - the signal's own arguments
    raise SystemExit(TERMINATED)


def _fail(problem: ForgetkitError, *, as_json: bool) -> int:
    if debugging():
        traceback.print_exc()
    print_error(problem, as_json=as_json)
    return problem.status


def _usage(problem: typer.TyperException) -> str:
    text = " ".join(problem.format_message().split())
    return text[:1].lower() + text[1:].rstrip(".")


def _bug(problem: Exception, *, as_json: bool) -> int:
    """Say in one line that forgetkit is at fault, and where the details are."""
    details = traceback.format_exc()
    if debugging():
        sys.stderr.write(details)
    with tempfile.NamedTemporaryFile("w", prefix="forgetkit-", suffix=".log", delete=False) as log:
        log.write(details)
    message = f"a bug in forgetkit ({type(problem).__name__}); the details are in {log.name}"
    print_error(ForgetkitError("bug", message, "report it; read that file before you share it"), as_json=as_json)
    return BUG
