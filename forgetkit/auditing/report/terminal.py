"""The result of an audit on a terminal: the verdict, what it means, what decided, and what would decide it."""

import io
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from forgetkit.auditing.check import BY_ITSELF
from forgetkit.auditing.checks.reference_history import WORD
from forgetkit.auditing.cure import Cure
from forgetkit.auditing.policy import ABOUT
from forgetkit.auditing.report.document import check_name, title
from forgetkit.auditing.report.junit import printable
from forgetkit.auditing.report.plain_language import NEXT, about, answer
from forgetkit.auditing.report.right_values import numbers

WIDTH = 80
"""Columns of a report that is not for a terminal."""
MARKS = {"pass": "ok", "fail": "FAILS", "inconclusive": "open", "info": "–", "not-run": "–"}
STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "info": "dim", "not-run": "dim"}
SUBJECTS = ("forgetting", "usefulness", "the file")
"""What checks are about, in the order of the report."""
VERDICT_STYLES = {"forgotten": "bold green", "inconclusive": "bold yellow"}


def render(
    report: dict[str, Any],
    name: str,
    *,
    cure: Cure | None = None,
    outlook: str | None = None,
    complete: bool = False,
    width: int = WIDTH,
    colour: bool = False,
) -> str:
    """Return the report as text.

    Args:
        report: what :func:`forgetkit.auditing.report.document.document` returned.
        name: the checkpoint, as the user named it.
        cure: what would decide an inconclusive verdict, if anything would.
        outlook: why nothing would, in a sentence.
        complete: every check, with accuracies and limits, instead of what decides.
        width: columns; no line is broken within a word that fits.
        colour: with escape codes for colours.
    """
    checks = report["checks"]
    shown = checks if complete else [check for check in checks if _decides(check, report)]
    parts: list[RenderableType] = [heading(report, name, width), *map(Text, answer(report)), "", _rows(shown, report)]
    if report["verdict"] in {"forgotten", "inconclusive"}:
        parts += _what_would_decide(cure, outlook)
    else:
        parts += ["", Text(NEXT[report["verdict"]])]
    if complete:
        parts += ["", _accuracies(report), *(Text(f"limit: {text}", style="dim") for text in report["limits"])]
    else:
        more = f"{len(checks) - len(shown)} more measurements: --all · a page for others: --html report.html"
        parts += ["", Text(more, style="dim")]
    paper = Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False, markup=False
    )
    with paper.capture() as captured:
        for part in parts:
            paper.print(part, soft_wrap=isinstance(part, Text) and bool(part.no_wrap))
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def heading(report: dict[str, Any], name: str, width: int = WIDTH) -> Text:
    """Return the line with the checkpoint, the verdict, and, at the right edge, the exit code."""
    name, words, end = printable(name), title(report), f"exit {report['exit_code']}"
    gap = max(2, width - len(name) - 2 - len(words) - len(end))
    style = VERDICT_STYLES.get(report["verdict"], "bold red")
    return Text.assemble((name, "bold"), "  ", (words, style), " " * gap, end)


def _decides(check: dict[str, Any], report: dict[str, Any]) -> bool:
    """Say whether to show a check: what decides, some others, and what could not decide if nothing did."""
    if check["gating"] or check["id"] in {"utility", "attacks"}:
        return True
    if check["id"] == "references":
        return WORD in check["note"] or check["verdict"] == "inconclusive"
    undecided = report["forgetting"] == "inconclusive" and check["group"] != "earlier"
    return undecided and check["id"] in ABOUT[report["policy"]["criterion"]]


def _rows(checks: list[dict[str, Any]], report: dict[str, Any]) -> RenderableType:
    """Return the checks: what each is about, its result, its name, and what it found with its figures."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    for column in range(4):
        grid.add_column(no_wrap=column < 3, ratio=1 if column == 3 else None)
    for check in sorted(checks, key=lambda check: SUBJECTS.index(about(check))):
        found = Text(printable(check["note"].partition(BY_ITSELF)[0]))
        if figures := numbers(check, report["policy"]):
            found.append(f" ({figures})", style="dim")
        mark = Text(MARKS[check["verdict"]], style=STYLES[check["verdict"]])
        grid.add_row(about(check).removeprefix("the "), mark, check_name(check), found)
    return Padding(grid, (0, 0, 0, 2))


def _what_would_decide(cure: Cure | None, outlook: str | None) -> list[RenderableType]:
    """Return what would decide an inconclusive verdict, as commands to paste, or why nothing would."""
    if cure is None:
        return ["", Text(f"{outlook[0].upper()}{outlook[1:]}.")] if outlook else []
    commands = [Text(f"  {command}", no_wrap=True) for command in cure.commands]
    return ["", Text(f"To decide it{cure.cost}:"), *commands]


def _accuracies(report: dict[str, Any]) -> Text:
    shown = {name: "–" if rate is None else f"{rate:.2%}" for name, rate in report["accuracy"].items()}
    kept, which = ("kept_", " without classes of which nothing is retained") if "kept_unseen" in shown else ("", "")
    return Text(
        f"accuracy: forget {shown['forget']}, retain {shown['retain']}, check half of unseen{which} "
        f"{shown[f'{kept}unseen']} (original {shown[f'{kept}original_unseen']})"
    )
