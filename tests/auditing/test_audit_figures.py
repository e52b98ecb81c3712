"""The figures of the HTML report: what they are drawn from, and what a value is held against."""

import re
from dataclasses import replace
from math import inf
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.auditing.check import Check
from forgetkit.auditing.report.curves import POINTS, Curve, envelope, roc, same_mix, shares
from forgetkit.auditing.report.figures import Figure, figures
from forgetkit.auditing.report.right_values import comparison, right_values
from forgetkit.statistics.membership_auc import stratified_auc
from tests.auditing.test_audit_html import CHANCE, INTEGRITY, MEMBERSHIP, POLICY, REPORT, UTILITY, a_report, some_curves


@pytest.mark.parametrize(
    ("check", "policy", "expected"),
    [
        (MEMBERSHIP, {}, (0.45, 0.55)),
        (UTILITY, {}, (-0.02, None)),
        (replace(MEMBERSHIP, id="closer", null=0.25), {}, (None, 0.3)),
        (replace(CHANCE, gating=True), {"chance": "at"}, (0.05, 0.15)),
        (replace(CHANCE, gating=True), {"chance": "at-most"}, (None, 0.15)),
    ],
)
def test_right_values_are_those_that_the_check_judges_by(
    check: Check, policy: dict[str, Any], expected: tuple[float | None, float | None]
) -> None:
    assert right_values(check.to_json(), policy) == pytest.approx(expected)


def test_a_check_that_does_not_decide_has_no_right_values() -> None:
    assert right_values(CHANCE.to_json(), POLICY) is None
    assert comparison(CHANCE.to_json(), POLICY) == "compare with chance 0.1"


def test_rank_is_held_against_its_p() -> None:
    check = Check("rank", "pass", "", gating=True, n=19, statistic=0.1, null=0.0, p=0.4)
    assert comparison(check.to_json(), POLICY) == "right: p above 0.05"


def test_there_is_a_figure_for_what_there_are_data() -> None:
    whole = some_curves()
    assert len(figures(REPORT, whole)) == 5
    assert len(figures(REPORT, replace(whole, rank=None, closer=None))) == 3
    assert len(figures(REPORT, None)) == 1
    assert figures(a_report(INTEGRITY), None) == []
    stranger = replace(whole, unseen=whole.unseen[:0], unseen_labels=whole.unseen_labels[:0])
    assert len(figures(REPORT, stranger)) == 4


def test_what_is_not_given_is_not_in_a_legend() -> None:
    bare = replace(some_curves(), original=None, original_unseen=None, references=())
    assert "original" not in figures(REPORT, bare)[0].svg
    assert "19 references" in figures(REPORT, some_curves())[0].svg


@pytest.mark.parametrize("scale", [0.0, 1e-9, 1.0, 1e4])
def test_drawings_stay_inside_their_frame(scale: float) -> None:
    curves = some_curves()
    wild = replace(curves, forget=curves.forget * scale, unseen=curves.unseen * scale, original=None, references=())
    for figure in figures(REPORT, wild):
        check_inside(figure)


def check_inside(figure: Figure) -> None:
    """Check that every line and mark of a drawing lies in its view."""
    root = ElementTree.fromstring(f"<svg>{figure.svg}</svg>")
    width, height = (float(part) for part in figure.view.split()[2:])
    marks = {id(path) for defs in root.iter("defs") for path in defs.iter("path")}  # drawn around 0, placed by <use>
    for path in root.iter("path"):
        if id(path) not in marks:
            points = re.findall(r"[ML] (\S+) (\S+)", path.get("d", ""))
            assert points
            assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)
    for mark in root.iter("use"):
        assert 0 <= float(mark.get("x", "nan")) <= width
        assert 0 <= float(mark.get("y", "nan")) <= height


def test_an_interval_without_an_upper_end_is_drawn_to_the_edge() -> None:
    curves = some_curves()
    assert curves.closer is not None
    open_end = replace(curves.closer, ratio=replace(curves.closer.ratio, wide=(0.8, inf)))
    check_inside(figures(REPORT, replace(curves, closer=open_end))[3])


def area(curve: Curve) -> float:
    """Return the area under a staircase on [0, 1]."""
    return float(np.sum(np.diff(curve.height, prepend=0.0) * (1 - curve.x)))


@given(st.integers(0, 10_000), st.integers(1, POINTS))
def test_the_area_under_the_roc_is_the_membership_checks_value(seed: int, n: int) -> None:
    found = some_curves(n, 300, seed)
    curves = replace(found, forget=found.forget.round(), unseen=found.unseen.round())  # with ties
    sides = curves.forget, curves.labels, curves.unseen, curves.unseen_labels
    assert area(roc(*sides)) == pytest.approx(stratified_auc(*sides).estimate.value)


def test_shares_rise_by_weight_at_each_value() -> None:
    found = shares(np.array([3.0, 1.0, 2.0]), np.array([2.0, 1.0, 1.0]))
    assert found.x.tolist() == [1, 2, 3]
    assert found.height.tolist() == [0.25, 0.5, 1]


@given(st.integers(1, 5000))
def test_thinning_moves_a_curve_by_at_most_a_point(n: int) -> None:
    found = shares(np.arange(n, dtype=np.float64))
    assert len(found.x) <= POINTS + 1
    assert found.height[-1] == 1
    assert np.diff(found.height, prepend=0.0).max() <= 1 / min(n, POINTS) + 1 / n + 1e-12


def test_unseen_samples_get_the_forget_sets_mix_of_classes() -> None:
    weights = same_mix(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 2]))
    assert weights.tolist() == [3, 0.5, 0.5, 0]


def test_an_envelope_holds_each_references_curve() -> None:
    left, right = envelope((np.array([1.0, 5.0]), np.array([3.0, 4.0])))
    assert (left.x.tolist(), right.x.tolist()) == ([1, 4], [3, 5])
