"""Reports for continuous integration: JUnit XML, Markdown, and the JSON Schema of the document."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from forgetkit.auditing.check import Check, CheckVerdict
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.report.document import CHANCE_LIMIT, LIMITS, WORDS, document
from forgetkit.auditing.report.junit import junit
from forgetkit.auditing.report.markdown import summary
from forgetkit.auditing.verdict import overall
from forgetkit.cli import app as cli
from tests.conftest import Run

Write = Callable[[dict[str, Any], str], str]
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "audit.schema.json").read_text())
PASSED = Check(
    "membership", "pass", "like unseen", gating=True, n=200, statistic=0.5, interval=(0.47, 0.53), null=0.5, margin=0.05
)
FAILED = Check("utility", "fail", "worse | <b>much</b> & more", gating=True, n=99, statistic=-0.1, null=0.0)
UNSURE = Check("membership", "inconclusive", "cannot tell", gating=True)
NOT_RUN = Check("utility", "not-run", "needs --original", gating=True)
NO_CHANCE = Check("low-fpr", "not-run", "needs 1,000 unseen samples")
INFORMS = Check("chance", "info", "above chance", n=200, statistic=0.955, interval=(0.9, 0.98), null=0.1, margin=0.05)
EARLIER = Check("membership", "fail", "remembered", group="earlier", statistic=0.8, null=0.5, margin=0.05)


def a_report(*checks: Check, original: bool = True, policy: Policy | None = None) -> dict[str, Any]:
    single = {"count": None, "ids": None}
    digest = "0" * 64
    return document(
        overall(list(checks), original=original),
        list(checks),
        accuracy={"forget": 0.955, "retain": 0.99, "unseen": None, "original_unseen": None},
        ids={"remembered": single, "over_forgotten": single},
        inputs={
            "checkpoint": digest,
            "original": digest,
            "references": [],
            "dataset": digest,
            "ids": {"count": 200, "digest": digest},
        },
        policy=(policy or Policy()).to_json(None),
    )


@pytest.mark.parametrize(
    ("accuracy", "verdict", "policy", "said"),
    [
        (
            0.05,
            "pass",
            Policy(criterion="chance"),
            "these samples is at chance, the goal of Kim & Woo 2022",
        ),
        (0.0, "pass", Policy(criterion="chance", chance="at-most"), "these samples is at or below chance, the goal"),
        (0.9, "fail", Policy(criterion="chance"), "accuracy is above chance"),
        (0.0, "fail", Policy(criterion="chance"), "accuracy is below chance"),
    ],
)
def test_terminal_markdown_and_junit_say_what_the_criterion_chance_shows_and_no_more(
    accuracy: float, verdict: CheckVerdict, policy: Policy, said: str
) -> None:
    chance = replace(INFORMS, verdict=verdict, statistic=accuracy, gating=True, proves=True)
    report = a_report(chance, policy=policy)
    for text in (summary(report, "m.st"), junit(report, "m.st")):
        assert said in text.replace("\\&", "&").replace("&amp;", "&")
        assert "the measurements are those of a model that never saw" not in text
        assert "stick out as unfamiliar" not in text
    assert report["limits"][0] == CHANCE_LIMIT


def test_the_criterion_retrain_keeps_its_words_and_limits() -> None:
    report = a_report(replace(PASSED, proves=True), INFORMS)
    assert summary(report, "m.st").startswith(f"## m.st: {WORDS['forgotten']}\n")
    assert CHANCE_LIMIT not in report["limits"]


def cases(report: dict[str, Any], name: str = "m.st") -> dict[str, ElementTree.Element]:
    """Return the test cases of a report, read back from its XML, by name."""
    return {case.get("name", ""): case for case in ElementTree.fromstring(junit(report, name)).iter("testcase")}


def kinds(report: dict[str, Any]) -> dict[str, str]:
    return {name: "+".join(part.tag for part in case) for name, case in cases(report).items()}


def test_each_check_and_the_verdict_is_a_case() -> None:
    report = a_report(PASSED, FAILED, UNSURE, INFORMS, EARLIER)
    names = [case.get("name") for case in ElementTree.fromstring(junit(report, "m.st")).iter("testcase")]
    assert names == ["membership", "utility", "membership", "chance", "earlier/membership", "verdict"]


def test_what_failed_fails_and_what_could_not_tell_is_skipped() -> None:
    assert kinds(a_report(FAILED, UNSURE, INFORMS, EARLIER)) == {
        "utility": "failure",
        "membership": "skipped",
        "chance": "system-out",
        "earlier/membership": "failure",
        "verdict": "failure",
    }


def test_only_what_would_have_decided_is_skipped_where_it_was_not_run() -> None:
    found = kinds(a_report(NOT_RUN, NO_CHANCE))
    assert (found["utility"], found["low-fpr"], found["verdict"]) == ("skipped", "system-out", "skipped")


@pytest.mark.parametrize(("exit_code", "kind"), [(0, "system-out"), (1, "failure"), (3, "skipped")])
def test_the_case_of_the_verdict_follows_the_exit_code(exit_code: int, kind: str) -> None:
    assert kinds({**a_report(UNSURE), "exit_code": exit_code})["verdict"] == kind


def test_the_counts_are_those_of_the_cases() -> None:
    root = ElementTree.fromstring(junit(a_report(FAILED, UNSURE, INFORMS, EARLIER), "m.st"))
    expected = {"tests": "5", "failures": "3", "errors": "0", "skipped": "1", "time": "0.000"}
    assert root.attrib == expected
    (suite,) = root
    assert suite.attrib == {"name": "forgetkit audit m.st", **expected}


def test_the_times_of_the_cases_add_up_to_that_of_the_suite() -> None:
    root = ElementTree.fromstring(junit(a_report(PASSED, FAILED), "m.st", 12.3456))
    times = [float(case.get("time", "nan")) for case in root.iter("testcase")]
    assert [one.get("time") for one in root.iter() if one.tag.startswith("testsuite")] == ["12.346", "12.346"]
    assert (len(times), sum(times)) == (3, 12.346)


def test_a_case_says_what_was_found() -> None:
    case = cases(a_report(PASSED))["membership"]
    assert case.findtext("system-out") == (
        "pass*: like unseen\nvalue 0.500\ninterval [0.470, 0.530]\ncompare with 0.5 ± 0.05\nn 200"
    )


def test_a_failure_says_why() -> None:
    failure = cases(a_report(FAILED))["utility"].find("failure")
    assert failure is not None
    assert failure.get("message") == FAILED.note
    assert cases(a_report(FAILED))["verdict"].findtext("failure") == f"utility: {FAILED.note}"


@pytest.mark.parametrize(
    "text", ["\x1b[31mred\0\x07", "\ud800", "\ufffe\uffff", "a\nb\tc", "]]>", "<!-- -->", "\x85\u2028"]
)
def test_hostile_text_leaves_readable_xml_and_one_line_of_a_table(text: str) -> None:
    report = a_report(Check("integrity", "fail", f"'{text}' holds NaN", gating=True))
    xml, page = junit(report, f"{text}.st").encode(), summary(report, f"{text}.st")
    assert ElementTree.fromstring(xml).find(".//failure") is not None
    assert len([line for line in page.encode().decode().splitlines() if line.startswith("| integrity")]) == 1
    assert page.replace("\n", "").isprintable()


def test_the_page_opens_with_the_verdict_in_words_and_its_reasons() -> None:
    lines = summary(a_report(FAILED), "m.st").splitlines()
    assert lines[0] == "## m.st: UTILITY LOST: the model has lost accuracy on unseen samples"
    assert lines[2] == "- On samples that it never saw, it makes more errors than the original."
    assert any(line.startswith("- utility: worse") for line in lines)


def test_the_page_has_a_row_for_each_check() -> None:
    page = summary(a_report(PASSED, INFORMS, EARLIER), "m.st")
    assert "| check | verdict | value | interval | compare with | n | note |\n| --- |" in page
    assert r"| membership | pass\* | 0.500 | \[0.470, 0.530\] | 0.5 ± 0.05 | 200 | like unseen |" in page
    assert r"| chance | info | 0.955 | \[0.900, 0.980\] | chance 0.1 | 200 | above chance |" in page
    assert "| earlier/membership | fail | 0.800 |  | 0.5 ± 0.05 |  | remembered |" in page


def test_markup_in_a_note_stays_text_and_in_its_cell() -> None:
    row = next(line for line in summary(a_report(FAILED), "m.st").splitlines() if line.startswith("| utility"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert r"worse \| \<b\>much\</b\> \& more" in row


def test_the_page_ends_with_accuracies_and_every_limit() -> None:
    page = summary(a_report(PASSED), "m.st")
    assert "| forgotten samples | 95.50% |" in page
    assert "| unseen samples, original | - |" in page
    assert page.endswith("\n")
    assert page.index("### Limits") < page.index(LIMITS[0]) < page.index(LIMITS[-1])


@pytest.mark.parametrize("write", [junit, summary])
def test_only_the_file_name_of_the_checkpoint_is_shown(write: Write) -> None:
    report = a_report(PASSED, FAILED)
    assert write(report, "/home/someone/m.st") == write(report, "m.st")


@pytest.mark.parametrize("write", [junit, summary])
def test_the_same_report_has_the_same_bytes_and_is_left_as_it_was(write: Write) -> None:
    report = a_report(PASSED, FAILED, INFORMS)
    before = copy.deepcopy(report)
    assert write(report, "m.st") == write(json.loads(json.dumps(report)), "m.st")
    assert report == before


@pytest.fixture(scope="module")
def relabelled(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint that forgot 60 ids of digits; ``--original`` is the model of ``digits_model``."""
    folder = tmp_path_factory.mktemp("relabelled")
    ids, out = folder / "ids.txt", folder / "r.st"
    ids.write_text("".join(f"{row}\n" for row in range(60)))
    step = ["relabel", digits_model, "-i", ids, "--rate", 0.1, "--threads", 1, "-q", "-o", out]
    assert cli.run([str(argument) for argument in step]) == 0
    return out


def faults(report: dict[str, Any]) -> list[str]:
    return [error.json_path + ": " + error.message for error in Draft202012Validator(SCHEMA).iter_errors(report)]


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("limit", ["enum", "minimum", "maximum"])
def test_the_schema_allows_what_a_policy_may_say(limit: str) -> None:
    accepted, described = TypeAdapter(Policy).json_schema(), SCHEMA["properties"]["policy"]
    assert set(described["properties"]) == {*accepted["properties"], "sha256"}
    for key, entry in accepted["properties"].items():
        assert described["properties"][key].get(limit) == entry.get(limit)


@pytest.mark.parametrize("options", [(), ("--show-ids",), ("--criterion", "chance")])
def test_real_reports_fit_the_schema(
    forgetkit: Run, relabelled: Path, digits_model: Path, options: tuple[str, ...]
) -> None:
    for original in ((), ("--original", digits_model)):
        report = forgetkit("audit", relabelled, "--json", *original, *options).json
        assert faults(report) == []
        assert len(cases(report)) == len(report["checks"]) + 1
        assert summary(report, "r.st").count("\n| ") > len(report["checks"])


def test_a_report_on_broken_weights_fits_the_schema() -> None:
    torn = Check("integrity", "fail", "'fc.bias' holds NaN or infinity", gating=True)
    assert faults({**a_report(torn, Check("membership", "not-run", "not finite")), "warnings": []}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("verdict", "proven"), ("exit_code", 0), ("more", 1), ("checks", []), ("accuracy", {}), ("ok", False)],
)
def test_the_schema_refuses_what_is_no_report(key: str, value: object) -> None:
    report = {**a_report(FAILED), "warnings": []}
    assert faults(report) == []
    assert faults({**report, key: value}) != []
