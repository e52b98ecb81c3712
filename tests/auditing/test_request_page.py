"""The page of a request: what it says in each state, that it is escaped, readable, and of the right audit."""

import base64
import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forgetkit.auditing.report.request_evidence import attestation_of
from forgetkit.auditing.report.request_page import Page, status, steps
from forgetkit.request_book.deadline import Details
from forgetkit.request_book.entries import Answer, BookedAudit, Concerned, Entry
from forgetkit.request_book.open_ends import OpenEnd
from tests.conftest import Run

A, B = "a" * 64, "b" * 64
ACCEPTED = Entry("case-7", 12, "2026-11-30T08:00:00+00:00", (), ())
ANSWERED = replace(ACCEPTED, answers=(Answer("model.relabel.st", "relabel", A, B, "2026-12-01T09:00:00+00:00"),))
PASSED = BookedAudit(True, A, A, "forgotten", "retrain", None, None, "2026-12-02T10:00:00+00:00")
TODAY = date(2026, 12, 5)


def audited(**changes: object) -> Entry:
    return replace(ANSWERED, audits=(replace(PASSED, **changes),))


def page(entry: Entry, suffix: str = ".html") -> str:
    return Page(entry, None, None, TODAY).text(suffix)


@pytest.mark.parametrize(
    ("entry", "words", "sentence"),
    [
        (ACCEPTED, "Open", "No model has been changed"),
        (ANSWERED, "In progress", "was not tested yet"),
        (audited(closes=False, verdict="not-forgotten"), "In progress", "“not-forgotten”"),
        (audited(), "Done", "tested on 2026-12-02 and passed"),
        (audited(verdict="inconclusive", reason="few samples"), "Closed by decision", "anyway: few samples"),
        (audited(reason="some ids are gone"), "Done", "passed. Added: some ids are gone."),
        (audited(verdict=None, criterion=None, reason="withdrawn"), "Closed by decision", "without a test: withdrawn"),
    ],
)
def test_a_page_says_where_the_request_is(entry: Entry, words: str, sentence: str) -> None:
    found = status(entry)
    assert (found[0], sentence in found[1]) == (words, True)
    for suffix in (".html", ".md"):
        assert (words.lower() in page(entry, suffix), sentence in page(entry, suffix)) == (True, True)


def test_only_a_passed_test_is_called_done() -> None:
    verdicts = ("not-forgotten", "over-forgotten", "utility-lost", "inconclusive")
    for verdict in verdicts:
        for closes in (True, False):
            entry = audited(verdict=verdict, closes=closes, reason="accepted" if closes else None)
            assert status(entry)[0] != "Done"
            assert "treats the samples as a model does that never saw them" not in page(entry)
    assert "treats the samples as a model does that never saw them" in page(audited())


def test_a_verdict_by_chance_says_what_its_goal_was() -> None:
    assert "accuracy of a guess" in page(audited(criterion="chance"))
    assert "accuracy of a guess" not in page(audited())


def test_what_was_done_is_in_the_order_of_time() -> None:
    end = OpenEnd("old.st", "a checkpoint", "waived", "deleted in 30 days", "2026-12-03T00:00:00+00:00")
    entry = replace(audited(who="ann"), details=Details("2026-11-28"), open_ends=(end,))
    assert steps(entry) == [
        ("2026-11-28", "received"),
        ("2026-11-30", "entered in the book, 12 samples"),
        ("2026-12-01", "a model was changed: model.relabel.st, by relabel"),
        ("2026-12-02", "tested: forgotten; this closed the request"),
    ]


def test_what_still_waits_is_said_first_in_both_forms() -> None:
    ends = tuple(OpenEnd(f"{number}.st", "a checkpoint") for number in range(2))
    for suffix in (".html", ".md"):
        assert "But 2 places still wait to be dealt with." in page(replace(audited(), open_ends=ends), suffix)
        assert "But 1 place that holds the samples" in page(replace(audited(), open_ends=ends[:1]), suffix)
        assert "still wait" not in page(audited(), suffix)


@pytest.mark.parametrize(
    ("entry", "due", "words"),
    [
        (ACCEPTED, "2026-12-10", "2026-12-10, 5 days left"),
        (ACCEPTED, "2026-12-04", "2026-12-04, 1 day overdue"),
        (audited(), "2026-12-02", "answered by 2026-12-02."),
        (audited(), "2026-12-01", "2026-12-01, missed: closed 1 day later"),
    ],
)
def test_a_deadline_is_shown_with_what_became_of_it(entry: Entry, due: str, words: str) -> None:
    assert words in page(replace(entry, details=Details(due=due)))


class Reader(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:  # noqa: D102
        self.text.append(data)


def test_names_cannot_add_to_the_page_and_any_script_is_shown_as_it_is() -> None:
    evil = "<script>alert('ü')</script>|\n# x"
    end = OpenEnd(evil, evil, "open")
    entry = replace(
        audited(reason=evil, who=evil),
        request=evil,
        details=Details(subject=evil, channel=evil),
        models=(Concerned(evil, B, "2026-12-01T00:00:00+00:00"),),
        open_ends=(end,),
    )
    reader = Reader()
    reader.feed(page(entry))
    assert {tag for tag, _ in reader.tags}.isdisjoint({"script", "img", "iframe", "link", "object"})
    assert not [found for _, found in reader.tags if {"src", "href"} & set(found)]  # nothing is fetched
    assert "alert('ü')" in "".join(reader.text)
    text = page(entry, ".md")
    assert "<script" not in text
    assert [line for line in text.splitlines() if line.startswith("#")][1:] == [
        "## For the person who asked",
        "## For an auditor",
    ]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) in {3, 5} for line in rows)  # no cell is cut in two


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_the_contrast_of_wcag_aa_in_light_and_dark() -> None:
    schemes = re.findall(r":root \{(.*?)\}", page(ACCEPTED), re.DOTALL)
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for ground in ("paper", "wash"):
            for ink in ("ink", "soft"):
                high, low = sorted((luminance(colours[ground]), luminance(colours[ink])), reverse=True)
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ground, ink)


@pytest.fixture
def closed(forgetkit: Run, model: Path, ids: Path, tmp_path: Path) -> Path:
    """Return a folder with a book whose request r1 is closed, and the report of its audit."""
    book = ("--request", "r1", "--book", "b.db")
    assert forgetkit("requests", "add", "r1", "--ids", "ids.txt", "--book", "b.db").code == 0
    assert forgetkit("relabel", "model.st", "-i", "ids.txt", "--rate", 0.1, "--allow-unforgotten", *book).code == 0
    ran = forgetkit("audit", "model.relabel.st", "--original", "model.st", *book, "--accept", "few", "--json")
    (tmp_path / "audit.json").write_text(json.dumps(ran.json))
    return tmp_path


def test_a_page_has_the_checks_that_decided(forgetkit: Run, closed: Path) -> None:
    given = ("requests", "report", "r1", "--book", "b.db", "--audit", "audit.json", "-o")
    ran = forgetkit(*given, "r1.html", "--json")
    assert (ran.code, ran.json["outputs"]) == (0, ["r1.html"])
    text, report = (closed / "r1.html").read_text(), json.loads((closed / "audit.json").read_text())
    assert all(f'scope="row">{check["id"]}</th>' in text for check in report["checks"] if check["gating"])
    assert report["inputs"]["checkpoint"] in text
    assert forgetkit(*given, "r1.html").code == 2  # it is there already
    assert forgetkit(*given, "r1.html", "--force").code == 0
    assert forgetkit(*given, "r1.md").code == 0
    assert (closed / "r1.md").read_text().startswith("# Request r1: closed by decision")


def test_the_report_must_be_of_the_audit_in_the_book(forgetkit: Run, closed: Path) -> None:
    report = json.loads((closed / "audit.json").read_text())
    others = {
        "audit-mismatch": [
            {**report, "inputs": {**report["inputs"], "checkpoint": B}},
            {**report, "verdict": "forgotten"},
        ],
        "audit-malformed": [{}, [], {**report, "inputs": 3}, {"ok": False}],
    }
    for code, documents in others.items():
        for document in documents:
            (closed / "other.json").write_text(json.dumps(document))
            given = ("--book", "b.db", "--audit", "other.json", "-o", "x.html", "--json")
            ran = forgetkit("requests", "report", "r1", *given)
            assert (ran.code, ran.json["code"], (closed / "x.html").exists()) == (2, code, False), document
    ran = forgetkit("requests", "report", "r1", "--book", "b.db", "--audit", "none.json", "-o", "x.html", "--json")
    assert ran.json["code"] == "audit-missing"


def test_a_signed_statement_is_named_and_not_vouched_for(forgetkit: Run, closed: Path) -> None:
    statement = {"predicateType": "https://example.org/test", "subject": []}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    envelope = {
        "payload": payload,
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "k1", "sig": "AA=="}],
    }
    (closed / "s.jsonl").write_text(json.dumps(envelope) + "\n")
    assert attestation_of(closed / "s.jsonl").keys == ["k1"]
    given = ("requests", "report", "r1", "--book", "b.db", "-o", "r1.html")
    assert forgetkit(*given, "--attestation", "s.jsonl").code == 0
    text = (closed / "r1.html").read_text()
    assert all(words in text for words in ("https://example.org/test", "k1", "does not verify it"))
    for content in (b"", b"{}", b'{"payload": "%", "signatures": []}'):
        (closed / "s.jsonl").write_bytes(content)
        ran = forgetkit(*given, "-f", "--attestation", "s.jsonl", "--json")
        assert (ran.code, ran.json["code"]) == (2, "attestation-malformed")


@pytest.mark.parametrize("out", ["page", "page.pdf"])
def test_another_form_is_refused(forgetkit: Run, closed: Path, out: str) -> None:
    ran = forgetkit("requests", "report", "r1", "--book", "b.db", "-o", out)
    assert (ran.code, ".html or .md" in ran.err) == (2, True)
