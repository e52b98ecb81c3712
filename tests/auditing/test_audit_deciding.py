"""Which checks decide: by the policy, by their power, by what the ids are."""

from dataclasses import replace

import numpy as np
import pytest

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.one_model import chance
from forgetkit.auditing.checks.with_references import closer_check, rank_check
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.verdict import apply_policy, overall
from forgetkit.statistics.intervals import Estimate
from forgetkit.statistics.references import Closer, Rank

INTEGRITY = Check("integrity", "pass", "in order", gating=True)
KEPT = Check("utility", "pass", "as good", gating=True)
MEMBERSHIP = Check("membership", "pass", "like unseen", gating=True, proves=True, statistic=0.5, null=0.5)
FEW = replace(MEMBERSHIP, verdict="inconclusive", weak=True, note="30 ids are few")
UNSURE = replace(MEMBERSHIP, verdict="inconclusive", note="too near the margin")
NEAR = Estimate(0.2, (0.1, 0.3), (0.1, 0.3), 60)
FAR = Estimate(1.5, (1.4, 1.6), (1.4, 1.6), 60)


def a_rank(p: float, p_before: float, k: int = 19) -> Check:
    verdict = "fail" if p <= 0.05 else "pass" if p_before <= 0.05 else "inconclusive"
    return rank_check(Rank(p, p_before, 9.0, 1.0, 0.5, (1.0,) * k, 19, verdict))


def a_closer(ratio: Estimate, floor: float, k: int = 5) -> Check:
    return closer_check(Closer(ratio, (floor,) * k, (floor,) * k), k, remembers=True)


def verdict_of(*checks: Check, policy: Policy | None = None, drawn: bool = True) -> tuple[str, list[str]]:
    counted = apply_policy([INTEGRITY, *checks, KEPT], policy or Policy(), exchangeable=drawn)
    judgement = overall(counted, original=True)
    return judgement.verdict, judgement.reasons


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ((FEW, a_rank(0.5, 0.05)), "forgotten"),
        ((FEW, a_closer(NEAR, 0.4)), "forgotten"),
        ((FEW, a_rank(0.05, 0.05)), "not-forgotten"),
        ((UNSURE, a_rank(0.5, 0.05)), "inconclusive"),
        ((FEW,), "inconclusive"),
        ((FEW, a_rank(0.5, 0.5)), "inconclusive"),
        ((MEMBERSHIP, a_rank(0.5, 0.5)), "forgotten"),
        ((MEMBERSHIP, a_closer(NEAR, 1.2)), "forgotten"),
        ((MEMBERSHIP, a_closer(FAR, 1.2)), "not-forgotten"),
        ((MEMBERSHIP, a_rank(0.5, 0.5, k=5)), "forgotten"),
    ],
)
def test_what_has_no_power_informs_where_another_can_decide(checks: tuple[Check, ...], verdict: str) -> None:
    assert verdict_of(*checks)[0] == verdict


def test_closer_that_cannot_pass_says_why_and_does_not_decide() -> None:
    check = a_closer(NEAR, 1.2)
    assert (check.gating, check.verdict) == (False, "info")
    assert "the original is as close as they are" in check.note


def test_closer_decides_from_five_references_on() -> None:
    assert [a_closer(NEAR, 0.4, k).gating for k in (4, 5)] == [False, True]


def test_an_undecided_audit_names_what_would_decide() -> None:
    assert any("--reference with 19 models" in reason for reason in verdict_of(FEW)[1])
    assert not any("--reference" in reason for reason in verdict_of(UNSURE)[1])
    assert not any("--reference" in reason for reason in verdict_of(FEW, a_rank(0.5, 0.5))[1])


def test_what_the_policy_does_not_name_informs_even_if_it_fails() -> None:
    failed = replace(MEMBERSHIP, verdict="fail", statistic=0.9, note="remembered")
    policy = Policy(gating=("integrity", "utility", "rank"))
    found = apply_policy([failed, a_rank(0.5, 0.05)], policy, exchangeable=True)
    assert (found[0].verdict, found[0].gating, found[0].statistic) == ("info", False, 0.9)
    assert found[0].note.startswith("remembered; ")
    assert overall([INTEGRITY, *found, KEPT], original=True).verdict == "forgotten"


def test_under_chance_references_inform() -> None:
    found = apply_policy([a_rank(0.05, 0.05), a_closer(FAR, 0.4)], Policy(criterion="chance"), exchangeable=True)
    assert [check.verdict for check in found] == ["info", "info"]


def test_what_was_not_run_stays_not_run() -> None:
    check = Check("utility", "not-run", "needs --original", gating=True)
    found = apply_policy([check], Policy(gating=("membership",)), exchangeable=True)
    assert [(check.verdict, check.gating) for check in found] == [("not-run", False)]


@pytest.mark.parametrize("membership", [MEMBERSHIP, replace(MEMBERSHIP, verdict="fail", statistic=0.9), UNSURE])
def test_chosen_ids_take_the_decision_from_membership(membership: Check) -> None:
    verdict, reasons = verdict_of(membership, drawn=False)
    assert verdict == "inconclusive"
    assert "chosen, not drawn" in reasons[0]
    assert verdict_of(membership, a_rank(0.5, 0.05), drawn=False)[0] == "forgotten"
    assert verdict_of(membership, a_rank(0.05, 0.05), drawn=False)[0] == "not-forgotten"


def test_at_most_forgives_below_chance_and_nothing_else() -> None:
    right = np.zeros(500, dtype=bool)

    def judged(count: int, *, at_most: bool) -> str:
        right[:] = np.arange(500) < count
        return chance(right, 10, level=0.05, gating=True, at_most=at_most).verdict

    assert [judged(count, at_most=False) for count in (0, 50, 200)] == ["fail", "pass", "fail"]
    assert [judged(count, at_most=True) for count in (0, 50, 200)] == ["pass", "pass", "fail"]
    assert judged(75, at_most=True) == judged(75, at_most=False) == "inconclusive"


def test_a_rank_without_the_original_says_what_it_needs() -> None:
    check = rank_check(Rank(0.4, None, None, 1.0, 0.5, (1.0,) * 19, 19, "inconclusive"))
    assert (check.verdict, "needs --original" in check.note) == ("info", True)
    assert rank_check(Rank(0.05, None, None, 1.0, 0.5, (1.0,) * 19, 19, "fail")).gating
