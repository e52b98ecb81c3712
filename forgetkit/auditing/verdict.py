"""The verdict over all checks, which of them decide, and the exit code. Rules: docs/audit.md."""

from dataclasses import replace

from forgetkit.auditing.check import Check, Verdict
from forgetkit.auditing.policy import Policy

INCONCLUSIVE_EXITS = {"report": 3, "fail": 1, "pass": 0}
"""Exit code of an inconclusive verdict, by the policy's setting."""


WOULD_DECIDE = "what would decide: --reference with 19 models retrained without the ids (rank), or with 5 (closer)"

NOTHING_LEFT = "no model can be trained without these ids, for nothing else was trained on: delete the model"


def exit_code(verdict: Verdict, inconclusive: str = "report") -> int:
    """Return the exit code of an audit; ``inconclusive`` is the policy's setting."""
    if verdict == "inconclusive":
        return INCONCLUSIVE_EXITS[inconclusive]
    return 0 if verdict == "forgotten" else 1


def overall(checks: list[Check], *, original: bool, retained: bool = True) -> tuple[Verdict, list[str]]:
    """Return the verdict over all checks, and its reasons.

    Args:
        checks: as they count: see :func:`apply_policy`.
        original: whether the original was given; without it the best verdict is inconclusive.
        retained: whether samples are left on which a reference could be trained.
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
        reasons = reasons or ["no check passed that would have caught a model that remembers"]
        if original and _references_would_decide(checks):
            reasons.append(WOULD_DECIDE if retained else NOTHING_LEFT)
    return (
        ("inconclusive", reasons) if reasons else ("forgotten", ["every deciding check passed, and could have failed"])
    )


def _references_would_decide(checks: list[Check]) -> bool:
    """Say whether membership cannot decide at this number of ids, and there were too few references for rank."""
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
    """Return the checks as they count: those that may not decide only inform, whatever they found.

    Args:
        checks: each by itself.
        policy: names the checks that may decide.
        exchangeable: whether the ids may be taken for a random draw of their classes.
    """
    checks = [_by_policy(check, policy) for check in checks]
    return _without_weak(
        checks if exchangeable else [as_hint(check) if check.group == "ids" else check for check in checks]
    )


def as_hint(check: Check) -> Check:
    """Let membership only inform: the samples that it compares with are not like these."""
    if check.id != "membership" or not check.gating:
        return check
    note = "only a hint: the ids were chosen, not drawn, and the policy does not assume otherwise"
    return replace(_informing(check), note=f"{note} (by itself: {check.note})")


def _by_policy(check: Check, policy: Policy) -> Check:
    """Let a check that the policy does not name only inform."""
    if not check.gating or check.id in policy.deciding:
        return check
    return replace(_informing(check), proves=False, note=f"{check.note}; the policy does not let it decide")


def _without_weak(checks: list[Check]) -> list[Check]:
    """Let a check that could not have passed at this number of ids only inform, where another can decide."""
    if not any(check.gating and check.proves and not check.weak for check in checks):
        return checks
    return [_informing(check) if check.weak and check.verdict == "inconclusive" else check for check in checks]


def _informing(check: Check) -> Check:
    return replace(check, gating=False, verdict="not-run" if check.verdict == "not-run" else "info")
