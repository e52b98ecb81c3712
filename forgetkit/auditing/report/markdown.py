"""An audit as GitHub-flavoured Markdown, for the summary of a job."""

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from forgetkit.auditing.report.document import row, verdict_words
from forgetkit.auditing.report.junit import printable
from forgetkit.auditing.report.plain_language import answer, origin

COLUMNS = ("check", "verdict", "value", "interval", "compare with", "n", "note")
ACCURACIES = {
    "forget": "forgotten samples",
    "retain": "retained samples",
    "unseen": "unseen samples",
    "original_unseen": "unseen samples, original",
    "kept_unseen": "unseen samples of classes with retained samples",
    "kept_original_unseen": "unseen samples of classes with retained samples, original",
}
_MARKUP = re.compile(r"([\\`*_\[\]<>|~$&#!])")


def summary(report: dict[str, Any], name: str) -> str:
    """Return a report as Markdown: verdict, reasons, checks, accuracies, limits.

    Args:
        report: what :func:`forgetkit.auditing.report.document.document` returned.
        name: the checkpoint; only its file name is shown.

    Returns:
        Text that ends in a line feed, to be appended to ``$GITHUB_STEP_SUMMARY``; the same report has the same bytes.

    Source: GitHub Flavored Markdown Spec 0.29, sections 4.10 (tables) and 6.1 (backslash escapes).
    """
    rates = [
        (words, _percent(report["accuracy"][key])) for key, words in ACCURACIES.items() if key in report["accuracy"]
    ]
    parts = [
        [f"## {escape(PurePath(name).name)}: {escape(verdict_words(report))}"],
        _points([*answer(report), *filter(None, [origin(report)])]),
        _points(report["reasons"]),
        _table(COLUMNS, [row(check) for check in report["checks"]]),
        [escape("* decides; the others only inform")],
        _table(("samples", "accuracy"), rates),
        ["### Limits"],
        _points(report["limits"]),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def escape(text: str) -> str:
    """Return ``text`` on one line, with every character escaped that Markdown or HTML would interpret."""
    return _MARKUP.sub(r"\\\1", printable(text))


def _points(texts: Iterable[str]) -> list[str]:
    return [f"- {escape(text)}" for text in texts]


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [columns, ("---",) * len(columns), *(tuple(map(escape, cells)) for cells in rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.2%}"
