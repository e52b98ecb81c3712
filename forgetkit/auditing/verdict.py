"""The verdict over all checks, which of them decide, and the exit code. Rules: docs/audit.md."""

from dataclasses import replace

from forgetkit.auditing.check import Check, Verdict
from forgetkit.auditing.policy import Policy

INCONCLUSIVE_EXITS = {"report": 3, "fail": 1, "pass": 0}
"""What an inconclusive verdict exits with, by the policy's word."""


WOULD_DECIDE = "to decide: --reference, with 19 models trained without the ids (rank), or 5 (closer)"


def exit_code(verdict: Verdict, inconclusive: str = "report") -> int:
    """Return what an audit exits with; ``inconclusive`` is the policy's word."""
    if verdict == "inconclusive":
        return INCONCLUSIVE_EXITS[inconclusive]
    return 0 if verdict == "forgotten" else 1


def overall(checks: list[Check], *, original: bool) -> tuple[Verdict, list[str]]:
    """Return the verdict over all checks, and its reasons.

    Args:
        checks: what was found.
        original: whether the original was given; without it the best verdict is inconclusive.
    """
    failed = [check for check in checks if check.verdict == "fail"]
    if failed:
        return _worst(failed), [f"{check.id}: {check.note}" for check in failed]
    unsure = [check for check in checks if check.gating and check.verdict == "inconclusive"]
    reasons = [f"{check.id}: {check.note}" for check in unsure]
    if not original:
        reasons.append("without the original there is no control and no comparison of accuracy: give --original")
    if not any(check.proves and check.gating and check.verdict == "pass" for check in checks):
        weak = [check for check in checks if check.proves and check.group != "earlier" and check.verdict == "info"]
        reasons += [f"{check.id}: {check.note}" for check in weak]
        reasons = reasons or ["no check that could tell a model that remembers has passed"]
        if original and _references_would_decide(checks):
            reasons.append(WOULD_DECIDE)
    return ("inconclusive", reasons) if reasons else ("forgotten", ["every gating check passed, and could have failed"])


def _references_would_decide(checks: list[Check]) -> bool:
    """Whether membership cannot decide, neither now nor with more luck, and there were too few references for rank."""
    membership = [check for check in checks if check.id == "membership" and check.proves]
    blocked = any(check.verdict == "inconclusive" and not check.weak for check in membership)
    return bool(membership) and not blocked and not any(check.id == "rank" and check.proves for check in checks)


def _worst(failed: list[Check]) -> Verdict:
    """Return the verdict of failures: utility lost before over-forgotten before not forgotten."""
    if any(check.id == "utility" for check in failed):
        return "utility-lost"
    if any(check.id != "integrity" and check.over for check in failed):
        return "over-forgotten"
    return "not-forgotten"


def apply_policy(checks: list[Check], policy: Policy, *, exchangeable: bool) -> list[Check]:
    """Return the checks as they count: what may not decide informs, whatever it found.

    Args:
        checks: what was found, each by itself.
        policy: names the checks that may decide.
        exchangeable: whether the ids may be taken for a random draw of their classes.
    """
    checks = [_by_policy(check, policy) for check in checks]
    return _without_weak(
        checks if exchangeable else [as_hint(check) if check.group == "ids" else check for check in checks]
    )


def as_hint(check: Check) -> Check:
    """Let membership inform only: the samples that it compares with are not like these."""
    if check.id != "membership" or not check.gating:
        return check
    note = f"a hint only: the ids were chosen, not drawn, and no policy assumes otherwise (alone: {check.note})"
    return replace(_informing(check), note=note)


def _by_policy(check: Check, policy: Policy) -> Check:
    """Let a check that the policy does not name inform only."""
    if not check.gating or check.id in policy.deciding:
        return check
    return replace(_informing(check), proves=False, note=f"{check.note}; does not decide, by the policy")


def _without_weak(checks: list[Check]) -> list[Check]:
    """Let a check that could not have passed at this number of ids inform only, where another can decide."""
    if not any(check.gating and check.proves and not check.weak for check in checks):
        return checks
    return [_informing(check) if check.weak and check.verdict == "inconclusive" else check for check in checks]


def _informing(check: Check) -> Check:
    return replace(check, gating=False, verdict="not-run" if check.verdict == "not-run" else "info")
