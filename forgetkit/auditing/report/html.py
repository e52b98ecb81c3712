"""An audit as one HTML page that needs nothing else: no script, no font, no network."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import PurePath
from typing import Any
from xml.etree.ElementTree import Element, tostring

from forgetkit import __version__
from forgetkit.auditing.report import plain_language as words
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.figures import figures
from forgetkit.auditing.report.margin import bar, compared
from forgetkit.auditing.report.markdown import ACCURACIES
from forgetkit.auditing.report.svg import Content, tag
from forgetkit.auditing.report.table import row

SECURITY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
RIGHT_ANSWERS = "Many right answers on forgotten samples do not mean remembered; few do not mean forgotten."
NONE_FOUND = "That none stands out does not mean that none is remembered: a single sample is the hardest to tell."
UNSIGNED = "What the file says about itself. It is not signed: who can write the file can write its record."
RULES = "This page cannot tell whether the rules were set before the results were seen."
AGAIN = (
    "This page is not signed. To check it, run forgetkit audit again on files with the digests above: the same inputs, "
    "on the same machine and versions, give the same bytes."
)


def html(report: dict[str, Any], name: str, curves: Curves | None, lineage: Sequence[str]) -> str:
    """Return a report as a page for readers who know no statistics.

    Args:
        report: what :func:`.table.document` returned; its ``warnings``, where it has them, are shown.
        name: the checkpoint; only its file name is shown.
        curves: what the figures are drawn from; None where the weights are broken.
        lineage: lines about the checkpoint, as ``forgetkit inspect`` prints them.

    Returns:
        The document, to be stored as UTF-8; the same arguments give the same bytes.
    """
    name = PurePath(name).name
    criterion, count = report["policy"]["criterion"], report["inputs"]["ids"]["count"]
    content = tag(
        "main",
        {},
        tag("h1", {}, "Audit of ", tag("b", {}, name)),
        tag("p", {"class": "soft"}, f"Asked of {count} samples together: {words.ASKED[criterion]}"),
        _verdict(report),
        *_warnings(report),
        _checks(report),
        _figures(report, curves),
        _accuracies(report),
        _single(report),
        _lineage(lineage),
        _rules(report["policy"]),
        _inputs(report["inputs"]),
        _section("What this audit does not show", _points(report["limits"])),
        tag("footer", {}, tag("small", {}, f"Written by forgetkit {__version__}. {AGAIN}")),
    )
    title = f"{name}: {words.HEADLINES[report['verdict']]} (forgetkit audit)"
    page = tag("html", {"lang": "en"}, _head(title), tag("body", {}, content))
    return f"<!doctype html>\n{tostring(page, encoding='unicode', method='html')}\n"


def _head(title: str) -> Element:
    return tag(
        "head",
        {},
        tag("meta", {"charset": "utf-8"}),
        tag("meta", {"http-equiv": "Content-Security-Policy", "content": SECURITY}),
        tag("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        tag("title", {}, title),
        tag("style", {}, files("forgetkit.auditing.report").joinpath("report.css").read_text(encoding="utf-8")),
    )


def _verdict(report: dict[str, Any]) -> Element:
    means, does_not = words.meaning(report)
    return tag(
        "section",
        {"class": f"verdict {report['verdict']}"},
        tag("h2", {}, words.HEADLINES[report["verdict"]]),
        tag("p", {}, tag("b", {}, "What this means. "), means),
        tag("p", {}, tag("b", {}, "What it does not mean. "), does_not),
        *(tag("p", {}, tag("b", {}, caution)) for caution in words.cautions(report)),
        tag("p", {}, tag("b", {}, "Because")),
        _points(report["reasons"]),
    )


def _warnings(report: dict[str, Any]) -> list[Element]:
    """Return what was said about the inputs, where the document carries it."""
    said = [warning["message"] for warning in report.get("warnings", ())]
    return [_section("Warnings", _points(said))] if said else []


def _checks(report: dict[str, Any]) -> Element:
    policy, level = report["policy"], report["policy"]["level"]
    decide, inform = ([check for check in report["checks"] if check["gating"] is gating] for gating in (True, False))
    wide, narrow = (f"{100 * share:.4g} %" for share in (1 - level, 1 - 2 * level))
    rule = (
        f"The bar is the {wide} interval: the values that agree with what was seen. A check fails if its whole bar "
        "lies outside the shaded right values. It passes only if a slightly shorter one, the "
        f"{narrow} interval, lies inside. Else it cannot tell. A check without a bar says in words what it goes by."
    )
    return _section(
        "What was measured",
        tag("h3", {}, "Words"),
        _terms(words.GLOSSARY),
        tag("h3", {}, "Checks that decide"),
        tag("p", {"class": "soft"}, rule),
        _table(decide, policy) if decide else tag("p", {}, "There are none."),
        tag("h3", {}, "For information: these decide nothing"),
        _table(inform, policy) if inform else tag("p", {}, "There are none."),
    )


def _table(checks: list[dict[str, Any]], policy: dict[str, Any]) -> Element:
    columns = ("Check", "Result", "Measured", "In words")
    head = tag("tr", {}, *(tag("th", {"scope": "col"}, column) for column in columns))
    body = (_row(check, policy) for check in checks)
    return tag("table", {"class": "checks"}, tag("thead", {}, head), tag("tbody", {}, *body))


def _row(check: dict[str, Any], policy: dict[str, Any]) -> Element:
    name, _, value, span, *_, note = row(check)
    p = "" if check["p"] is None else f"p = {check['p']:.3f}"
    lines = [f"{value} {span}".strip(), p, compared(check, policy), words.counted(check)]
    asks = f"About {words.about(check)}. {words.question(check)}"
    return tag(
        "tr",
        {},
        tag("th", {"scope": "row"}, name, tag("small", {}, asks)),
        tag("td", {"class": f"result {check['verdict']}"}, words.RESULTS[check["verdict"]]),
        tag("td", {"class": "figures"}, bar(check, policy), *(tag("div", {}, line) for line in lines if line)),
        tag("td", {}, note),
    )


def _figures(report: dict[str, Any], curves: Curves | None) -> Element | None:
    drawn = [
        tag("figure", {}, tag("h3", {}, figure.title), figure.drawing, tag("figcaption", {}, figure.words))
        for figure in figures(report, curves)
    ]
    return _section("Figures", tag("div", {"class": "plots"}, *drawn)) if drawn else None


def _accuracies(report: dict[str, Any]) -> Element:
    rates = report["accuracy"]
    head = tag("tr", {}, tag("th", {"scope": "col"}, "of"), tag("th", {"scope": "col"}, "right"))
    rows = [
        tag("tr", {}, tag("th", {"scope": "row"}, kind), tag("td", {}, _percent(rates[key])))
        for key, kind in ACCURACIES.items()
    ]
    table = tag("table", {"class": "pairs"}, tag("thead", {}, head), tag("tbody", {}, *rows))
    return _section("Right answers", table, tag("p", {"class": "soft"}, RIGHT_ANSWERS))


def _single(report: dict[str, Any]) -> Element:
    """Return how many single samples stand out; which ones only where the report lists them."""
    parts: list[Element] = []
    for key, kind in (("remembered", "remembered"), ("over_forgotten", "over-forgotten")):
        count, ids = report["ids"][key]["count"], report["ids"][key]["ids"]
        found = "not measured" if count is None else str(count or "none found")
        parts.append(tag("p", {}, f"Stand out as {kind}: {found}"))
        if isinstance(ids, list) and ids:
            parts.append(tag("p", {}, tag("small", {}, f"Personal data, their ids: {', '.join(ids)}")))
    notes = [f"{check['id']}: {check['note']}" for check in report["checks"] if check["id"].startswith("per-id")]
    return _section("Single samples", *parts, _points(notes), tag("p", {"class": "soft"}, NONE_FOUND))


def _lineage(lines: Sequence[str]) -> Element:
    listed = tag("ul", {"class": "plain"}, *(tag("li", {}, tag("code", {}, line)) for line in lines))
    return _section("Where the model comes from", listed, tag("p", {"class": "soft"}, UNSIGNED))


def _rules(policy: dict[str, Any]) -> Element:
    entries = {key.replace("_", " "): _plain(value) for key, value in policy.items()}
    return _section("Rules of this audit", _terms(entries), tag("p", {"class": "soft"}, RULES))


def _inputs(inputs: dict[str, Any]) -> Element:
    ids = inputs["ids"]
    digests = {
        "model under audit": inputs["checkpoint"],
        "original": inputs["original"] or "none was given",
        **{f"reference {place}": digest for place, digest in enumerate(inputs["references"], 1)},
        "data set": inputs["dataset"],
        f"list of {ids['count']} ids": ids["digest"],
    }
    return _section("Inputs, as SHA-256", _terms({key: tag("code", {}, digest) for key, digest in digests.items()}))


def _section(title: str, *content: Content) -> Element:
    return tag("section", {}, tag("h2", {}, title), *content)


def _points(texts: Iterable[str]) -> Element:
    return tag("ul", {}, *(tag("li", {}, text) for text in texts))


def _terms(entries: Mapping[str, Content]) -> Element:
    parts = [(tag("dt", {}, term), tag("dd", {}, meaning)) for term, meaning in entries.items()]
    return tag("dl", {}, *(part for pair in parts for part in pair))


def _plain(value: object) -> str:
    """Return a value of a policy in words."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _percent(rate: float | None) -> str:
    return "not measured" if rate is None else f"{rate:.2%}"
