"""Help: what a command does and how it is called, then its options; the rare ones with ``--help-all`` only."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from forgetkit.cli.console import write_result
from forgetkit.options import INPUT, PANELS, RARE

NAMES = ["-h", "--help", "--help-all"]
"""The options that ask for help."""
HYPHEN, SPACE = "\u2011", "\u00a0"
"""Characters at which no line is broken; they stand for the plain ones until the help is laid out."""
WIDEST_NAME = 25
"""Columns for the names of options; what is said of a longer one begins on the next line."""


class Command(TyperCommand):
    """A command whose ``-h`` shows the required and the frequent options, and whose ``--help-all`` shows all."""

    _asked_for_all = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's own class
        """Note which help is asked for, and read the command line."""
        self._asked_for_all = "--help-all" in args
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401 - Typer's own class
        """Return the help as it is shown."""
        return _plain(super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer's own class
        """Return what follows the name in the usage line."""
        return usage_of(self.params)

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own classes
        """Write what the command does."""
        _write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own classes
        """Write a section for each panel."""
        rare = [one for one in self.params if panel_of(one) in RARE]
        hidden = [] if self._asked_for_all else rare
        for panel in PANELS:
            shown = [one for one in self.params if panel_of(one) == panel and one not in hidden]
            if shown:
                rows = [row(one, full=self._asked_for_all) for one in sorted(shown, key=_rank)]
                with formatter.section(panel):
                    formatter.write_dl([(name, _unbroken(text)) for name, text in rows], WIDEST_NAME)
        if hidden:
            names = dict.fromkeys(sorted(map(panel_of, hidden), key=PANELS.index))
            formatter.write_paragraph()
            formatter.write_text(f"--help-all shows {len(hidden)} more: {', '.join(names)}.")


class Group(TyperGroup):
    """A group whose help lists its commands in panels, each with the whole first sentence of its help."""

    def get_help(self, ctx: Any) -> str:  # noqa: ANN401 - Typer's own class
        """Return the help as it is shown."""
        return _plain(super().get_help(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer's own class
        """Return what follows the name in the usage line."""
        return ["COMMAND [ARGUMENTS] [OPTIONS]"]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own classes
        """Write what the group is for."""
        _write_text(self.help or "", formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own classes
        """Write a section for each panel of commands, then the group's own options."""
        width, panels = max(map(len, self.commands)), dict[str, list[tuple[str, str]]]()
        for name, command in self.commands.items():
            panel = getattr(command, "rich_help_panel", None) or "Commands"
            panels.setdefault(panel, []).append((name.ljust(width), (command.help or "").partition("\n\n")[0]))
        if self.params:
            panels["Options"] = [row(one, full=True) for one in self.params]
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)
        formatter.write_paragraph()
        formatter.write_text(f"{ctx.command_path} COMMAND -h explains a command.")


def panel_of(parameter: Any) -> str:  # noqa: ANN401 - Typer's own class
    """Return the heading under which an option or argument stands; no required one is rare."""
    panel: str = parameter.rich_help_panel or INPUT
    return INPUT if parameter.required and panel in RARE else panel


def usage_of(parameters: list[Any]) -> list[str]:
    """Return the arguments, the required options, and a word for the others."""
    arguments = [one for one in parameters if one.param_type_name == "argument"]
    required = [one for one in parameters if one.param_type_name == "option" and one.required]
    return [
        *(one.metavar if one.required else f"[{one.metavar}]" for one in arguments),
        *(f"{max(one.opts, key=len)} {one.metavar}" for one in required),
        "[OPTIONS]",
    ]


def row(parameter: Any, *, full: bool) -> tuple[str, str]:  # noqa: ANN401 - Typer's own class
    """Return names and meaning of an option or argument; ``full`` adds the environment variable."""
    if parameter.param_type_name == "argument":
        return parameter.metavar, parameter.help
    names = ", ".join(sorted(parameter.opts, key=lambda name: len(name) > 2))
    default = "required" if parameter.required else default_of(parameter) and f"default: {default_of(parameter)}"
    variable = f"env: {parameter.envvar}" if full and parameter.envvar else ""
    notes = "".join(f" [{note}]" for note in (default, variable) if note)
    return names if parameter.is_flag else f"{names} {parameter.metavar}", f"{parameter.help}{notes}"


def default_of(option: Any) -> str:  # noqa: ANN401 - Typer's own class
    """Return what holds if an option is not given; empty for a flag, and where nothing does."""
    if isinstance(option.show_default, str):
        return option.show_default
    if option.default is None or option.default is False:
        return ""
    return f"{option.default:g}" if isinstance(option.default, float) else str(option.default)


def _write_text(text: str, formatter: Any) -> None:  # noqa: ANN401 - Typer's own class
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(_unbroken(text))


def _unbroken(text: str) -> str:
    """Return ``text`` so that no line is broken within a name with hyphens, or a short note in brackets."""
    text = re.sub(r"\[[^]]{,30}\]", lambda note: note[0].replace(" ", SPACE), text)
    return text.replace("-", HYPHEN)


def _plain(text: str) -> str:
    return text.replace(HYPHEN, "-").replace(SPACE, " ")


def _rank(parameter: Any) -> tuple[bool, bool, bool]:  # noqa: ANN401 - Typer's own class
    """Order arguments before options, then required ones, then those in such frequent use that they have a letter."""
    option = parameter.param_type_name == "option"
    return option, not parameter.required, not any(len(name) == 2 for name in parameter.opts)


def show_help(context: typer.Context) -> None:
    """Print the help of a group that was called without a command."""
    if context.invoked_subcommand is None:
        write_result(context.get_help())


def help_of(function: Callable[..., None]) -> str:
    """Return a function's docstring as help in which indented blocks keep their lines."""
    paragraphs = (inspect.getdoc(function) or "").replace("Examples:\n\n", "Examples:\n").split("\n\n")
    return "\n\n".join(
        f"\b\n{text.replace('    ', '  ')}" if "\n  " in text or text.startswith("  ") else " ".join(text.split())
        for text in paragraphs
    )
