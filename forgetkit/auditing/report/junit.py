"""An audit as JUnit XML, which continuous integration shows as tests."""

import re
from pathlib import PurePath
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from forgetkit.auditing.report.document import row, verdict_words

FIGURES = ("value", "interval", "compare with", "n")
"""Names of the figures that follow name and verdict in a row of the report."""
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def junit(report: dict[str, Any], name: str, seconds: float = 0.0) -> str:
    """Return a report as one suite: a case for each check, and one for the verdict over all.

    A failed check is a failure. An inconclusive check is skipped, and so is a deciding one that was not run. All others
    pass, with their result in the output. The case of the verdict follows the exit code of the report. The time of the
    audit is that of the verdict, and the checks take none: what they are made of, predictions, they share.

    Args:
        report: what :func:`forgetkit.auditing.report.document.document` returned.
        name: the checkpoint; only its file name is shown.
        seconds: that the audit took.

    Returns:
        The document with its XML declaration, to be stored as UTF-8; the same report and time have the same bytes.

    Source: the elements that Jenkins and GitLab read, as pytest's ``--junit-xml`` writes them.
    """
    suite = Element("testsuite", name=printable(f"forgetkit audit {PurePath(name).name}"))
    for check in report["checks"]:
        _add_check(suite, check)
    _add_verdict(suite, report)
    return _whole(suite, seconds)


def junit_of_error(problem: Exception, name: str, seconds: float = 0.0) -> str:
    """Return an audit without a verdict, after ``seconds``, as one suite whose only case is an error."""
    suite = Element("testsuite", name=printable(f"forgetkit audit {PurePath(name).name}"))
    _outcome(_case(suite, "verdict", "forgetkit.audit"), "error", str(problem), f"{type(problem).__name__}: {problem}")
    return _whole(suite, seconds)


def _whole(suite: Element, seconds: float) -> str:
    """Return the document of a suite whose last case is the verdict."""
    suite[-1].set("time", f"{seconds:.3f}")
    counts = {
        "tests": str(len(suite)),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": str(len(suite.findall("testcase/error"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
        "time": f"{seconds:.3f}",
    }
    suite.attrib.update(counts)
    root = Element("testsuites", counts)
    root.append(suite)
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def printable(text: str) -> str:
    """Return ``text`` on one line, without characters that XML or UTF-8 cannot represent."""
    return _UNSEEN.sub("", " ".join(text.split()))


def _add_check(suite: Element, check: dict[str, Any]) -> None:
    name, verdict, *figures, note = row(check)
    shown = [f"{label} {figure}" for label, figure in zip(FIGURES, figures, strict=True) if figure]
    text = "\n".join([f"{verdict}: {note}", *shown])
    case = _case(suite, name, f"forgetkit.audit.{check['group']}")
    if check["verdict"] == "fail":
        _outcome(case, "failure", note, text)
    elif check["verdict"] == "inconclusive" or (check["verdict"] == "not-run" and check["gating"]):
        _outcome(case, "skipped", note, text)
    else:
        _say(SubElement(case, "system-out"), text)


def _add_verdict(suite: Element, report: dict[str, Any]) -> None:
    words, text = verdict_words(report), "\n".join(report["reasons"])
    case = _case(suite, "verdict", "forgetkit.audit")
    if report["exit_code"] == 0:
        _say(SubElement(case, "system-out"), f"{words}\n{text}")
    else:
        _outcome(case, "skipped" if report["exit_code"] == 3 else "failure", words, text)


def _case(suite: Element, name: str, group: str) -> Element:
    return SubElement(suite, "testcase", {"classname": printable(group), "name": printable(name), "time": "0.000"})


def _outcome(case: Element, kind: str, message: str, text: str) -> None:
    _say(SubElement(case, kind, {"message": printable(message)}), text)


def _say(element: Element, text: str) -> None:
    element.text = "\n".join(printable(line) for line in text.split("\n"))
