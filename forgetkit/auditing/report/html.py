"""An audit as one HTML page without scripts, fonts or network. The template has its text."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from forgetkit import __version__
from forgetkit.auditing.report import plain_language as words
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.document import row
from forgetkit.auditing.report.figures import figures
from forgetkit.auditing.report.markdown import ACCURACIES
from forgetkit.auditing.report.right_values import comparison, right_values

if TYPE_CHECKING:
    from jinja2 import Template

BAR = 160.0
"""Width of the bar beside a check, in its own units."""


def html(
    report: dict[str, Any],
    name: str,
    curves: Curves | None,
    lineage: Sequence[str],
    *,
    request: str | None = None,
    date: str | None = None,
    commands: Sequence[str] = (),
) -> str:
    """Return a report as a page for readers who know no statistics.

    Args:
        report: what :func:`.document.document` returned; its ``warnings``, if it has any, are shown.
        name: the checkpoint; only its file name is shown.
        curves: what the figures are drawn from; None where the weights are broken.
        lineage: lines about the checkpoint, as ``forgetkit inspect`` prints them.
        request: name of the request that the audit is about, if it is in a book.
        date: day of the audit; not shown if not given.
        commands: what would decide an inconclusive verdict.

    Returns:
        The document, to be stored as UTF-8; the same arguments give the same bytes.
    """
    policy = report["policy"]
    drawn = figures(report, curves)
    first = [figure for figure in drawn if figure.name in {"rank", "closer"}] or drawn[:2]
    checks = [(check["gating"], _row(check, policy)) for check in report["checks"]]
    wide, narrow = (f"{100 * share:.4g} %" for share in (1 - policy["level"], 1 - 2 * policy["level"]))
    return _template().render(
        version=__version__,
        name=PurePath(name).name,
        report=report,
        words=words,
        headline=words.headline(report),
        meaning=words.meaning(report),
        cautions=words.cautions(report),
        levels={"wide": wide, "narrow": narrow},
        request=request,
        date=date,
        answer=words.answer(report),
        origin=words.origin(report),
        commands=commands,
        deciding=[entry for gating, entry in checks if gating],
        informing=[entry for gating, entry in checks if not gating],
        curves=curves,
        figures=first,
        more_figures=[figure for figure in drawn if figure not in first],
        accuracies=_accuracies(report["accuracy"]),
        single=[_single(report, key) for key in ("remembered", "over_forgotten")],
        lineage=lineage,
        rules={key.replace("_", " "): _plain(value) for key, value in policy.items()},
        inputs=_digests(report["inputs"]),
    )


def _template() -> "Template":
    """Return the template of the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("forgetkit.auditing", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return pages.get_template("report.html.jinja")


def _printable(value: object) -> object:
    """Replace characters that no page can show, or that change the reading direction, by spaces."""
    from markupsafe import Markup

    if isinstance(value, Markup):
        return value
    return "".join(one if one.isprintable() or one == "\n" else " " for one in str(value))


def _row(check: dict[str, Any], policy: dict[str, Any]) -> dict[str, Any]:
    """Return what a row of the table of checks shows."""
    name, _, value, span, *_, note = row(check)
    p = "" if check["p"] is None else f"p = {check['p']:.3f}"
    return {
        "name": name,
        "asks": f"About {words.about(check)}. {words.question(check)}".rstrip(),
        "verdict": check["verdict"],
        "result": words.RESULTS[check["verdict"]],
        "bar": _bar(check, policy),
        "lines": [
            line
            for line in (f"{value} {span}".strip(), p, comparison(check, policy), words.sample_count(check))
            if line
        ],
        "note": note,
    }


def _bar(check: dict[str, Any], policy: dict[str, Any]) -> dict[str, Any] | None:
    """Return the positions of value, interval and right values on a bar of width ``BAR``; None without an interval."""
    value, span, null = check["statistic"], check["interval"], check["null"]
    if value is None or span is None or null is None:
        return None
    reach = 1.15 * max(2 * (check["margin"] or 0.0), *(abs(end - null) for end in (value, *span)), 1e-9)

    def at(value: float) -> float:
        """Return the position of ``value``, at least two units from either edge."""
        share: float = (value - null + reach) / (2 * reach)
        return round(2 + (BAR - 4) * min(max(share, 0.0), 1.0), 1)

    right = right_values(check, policy)
    low, high = right or (None, None)
    return {
        "width": BAR,
        "title": f"{value:.3f}, interval {span[0]:.3f} to {span[1]:.3f}",
        "value": at(value),
        "low": at(span[0]),
        "high": at(span[1]),
        "null": at(null),
        "right": right and (2.0 if low is None else at(low), BAR - 2 if high is None else at(high)),
    }


def _accuracies(found: dict[str, float | None]) -> dict[str, str]:
    """Return the accuracies that a report has, by what they are called on the page."""
    return {name: _percent(found[key]) for key, name in ACCURACIES.items() if key in found}


def _digests(inputs: dict[str, Any]) -> dict[str, str]:
    """Return the digests of what was judged, by what it is called on the page."""
    return {
        "model under audit": inputs["checkpoint"],
        "original": inputs["original"] or "none was given",
        **{f"reference {place}": digest for place, digest in enumerate(inputs["references"], 1)},
        "data set": inputs["dataset"],
        f"list of {inputs['ids']['count']} ids": inputs["ids"]["digest"],
    }


def _single(report: dict[str, Any], key: str) -> dict[str, Any]:
    """Return how many single samples stand out, and which ones if the report lists them."""
    count, ids = report["ids"][key]["count"], report["ids"][key]["ids"]
    found = "not measured" if count is None else str(count or "none found")
    return {"kind": key.replace("_", "-"), "found": found, "ids": ids or []}


def _plain(value: object) -> str:
    """Return a value of a policy in words."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _percent(rate: float | None) -> str:
    return "not measured" if rate is None else f"{rate:.2%}"
