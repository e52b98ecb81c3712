"""The page of a request, as HTML or Markdown; the templates have its text."""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetkit import __version__
from forgetkit.auditing.check import Verdict
from forgetkit.auditing.report import plain_language as words
from forgetkit.auditing.report.document import row
from forgetkit.auditing.report.request_evidence import Attestation
from forgetkit.errors import ForgetkitError
from forgetkit.request_book.deadline import left
from forgetkit.request_book.deadline import words as days_left
from forgetkit.request_book.entries import BookedAudit, Entry

if TYPE_CHECKING:
    from jinja2 import Template

FORMS = {".html": "request.html.jinja", ".md": "request.md.jinja"}
"""Templates by the ends of the names of files."""
FOUND: dict[Verdict, str] = {
    "forgotten": "The changed model treats the samples as a model does that never saw them, as far as the tests reach.",
    "not-forgotten": "The changed model still shows that it was trained on the samples.",
    "over-forgotten": "The changed model is less certain of the samples than a model that never saw them. That is a "
    "trace, too.",
    "utility-lost": "The changed model makes more errors on other samples than the rules allow.",
    "inconclusive": "The tests could not decide whether the samples are forgotten.",
}
MEANS = (
    "The samples were not taken out of the model one by one: a model is a set of numbers that all samples shaped. "
    "Its behaviour was compared with that of models that were not trained on them.",
    "A passed test is evidence with a known error, not a proof. Another test, or more samples, may still find "
    "something.",
    "It concerns the model named here. Earlier models, copies and the samples themselves are listed as open ends, as "
    "far as they were searched for.",
)


@dataclass(frozen=True)
class Page:
    """What a page is made from.

    Attributes:
        entry: the request.
        audit: report of its audit, if it was given.
        attestation: signed statement about the model, if it was given.
        today: day of the page.
    """

    entry: Entry
    audit: dict[str, Any] | None
    attestation: Attestation | None
    today: date

    def text(self, suffix: str) -> str:
        """Return the page; the same arguments give the same bytes.

        Args:
            suffix: ``.html`` or ``.md``.
        """
        entry = self.entry
        return _template(FORMS[suffix]).render(
            version=__version__,
            today=self.today.isoformat(),
            entry=entry,
            details=entry.details,
            status=status(entry),
            steps=steps(entry),
            deadline=self._deadline(),
            found=_found(entry.audit),
            means=MEANS if entry.audit and entry.audit.verdict else (),
            report=self.audit,
            words=words,
            checks=[row(check) for check in self.audit["checks"] if check["gating"]] if self.audit else [],
            limits=self.audit["limits"] if self.audit else [],
            attestation=self.attestation,
        )

    def _deadline(self) -> str:
        """Return the deadline, and where the request is not done how many days are left."""
        due = self.entry.details.due
        days = left(due, self.today)
        if due is None or days is None:
            return ""
        if self.entry.done:
            late = left(due, date.fromisoformat(self.entry.done.at[:10])) or 0
            return due if late >= 0 else f"{due}, missed: closed {days_left(late).replace('overdue', 'later')}"
        return f"{due}, {days_left(days)}"


def suffix_of(path: Path) -> str:
    """Return the end of the name of a page; raises ForgetkitError ``usage`` for another one than .html and .md."""
    suffix = path.suffix.lower()
    if suffix not in FORMS:
        message = f"{path}: the name of a page ends in .html or .md"
        raise ForgetkitError("usage", message, "for example: -o case-7.html", option="out")
    return suffix


def status(entry: Entry) -> tuple[str, str]:
    """Return where a request is, in a few words, and in sentences that also say what still waits."""
    count = len(entry.waiting)
    still = "place that holds the samples, or may hold them, still waits" if count == 1 else "places still wait"
    words, sentence = _status(entry)
    return words, f"{sentence} But {count} {still} to be dealt with." if count else sentence


def _status(entry: Entry) -> tuple[str, str]:
    done, audit = entry.done, entry.audit
    if done and done.verdict == "forgotten":
        reason = f" Added: {done.reason}." if done.reason else ""
        return "Done", f"A changed model was tested on {done.at[:10]} and passed.{reason}"
    if done and done.verdict:
        reason = f": {done.reason}" if done.reason else ""
        return "Closed by decision", f"The tests ended with the verdict “{done.verdict}”. It was closed anyway{reason}."
    if done:
        return "Closed by decision", f"It was closed on {done.at[:10]} without a test: {done.reason}."
    if entry.answer is None:
        return "Open", "It is in the book. No model has been changed for it yet."
    if audit is None:
        return "In progress", "A model has been changed. Whether it has forgotten the samples was not tested yet."
    return "In progress", f"A model has been changed. Its test ended with the verdict “{audit.verdict}”."


def steps(entry: Entry) -> list[tuple[str, str]]:
    """Return what was done, each with its day, in the order of time; without names and reasons, for the person."""
    found = [(entry.details.received, "received")] if entry.details.received else []
    found.append((entry.accepted, f"entered in the book, {entry.count:,} samples"))
    found += [(one.at, f"a model was changed: {one.file or 'a file'}, by {one.command}") for one in entry.answers]
    found += [(one.at, _audited(one)) for one in entry.audits]
    return [(at[:10], what) for at, what in sorted(found, key=lambda one: one[0])]


def _audited(audit: BookedAudit) -> str:
    if audit.verdict is None:
        return "closed without a test"
    return f"tested: {audit.verdict}" + ("; this closed the request" if audit.closes else "")


def plain(text: object) -> str:
    """Return text for Markdown: on one line, without any mark that would be more than text."""
    words = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", words)


def _found(audit: BookedAudit | None) -> str:
    if audit is None or audit.verdict is None:
        return "No model was tested for this request."
    verdict: Verdict = audit.verdict  # type: ignore[assignment]
    goal = " The goal was the accuracy of a guess, not that of a model that never saw them."
    return FOUND[verdict] + (goal if audit.criterion == "chance" else "")


def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("forgetkit.auditing", "report"),
        autoescape=name.endswith(".html.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = plain
    return environment.get_template(name)
