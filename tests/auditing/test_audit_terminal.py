"""The report on a terminal: what it says, and that no line breaks inside a word."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.integrity import FROM_SCRATCH
from forgetkit.auditing.checks.one_model import utility_check
from forgetkit.auditing.checks.with_references import closer_check
from forgetkit.auditing.cure import Cure
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import Predictions
from forgetkit.auditing.report.terminal import render
from forgetkit.auditing.verdict import NOTHING_MORE, TOO_CLOSE, WOULD_DECIDE, apply_policy, overall
from forgetkit.statistics.intervals import Estimate
from forgetkit.statistics.references import Closer
from tests.auditing.test_audit_reports import a_report
from tests.conftest import Run

FILE = Check("integrity", "pass", FROM_SCRATCH, gating=True)
RANK = Check(
    "rank",
    "pass",
    "like 19 models that never saw the ids",
    gating=True,
    proves=True,
    n=19,
    statistic=0.1,
    null=0.0,
    p=0.85,
)
KEPT = Check("utility", "pass", "accuracy 97.7% → 98.2% on 221 unseen samples", gating=True, statistic=0.0, null=0.0)
INFORMS = Check("advantage", "info", "largest gain of any single threshold", n=200, statistic=0.1, null=0.0)
LONG = "a note that goes on and on until no terminal of eighty columns could hold it on a single line any more"


def with_references(*checks: Check) -> dict[str, Any]:
    report = a_report(*checks)
    return {**report, "inputs": {**report["inputs"], "references": ["0" * 64] * 19}}


def test_a_pass_says_what_it_means_that_it_could_have_failed_and_what_decided() -> None:
    lines = render(with_references(FILE, INFORMS, RANK, KEPT), "deleted.st").splitlines()
    assert lines[:3] == [
        f"deleted.st  FORGOTTEN{'exit 0':>59}",
        "On these 200 ids it answers like 19 models that never saw them.",
        "The original does not: this test could have failed.",
    ]
    rows = [line.split()[:3] for line in lines[4:] if line.startswith("  ") and line[2] != " "]
    assert rows == [["forgetting", "ok", "rank"], ["usefulness", "ok", "utility"], ["file", "ok", "integrity"]]
    assert lines[-1] == "1 more measurements: --all · a page for others: --html report.html"


def test_wrong_answers_that_left_a_trace_are_explained() -> None:
    failed = replace(RANK, verdict="fail", statistic=4.0)
    report = with_references(FILE, failed, KEPT)
    report["accuracy"]["forget"] = 0.0
    assert "none of them correctly" in render(report, "m.st")
    report["accuracy"]["forget"] = 0.5
    assert "none of them correctly" not in render(report, "m.st")


def test_usefulness_that_was_lost_and_forgetting_are_told_apart() -> None:
    text = render(with_references(FILE, RANK, replace(KEPT, verdict="fail", statistic=-0.1)), "m.st")
    assert text.startswith("m.st  UTILITY LOST")
    assert "makes more errors than the original" in text
    assert "On these 200 ids it answers like 19 models" in text


def test_inconclusive_comes_with_commands_to_paste_and_their_cost() -> None:
    cure = Cure(("forgetkit train --like m.st -o refs/{n}.st", f"forgetkit audit {'m' * 90}.st --reference refs"), 700)
    unsure = replace(RANK, id="membership", verdict="inconclusive", weak=True)
    lines = render(with_references(FILE, unsure, KEPT), "m.st", cure=cure).splitlines()
    at = lines.index("To decide it (about 12 min on this machine):")
    assert [line.strip() for line in lines[at + 1 : at + 3]] == list(cure.commands)


@pytest.mark.parametrize(("seconds", "said"), [(None, ""), (0.2, "1 s"), (80, "80 s"), (95, "2 min"), (9000, "2 h")])
def test_the_cost_is_said_in_a_unit_that_people_use(seconds: float | None, said: str) -> None:
    assert Cure((), seconds).cost == (said and f" (about {said} on this machine)")


def test_only_all_shows_what_decides_nothing() -> None:
    report = with_references(FILE, INFORMS, RANK, KEPT)
    short, whole = render(report, "m.st"), render(report, "m.st", complete=True)
    assert ("advantage" in short, "limit:" in short) == (False, False)
    assert ("advantage" in whole, "limit:" in whole, "accuracy: forget 95.50%" in whole) == (True, True, True)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_breaks_inside_a_word(width: int) -> None:
    report = with_references(FILE, replace(INFORMS, note=LONG), RANK, KEPT)
    text = render(report, "m.st", complete=True, width=width)
    known = set(re.findall(r"\S+", " ".join([LONG, *report["limits"]])))
    assert all(len(line) <= width for line in text.splitlines())
    assert known <= set(re.findall(r"\S+", text))


def test_colour_is_asked_for() -> None:
    report = with_references(FILE, RANK, KEPT)
    assert "\x1b[" in render(report, "m.st", colour=True)
    assert "\x1b" not in render(report, "m.st\x1b[31m", colour=False)


def predictions(right: int, n: int) -> Predictions:
    correct = np.arange(n) < right
    return Predictions(np.zeros(n), correct, np.zeros(n, np.int64), np.full((n, 2), 0.5))


@pytest.mark.parametrize(("demanded", "verdict"), [(False, "forgotten"), (True, "inconclusive")])
def test_too_few_unseen_samples_block_only_where_the_policy_demands_usefulness(demanded: bool, verdict: str) -> None:
    before, after = predictions(99, 100), predictions(98, 100)
    unsure = utility_check(after, before, level=0.05, margin=0.02)
    assert (unsure.verdict, unsure.weak) == ("inconclusive", True)
    checks = apply_policy([FILE, RANK, unsure], Policy(require_utility=demanded), exchangeable=True)
    found = overall(checks, original=True)
    assert (found.verdict, found.forgetting, found.usefulness) == (verdict, "forgotten", "open")


def test_a_loss_beyond_the_margin_blocks_though_it_is_not_certain() -> None:
    likely = utility_check(predictions(95, 100), predictions(98, 100), level=0.05, margin=0.02)
    found = overall(apply_policy([FILE, RANK, likely], Policy(), exchangeable=True), original=True)
    assert (likely.verdict, found.verdict, found.usefulness) == ("inconclusive", "inconclusive", "open")


def test_a_loss_that_is_certain_fails_with_few_samples_too() -> None:
    lost = utility_check(predictions(25, 50), predictions(49, 50), level=0.05, margin=0.02)
    found = overall([FILE, RANK, lost], original=True)
    assert (found.verdict, found.forgetting, found.usefulness) == ("utility-lost", "forgotten", "lost")


@pytest.mark.parametrize(("ends", "weak"), [((0.6, 0.9), True), ((0.4, 0.6), False)])
def test_a_distance_that_most_references_would_not_pass_informs(ends: tuple[float, float], weak: bool) -> None:
    wide = (0.3, 0.9)
    check = closer_check(Closer(Estimate(0.6, wide, wide, 200), (0.3, 0.5), ends), 19, remembers=True)
    assert (check.verdict, check.weak) == ("inconclusive", weak)
    far = closer_check(Closer(Estimate(0.8, (0.7, 0.9), (0.7, 0.9), 200), (0.3, 0.5), ends), 19, remembers=True)
    assert (far.verdict, far.weak) == ("inconclusive", False)
    found = overall(apply_policy([FILE, RANK, check, KEPT], Policy(), exchangeable=True), original=True)
    assert found.verdict == ("forgotten" if weak else "inconclusive")


@pytest.mark.parametrize(
    ("checks", "outlook"),
    [
        ([replace(RANK, id="membership", verdict="inconclusive", weak=True)], WOULD_DECIDE),
        ([replace(RANK, id="membership", verdict="inconclusive")], TOO_CLOSE),
        ([replace(RANK, verdict="info", gating=False)], NOTHING_MORE),
        ([replace(RANK, id="twins", verdict="inconclusive")], TOO_CLOSE),
    ],
)
def test_nothing_is_proposed_that_would_not_change_the_verdict(checks: list[Check], outlook: str | None) -> None:
    assert overall([FILE, *checks, KEPT], original=True).outlook == outlook


def test_quiet_prints_the_verdict_line_alone(forgetkit: Run, digits_model: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("1\n2\n3\n")
    ran = forgetkit("audit", digits_model, "--ids", "ids.txt", "-q")
    assert (len(ran.lines), ran.err) == (1, "")
    assert re.search("NOT FORGOTTEN +exit 1$", ran.out)
