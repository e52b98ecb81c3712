"""The HTML report: what it says, what it must not say, and that it is well formed, closed, and the same each time."""

import copy
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from forgetkit.auditing.check import Check, Verdict
from forgetkit.auditing.policy import CAN_DECIDE, Policy
from forgetkit.auditing.report import plain_language as words
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.document import LIMITS, document
from forgetkit.auditing.report.files import today
from forgetkit.auditing.report.html import html
from forgetkit.auditing.verdict import overall
from forgetkit.statistics.references import closer, rank

VOID = {"meta", "br", "hr", "img", "link", "input"}
POLICY = Policy().to_json(None)
INTEGRITY = Check("integrity", "pass", "in order", gating=True)
UTILITY = Check(
    "utility", "pass", "kept", gating=True, n=900, statistic=0.0, interval=(-0.01, 0.01), null=0.0, margin=0.02
)
MEMBERSHIP = Check(
    "membership",
    "pass",
    "like unseen",
    gating=True,
    proves=True,
    n=200,
    statistic=0.51,
    interval=(0.48, 0.54),
    null=0.5,
    margin=0.05,
)
CHANCE = Check("chance", "info", "above chance", n=200, statistic=0.9, interval=(0.85, 0.94), null=0.1, margin=0.05)
UNSURE = replace(MEMBERSHIP, verdict="inconclusive", note="cannot tell")
BY_VERDICT: dict[Verdict, list[Check]] = {
    "forgotten": [INTEGRITY, UTILITY, MEMBERSHIP],
    "not-forgotten": [INTEGRITY, UTILITY, replace(MEMBERSHIP, verdict="fail", statistic=0.8)],
    "over-forgotten": [INTEGRITY, UTILITY, replace(MEMBERSHIP, verdict="fail", statistic=0.2)],
    "utility-lost": [INTEGRITY, replace(UTILITY, verdict="fail", statistic=-0.3), MEMBERSHIP],
    "inconclusive": [INTEGRITY, UTILITY, UNSURE],
}


def a_report(*checks: Check, ids: dict[str, Any] | None = None, criterion: str = "retrain") -> dict[str, Any]:
    none = {"count": 0, "ids": None}
    return document(
        overall(list(checks), original=True),
        list(checks),
        accuracy={"forget": 0.9, "retain": 0.99, "unseen": 0.91, "original_unseen": None},
        ids=ids or {"remembered": none, "over_forgotten": none},
        inputs={
            "checkpoint": "a" * 64,
            "original": "b" * 64,
            "references": ["c" * 64],
            "dataset": "d" * 64,
            "ids": {"count": 200, "digest": "e" * 64},
        },
        policy={**POLICY, "criterion": criterion},
    )


def some_curves(n: int = 40, m: int = 300, seed: int = 0) -> Curves:
    draw = np.random.default_rng(seed)
    forget, original, *references = draw.normal(2, 2, (21, n))
    softmax = draw.dirichlet([1, 1, 1], (7, n))
    return Curves(
        forget,
        draw.integers(0, 3, n),
        draw.normal(2, 2, m),
        draw.integers(0, 3, m),
        original=original + 3,
        original_unseen=draw.normal(2, 2, m),
        references=tuple(references),
        rank=rank(forget, original + 3, references),
        closer=closer(softmax[0], softmax[1], softmax[2:], draws=20),
    )


REPORT = a_report(*BY_VERDICT["forgotten"], CHANCE)
PAGE = html(REPORT, "m.st", some_curves(), ["m.st  sha256:abc", "  1. train: seed=0"])


class Balance(HTMLParser):
    """Closes every element in its order, and gathers tags and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: D102
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:  # noqa: D102
        if "style" not in self.open:
            self.words += data


def text_of(page: str) -> str:
    return Balance(page).words


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def pages() -> list[str]:
    """Return a page for each verdict, with everything and with nothing to draw."""
    whole = some_curves()
    bare = replace(whole, original=None, original_unseen=None, references=(), rank=None, closer=None)
    return [
        html(a_report(*checks), "m.st", curves, []) for checks in BY_VERDICT.values() for curves in (whole, bare, None)
    ]


def test_the_same_inputs_give_the_same_bytes_and_are_left_as_they_were() -> None:
    report, curves = copy.deepcopy(REPORT), some_curves()
    lines = ["m.st  sha256:abc", "  1. train: seed=0"]
    assert html(json.loads(json.dumps(report)), "m.st", curves, lines) == PAGE
    assert report == REPORT
    assert np.array_equal(curves.forget, some_curves().forget)


def test_only_the_file_name_of_the_checkpoint_is_shown() -> None:
    assert html(REPORT, "/home/someone/m.st", None, []) == html(REPORT, "m.st", None, [])


def test_every_element_is_closed_in_its_order() -> None:
    for page in pages():
        assert Balance(page).open == []


def test_every_drawing_is_xml_with_a_name_and_a_description() -> None:
    for drawn in drawings(PAGE):
        assert drawn.get("role") == "img"
        assert [part.tag for part in drawn[:2]] == ["title", "desc"]
        assert all(part.text for part in drawn[:2])


def test_no_id_stands_twice_on_a_page() -> None:
    found = re.findall(r'\bid="([^"]+)"', PAGE)
    assert len(found) == len(set(found)) > 0


def test_nothing_is_fetched_or_run() -> None:
    for page in pages():
        assert not re.search(
            r"https?:|//|url\((?!#)|@import|<script|<link|<img|<iframe|\bsrc=|\bhref=\"(?!#)|\bon\w+=", page
        )
        assert "default-src 'none'" in page


def test_no_number_is_infinite_or_no_number() -> None:
    for page in pages():
        assert not re.search(r"\b(nan|inf|None|NaN)\b", page)


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "</style><b>", "&lt;", "]]>", "<!--"]
)
def test_hostile_text_stays_text_wherever_it_stands(text: str) -> None:
    checks = [Check("integrity", "fail", text, gating=True)]
    ids = {key: {"count": 1, "ids": [text]} for key in ("remembered", "over_forgotten")}
    report = {**a_report(*checks, ids=ids), "warnings": [{"code": "x", "message": text}], "limits": [text]}
    page = Balance(html(report, f"{text}.st", None, [text]))
    assert page.open == []
    assert page.tags == Balance(html({**report, "warnings": [{"code": "x", "message": "y"}]}, "m.st", None, ["y"])).tags
    assert (
        page.words.count(text) >= 7
    )  # reason, note, two ids, warning, line of the record, limit; the name, if it has no slash


@pytest.mark.parametrize("text", ["\x1b[31mred\0", "\ud800", "\ufffe", "\u202egnp.exe", "\x85\u2028"])
def test_what_no_page_can_carry_is_left_out(text: str) -> None:
    page = html(a_report(Check("integrity", "fail", text, gating=True)), f"{text}.st", None, [text])
    assert page.encode().decode().replace("\n", "").isprintable()


@pytest.mark.parametrize("verdict", list(BY_VERDICT))
def test_each_verdict_says_what_it_means_and_what_not_before_any_figure(verdict: Verdict) -> None:
    report = a_report(*BY_VERDICT[verdict])
    assert report["verdict"] == verdict
    said = text_of(html(report, "m.st", some_curves(), []))
    order = [words.HEADLINES[verdict], words.MEANS[verdict], words.DOES_NOT_MEAN[verdict], report["reasons"][0]]
    places = [said.index(part) for part in (*order, "In pictures", "What was measured")]
    assert places == sorted(places)


def test_only_the_verdict_forgotten_is_called_forgotten_in_the_headline() -> None:
    assert "no certificate" in words.DOES_NOT_MEAN["forgotten"]
    assert "not a pass" in words.HEADLINES["inconclusive"]
    for verdict in set(BY_VERDICT) - {"forgotten", "not-forgotten", "over-forgotten"}:
        assert "forgotten" not in words.HEADLINES[verdict].lower()


def test_a_model_at_chance_is_not_said_to_be_like_one_that_never_saw_them() -> None:
    said = text_of(html(a_report(*BY_VERDICT["forgotten"], criterion="chance"), "m.st", None, []))
    assert words.CHANCE_MEANS["forgotten"] in said
    assert words.CHANCE_DOES_NOT_MEAN["forgotten"] in said
    assert words.MEANS["forgotten"] not in said


@pytest.mark.parametrize(("verdict", "accuracy"), [("not-forgotten", 0.9), ("over-forgotten", 0.01)])
def test_a_failure_at_chance_is_not_said_to_show_what_training_left(verdict: Verdict, accuracy: float) -> None:
    failed = replace(CHANCE, verdict="fail", gating=True, statistic=accuracy)
    said = text_of(html(a_report(INTEGRITY, failed, criterion="chance"), "m.st", None, []))
    assert words.CHANCE_HEADLINES[verdict] in said
    assert words.CHANCE_MEANS[verdict] in said
    assert words.MEANS[verdict] not in said
    assert words.DOES_NOT_MEAN[verdict] not in said


def test_a_failure_that_has_nothing_to_do_with_chance_keeps_its_words() -> None:
    checks = [replace(INTEGRITY, verdict="fail"), replace(CHANCE, verdict="pass", gating=True)]
    assert words.MEANS["not-forgotten"] in text_of(html(a_report(*checks, criterion="chance"), "m.st", None, []))


def test_an_inconclusive_verdict_that_exits_as_a_pass_is_called_none() -> None:
    report = a_report(*BY_VERDICT["inconclusive"])
    assert words.LET_PASS not in text_of(html(report, "m.st", None, []))
    assert words.LET_PASS in text_of(html({**report, "exit_code": 0}, "m.st", None, []))


def test_passes_that_are_not_about_forgetting_are_called_so() -> None:
    alone = [INTEGRITY, UTILITY, replace(MEMBERSHIP, verdict="info", gating=False)]
    assert words.WITHOUT in text_of(html(a_report(*alone), "m.st", None, []))
    assert words.WITHOUT not in text_of(PAGE)


def test_what_the_rules_left_out_is_named() -> None:
    unasked = replace(UTILITY, gating=False, verdict="info")
    assert f"{words.LEFT_OUT}utility." in text_of(html(a_report(INTEGRITY, unasked, MEMBERSHIP), "m.st", None, []))
    assert words.LEFT_OUT not in text_of(PAGE)


def test_single_ids_are_shown_only_where_the_report_lists_them() -> None:
    hidden = {key: {"count": 1, "ids": None} for key in ("remembered", "over_forgotten")}
    shown = {key: {"count": 1, "ids": ["person-7"]} for key in hidden}
    assert "Personal data" not in html(a_report(INTEGRITY, ids=hidden), "m.st", None, [])
    assert "person-7" in html(a_report(INTEGRITY, ids=shown), "m.st", None, [])


def test_none_found_is_not_printed_as_a_clearance() -> None:
    said = text_of(PAGE)
    assert "Stand out as remembered: none found" in said
    assert "does not mean that none is remembered" in said


def test_every_limit_and_every_input_is_there() -> None:
    said = text_of(PAGE)
    for part in (*LIMITS, "a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64, "1. train: seed=0"):
        assert " ".join(part.split()) in said


def test_every_check_that_can_decide_has_its_question() -> None:
    for name in CAN_DECIDE:
        assert words.question(Check(name, "pass", "").to_json())


def test_a_control_and_an_earlier_group_are_told_apart() -> None:
    assert words.question(Check("membership-original", "info", "").to_json()) == words.CONTROL
    earlier = words.question(replace(MEMBERSHIP, group="earlier").to_json())
    assert earlier == words.EARLIER + words.QUESTIONS["membership"]


def test_the_first_screen_has_the_request_the_day_the_answer_and_what_next() -> None:
    commands = ["forgetkit train --like m.st --replicas 19 -o refs/{n}.st"]
    page = html(REPORT, "m.st", some_curves(), [], request="case-7", date="2026-11-30", commands=commands)
    first = text_of(page[: page.index("In pictures")])
    assert all(part in first for part in ("request case-7", "2026-11-30", words.NEXT[REPORT["verdict"]], *commands))


def test_what_decides_nothing_is_folded() -> None:
    report = a_report(INTEGRITY, MEMBERSHIP, CHANCE)
    folded = re.findall("<details>.*?</details>", html(report, "m.st", None, []), re.DOTALL)
    assert [("<small>" in part, "For information" in part) for part in folded] == [(True, True), (False, False)]


def test_the_day_can_be_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert today() == "1970-01-02"
