"""The command line: the app, and the only place where errors are printed."""

import functools
import gc
import io
import os
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Annotated, Any

import typer
import typer.main

from forgetkit import __version__
from forgetkit.cli.console import print_error, say, text_width, write_result
from forgetkit.cli.help import NAMES, Group, help_of, show_help
from forgetkit.cli.mount import built_in, mount
from forgetkit.cli.usage_errors import usage_error
from forgetkit.errors import ForgetkitError
from forgetkit.files.interrupts import INTERRUPTED, TERMINATED, ignore, install, stopping
from forgetkit.options import debugging
from forgetkit.processes import own_process

BUG = 70


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
    """Make an image classifier forget given training samples, then audit whether it has.

    Each command reads and writes safetensors checkpoints and ID lists, so steps compose in the shell:

        forgetkit train --dataset digits -o model.st
        forgetkit forget-ids model.st --count 65 -o ids.txt
        forgetkit forget model.st --ids ids.txt
        forgetkit audit model.forget.st --original model.st
    """
    show_help(context)


@functools.cache
def command_line(wanted: str | None = None, outside: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - Typer's own class
    """Return the group of all commands, or, if ``wanted`` is the name of one, of that one only."""
    app = typer.Typer(
        name="forgetkit",
        cls=Group,
        context_settings={"help_option_names": NAMES, "terminal_width": text_width()},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback(invoke_without_command=True, help=help_of(forgetkit))(forgetkit)
    mount(app, wanted, outside)
    return typer.main.get_command(app)


def outside_methods(arguments: list[str]) -> tuple[str, ...]:
    """Return the names of registered methods; looking for them takes longer than a built-in command's start."""
    from forgetkit.cli.outside_methods import load_named_plugins, registered_methods

    load_named_plugins(arguments)
    return tuple(registered_methods())


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code; no exception leaves here."""
    as_json = "--json" in arguments
    try:
        wanted = next(iter(arguments), None)
        commands = command_line(wanted, () if wanted in built_in() else outside_methods(arguments))
        code = int(commands(arguments, standalone_mode=False, prog_name="forgetkit") or 0)
        write_result("", end="")  # help text may still be in the buffer
        return _interrupted() if code == INTERRUPTED else code
    except ForgetkitError as problem:
        code = stopping()
        return _interrupted(code) if code else _fail(problem, as_json=as_json)
    except typer.TyperException as problem:
        return _fail(ForgetkitError("usage", *usage_error(problem, commands, arguments)), as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except SystemExit as left:  # if the reader of the help has gone away, Typer exits with 1
        return _interrupted(TERMINATED) if left.code == TERMINATED else 0 if _asks_help(arguments) else BUG
    except Exception as problem:
        if code := stopping():
            return _interrupted(code)
        if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":  # torch's, on a GPU
            problem = ForgetkitError("out-of-memory", "out of memory", "use a smaller --batch-size, or --device cpu")
            return _fail(problem, as_json=as_json)
        return _bug(problem, as_json=as_json)


def main() -> None:
    """Run the command that the process was started with, and exit."""
    _take_names_as_they_are()
    gc.set_threshold(50_000)  # what imports create stays: searching it for garbage costs a fifth of torch's import,
    install()
    own_process()
    _prepare_streams()
    code = run(sys.argv[1:])
    ignore()
    gc.freeze()  # and as much again at exit
    sys.exit(code)


def _take_names_as_they_are() -> None:
    """Start this process again in Python's UTF-8 mode where names of files are read in another encoding.

    What is printed and recorded is UTF-8: in Latin-1, the printed path of an output would not lead to it.
    """
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _asks_help(arguments: list[str]) -> bool:
    return not arguments or bool({*NAMES, "--version"} & set(arguments))


def _prepare_streams() -> None:
    """Replace closed streams by the null device, and write UTF-8 as ID lists do."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def _interrupted(code: int = INTERRUPTED) -> int:
    stopping()
    say("interrupted; the last complete output is intact")
    return code


def _fail(problem: ForgetkitError, *, as_json: bool) -> int:
    if debugging():
        traceback.print_exc()
    print_error(problem, as_json=as_json)
    return problem.status


def _bug(problem: Exception, *, as_json: bool) -> int:
    """Print one line that says that forgetkit is at fault and where the details are."""
    details = traceback.format_exc()
    if debugging():
        say(details)
    where = "--debug shows the details"
    with suppress(OSError), tempfile.NamedTemporaryFile(prefix="forgetkit-", suffix=".log", delete=False) as log:
        log.write(details.encode(errors="backslashreplace"))
        where = f"the details are in {log.name}"
    message = f"a bug in forgetkit ({type(problem).__name__}); {where}"
    print_error(
        ForgetkitError("bug", message, "please report it; read the details before you share them"), as_json=as_json
    )
    return BUG
