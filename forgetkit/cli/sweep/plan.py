"""The plan of a sweep: a TOML file of variables, profiles, runs and figures."""

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetkit.cli.mount import needs_only_ids, step_names
from forgetkit.errors import ForgetkitError, did_you_mean, shorten

Shape = Mapping[str, type]
PLAN: Shape = {"title": object, "variables": dict, "profiles": dict, "run": list, "figure": list}
RUN: Shape = {"name": str, "command": str, "only": dict}
FIGURE: Shape = {"file": str, "run": str, "x": str, "y": str, "title": object, "by": str, "where": dict, "log": object}
"""The keys of each kind of table, and what they hold."""
WORDS: dict[type, str] = {dict: "a table", list: "a list of tables", str: "text"}
EXAMPLES = {
    "run": '[[run]] name = "original" command = "train …"',
    "command": 'command = "train --dataset digits"',
    "only": "only = {share = [0.01, 0.1]}",
    "figure": '[[figure]] file = "accuracy.svg" run = "original" x = "share" y = "test_accuracy"',
}
"""What hints show of a key."""
STEP = "step"
"""The variable that every plan has: the commands that unlearn and need only a checkpoint and ids."""

Value = str | int | float | bool | dict[str, Any]


@dataclass(frozen=True)
class Template:
    """A run as the plan writes it, for all values of the variables that it depends on.

    Attributes:
        name: of the run.
        command: a forgetkit command with ``{variables}`` and ``{runs}``, without ``--out``.
        only: for some variables, the values that this run is for.
        named: variables that ``only`` takes values from.
        place: file and line where it begins.
    """

    name: str
    command: str
    only: dict[str, list[Value]]
    named: tuple[str, ...]
    place: str

    def refusal(self, message: str, hint: str | None = None) -> ForgetkitError:
        """Return the error for what is wrong with this run."""
        return refusal(self.place, f"run '{self.name}': {message}", hint)


@dataclass(frozen=True)
class Plan:
    """A plan, with the profile's values in place.

    Attributes:
        path: the file.
        title: a line for readers.
        variables: by name; a list is what runs go over, anything else a constant.
        runs: by name, in the file's order.
        figures: what to draw, as the file says it.
        profile: the profile chosen, if any.
    """

    path: Path
    title: str
    variables: dict[str, Any]
    runs: dict[str, Template]
    figures: list[dict[str, Any]]
    profile: str | None


def read_plan(path: Path, profile: str | None) -> Plan:
    """Read a plan and put the values of ``profile`` in place of its own.

    Raises:
        ForgetkitError: ``plan-missing`` where the file cannot be read; ``plan-malformed`` where it is not TOML, or a
            key or value is not what a plan has; ``usage`` for an unknown profile.
    """
    text = _text(path)
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:
        raise refusal(path, f"not TOML: {str(problem).partition(chr(10))[0]}") from problem
    _check_table(path, "the plan", content, PLAN)
    variables = {STEP: [name for name in step_names() if needs_only_ids(name)], **content.get("variables", {})}
    profiles = content.get("profiles", {})
    if profile is not None and profile not in profiles:
        hint = did_you_mean(profile, profiles) if profiles else "it has none"
        raise ForgetkitError("usage", f"{path}: there is no profile '{shorten(profile)}'", hint)
    for name, values in profiles.items():
        _check_table(path, f"profile '{name}'", values, dict.fromkeys(variables, object))
    variables |= profiles.get(profile, {})
    for name, value in variables.items():
        _check_variable(path, name, value)
    lines = [at for at, line in enumerate(text.splitlines(), start=1) if re.match(r"\s*\[\[\s*run\s*\]\]", line)]
    runs = _runs(path, content.get("run", []), variables, lines)
    figures = content.get("figure", [])
    for figure in figures:
        _check_table(path, "a figure", figure, FIGURE, ("file", "run", "x", "y"))
        if figure["run"] not in runs:
            message = f"a figure shows run '{shorten(figure['run'])}', which the plan does not have"
            raise refusal(path, message, did_you_mean(figure["run"][:100], runs))
        if not re.fullmatch(r"[\w.-]+\.(svg|png|pdf)", figure["file"]):
            message = f"'{shorten(figure['file'])}' is no name for a figure"
            raise refusal(path, message, "a file name that ends in .svg, .png or .pdf")
    return Plan(path, str(content.get("title", path.stem)), variables, runs, figures, profile)


def refusal(where: Path | str, message: str, hint: str | None = None) -> ForgetkitError:
    """Return the error for a plan that is not one; ``where`` is the file, or file and line."""
    return ForgetkitError("plan-malformed", f"{where}: {message}", hint or "see docs/sweep.md")


def label(value: Value) -> str | int | float | bool:
    """Return a variable's value as tables show it: a table by its name."""
    return str(value["name"]) if isinstance(value, dict) else value


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise refusal(path, "not UTF-8") from problem
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise ForgetkitError("plan-missing", f"{path}: {why}", "name a TOML file; see docs/sweep.md") from problem


def _check_known(where: Path | str, what: str, found: Collection[str], known: Collection[str]) -> None:
    for key in found:
        if key not in known:
            raise refusal(where, f"{what} has no key '{shorten(key)}'", did_you_mean(key[:100], known))


def _check_table(where: Path | str, what: str, table: object, shape: Shape, needed: Collection[str] = ()) -> None:
    """Refuse what is no table, a key that is not in its shape, a value of another type, and a needed key's absence."""
    if not isinstance(table, dict):
        raise refusal(where, f"{what} must be a table")
    _check_known(where, what, table, shape)
    for key in (*needed, *table):
        if key not in table or not isinstance(table[key], shape[key]):
            example = EXAMPLES.get("figure" if shape is FIGURE else key)
            raise refusal(where, f"{what} needs {WORDS[shape[key]]} as '{key}'", example and f"for example: {example}")


def _check_variable(path: Path, name: str, value: Value | list[Value]) -> None:
    if not _is_name(name):
        raise refusal(path, f"'{shorten(name)}' is no name for a variable", "letters, digits, _ and -; not 'folder'")
    values = value if isinstance(value, list) else [value]
    for one in values:
        named = isinstance(value, list) and isinstance(one, dict) and isinstance(one.get("name"), str)
        if not named and not isinstance(one, str | int | float):
            hint = 'for example: share = [0.01, 0.1], or: way = [{name = "fast", options = "--epochs 1"}]'
            raise refusal(path, f"variable '{name}' must be text, a number, or a list of such or of named tables", hint)
    if len({str(label(one)) for one in values}) < len(values):
        raise refusal(path, f"variable '{name}' has the same value twice")


def _is_name(name: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9_-]*", name)) and name != "folder"  # {folder} is the run's own


def _runs(path: Path, tables: list[Any], variables: dict[str, Any], lines: list[int]) -> dict[str, Template]:
    runs: dict[str, Template] = {}
    if not tables:
        raise refusal(path, "there is no run", f"for example: {EXAMPLES['run']}")
    for table, line in zip(tables, lines if len(lines) == len(tables) else [1] * len(tables), strict=True):
        where = f"{path}:{line}"
        name = str(table.get("name", "")) if isinstance(table, dict) else ""
        _check_table(where, f"run '{shorten(name)}'", table, RUN, ("name", "command"))
        if not _is_name(name) or name in variables:
            hint = "letters, digits, _ and -; not 'folder', nor a variable's name"
            raise refusal(where, f"'{shorten(name)}' is no name for a run", hint)
        if name in runs:
            raise refusal(where, f"two runs are named '{name}'")
        only = table.get("only", {})
        others = [value for value in only.values() if isinstance(value, str)]  # the names of variables
        _check_known(where, f"'only' of run '{name}'", [*only, *others], variables)
        values = {key: variables[value] if isinstance(value, str) else value for key, value in only.items()}
        values = {key: value if isinstance(value, list) else [value] for key, value in values.items()}
        runs[name] = Template(name, table["command"], values, tuple(others), where)
    return runs
