"""The plan of a sweep: a TOML file of variables, profiles, runs and figures."""

import re
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forgetkit.cli.mount import needs_only_ids, step_names
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.registry import did_you_mean

KEYS = ("title", "variables", "profiles", "run", "figure")
RUN_KEYS = ("name", "command", "only")
FIGURE_KEYS = ("file", "title", "run", "x", "y", "by", "where", "log")
NAME = re.compile(r"[a-z][a-z0-9_-]*")
RESERVED = ("folder",)
"""What a command may name without a variable or run of that name: the folder of the run itself."""
STEP = "step"
"""The variable that every plan has: the commands that unlearn and need nothing but a checkpoint and ids."""

Value = str | int | float | bool | dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A run as the plan writes it, for all values of the variables that it depends on.

    Attributes:
        name: of the run.
        command: a forgetkit command with ``{variables}`` and ``{runs}``, without ``--out``.
        only: for some variables, the values that this run is for; None for those of the variable of that name.
        line: where it stands in the file, from 1.
    """

    name: str
    command: str
    only: dict[str, list[Value]]
    line: int


@dataclass(frozen=True)
class Plan:
    """A plan, with the profile's values in place.

    Attributes:
        path: the file.
        title: a line for readers.
        variables: by name; a list is what runs go over, anything else a constant.
        runs: in the file's order.
        figures: what to draw, as the file says it.
        profile: the profile chosen, if any.
    """

    path: Path
    title: str
    variables: dict[str, Any]
    runs: dict[str, Template]
    figures: list[dict[str, Any]] = field(default_factory=list)
    profile: str | None = None


def read_plan(path: Path, profile: str | None) -> Plan:
    """Read a plan and put the values of ``profile`` in place of its own.

    Raises:
        ForgetkitError: ``plan-missing`` where the file cannot be read; ``plan-malformed`` where it is not TOML, or a
            key or value is not what a plan has; ``usage`` for a profile that there is not.
    """
    text = _text(path)
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise refusal(path, f"not TOML: {str(problem).partition(chr(10))[0]}") from problem
    _check_keys(path, "the plan", content, KEYS)
    variables = {STEP: _every_step(), **_table(path, content, "variables")}
    profiles = _table(path, content, "profiles")
    if profile is not None and profile not in profiles:
        hint = did_you_mean(profile, profiles) if profiles else "it has none"
        raise ForgetkitError("usage", f"{path}: there is no profile '{shorten(profile)}'", hint)
    for name, values in profiles.items():
        _check_keys(path, f"profile '{name}'", _table(path, profiles, name), variables)
        if name == profile:
            variables = {**variables, **values}
    for name, value in variables.items():
        _check_variable(path, name, value)
    runs = _runs(path, content, variables, _lines(text))
    figures = _figures(path, content, runs)
    return Plan(path, str(content.get("title", path.stem)), variables, runs, figures, profile)


def refusal(where: Path | str, message: str, hint: str | None = None) -> ForgetkitError:
    """Return the error for a plan that is not one; ``where`` is the file, or file and line."""
    return ForgetkitError("plan-malformed", f"{where}: {message}", hint or "see docs/sweep.md")


def label(value: Value) -> str | int | float | bool:
    """Return a variable's value as tables show it: a table by its name."""
    return str(value["name"]) if isinstance(value, dict) else value


def _every_step() -> list[str]:
    return [name for name in step_names() if needs_only_ids(name)]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise refusal(path, "not UTF-8") from problem
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise ForgetkitError("plan-missing", f"{path}: {why}", "name a TOML file; see docs/sweep.md") from problem


def _lines(text: str) -> list[int]:
    """Return the numbers of the lines at which runs begin."""
    return [number for number, line in enumerate(text.splitlines(), start=1) if re.match(r"\s*\[\[\s*run\s*\]\]", line)]


def _check_keys(where: Path | str, what: str, found: Collection[str], known: Collection[str]) -> None:
    for key in found:
        if key not in known:
            raise refusal(where, f"{what} has no key '{shorten(key)}'", did_you_mean(key[:100], known))


def _table(path: Path, content: dict[str, Any], key: str) -> dict[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise refusal(path, f"'{shorten(key)}' must be a table")
    return table


def _tables(path: Path, content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    tables = content.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise refusal(path, f"'{key}' must be tables", f"write [[{key}]] over each")
    return tables


def _check_variable(path: Path, name: str, value: object) -> None:
    if not NAME.fullmatch(name) or name in RESERVED:
        raise refusal(path, f"'{shorten(name)}' is no name for a variable", "letters, digits, _ and -; not 'folder'")
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and isinstance(value, list) and isinstance(one.get("name"), str):
            continue
        if not isinstance(one, str | int | float):
            hint = 'for example: share = [0.01, 0.1], or: way = [{name = "fast", options = "--epochs 1"}]'
            raise refusal(path, f"variable '{name}' must be text, a number, or a list of such or of named tables", hint)
    if isinstance(value, list) and len({str(label(one)) for one in value}) < len(value):
        raise refusal(path, f"variable '{name}' has the same value twice")


def _runs(path: Path, content: dict[str, Any], variables: dict[str, Any], lines: list[int]) -> dict[str, Template]:
    runs: dict[str, Template] = {}
    tables = _tables(path, content, "run")
    if not tables:
        raise refusal(path, "there is no run", 'for example: [[run]] name = "original" command = "train …"')
    for table, line in zip(tables, lines if len(lines) == len(tables) else [1] * len(tables), strict=True):
        where, name = f"{path}:{line}", table.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED or name in variables:
            raise refusal(where, f"a run needs a name of its own, not {shorten(repr(name))}")
        _check_keys(where, f"run '{name}'", table, RUN_KEYS)
        if name in runs:
            raise refusal(where, f"two runs are named '{name}'")
        if not isinstance(table.get("command"), str):
            raise refusal(where, f"run '{name}' needs a command", 'for example: command = "train --dataset digits"')
        runs[name] = Template(name, table["command"], _only(where, name, table, variables), line)
    return runs


def _only(where: str, name: str, table: dict[str, Any], variables: dict[str, Any]) -> dict[str, list[Value]]:
    """Return which values a run is for: a list, or the name of the variable that has it."""
    only = table.get("only", {})
    if not isinstance(only, dict):
        raise refusal(where, f"'only' of run '{name}' must be a table", "for example: only = {share = [0.01, 0.1]}")
    _check_keys(where, f"'only' of run '{name}'", only, variables)
    found = {}
    for variable, values in only.items():
        if isinstance(values, str):
            _check_keys(where, f"'only' of run '{name}'", [values], variables)
            values = variables[values]
        found[variable] = values if isinstance(values, list) else [values]
    return found


def _figures(path: Path, content: dict[str, Any], runs: dict[str, Template]) -> list[dict[str, Any]]:
    figures = _tables(path, content, "figure")
    for figure in figures:
        _check_keys(path, "a figure", figure, FIGURE_KEYS)
        for key in ("file", "run", "x", "y"):
            if not isinstance(figure.get(key), str):
                raise refusal(path, f"a figure needs '{key}'", 'for example: x = "share", y = "test_accuracy"')
        _check_keys(path, "a figure's run: the plan", [figure["run"]], runs)
        if not re.fullmatch(r"[\w.-]+\.(svg|png|pdf)", figure["file"]):
            message = f"'{shorten(figure['file'])}' is no name for a figure"
            raise refusal(path, message, "a file name that ends in .svg, .png or .pdf")
        _table(path, figure, "where")
    return figures
