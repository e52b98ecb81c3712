"""Which checks decide. Rules: docs/audit.md."""

from dataclasses import replace

from forgetkit.audit.check import Check
from forgetkit.audit.policy import Policy


def decided(checks: list[Check], policy: Policy, *, drawn: bool) -> list[Check]:
    """Return the checks as they count: what may not decide informs, whatever it found.

    Args:
        checks: what was found, each by itself.
        policy: names the checks that may decide.
        drawn: whether the ids may be taken for a random draw of their classes.
    """
    checks = [_by_policy(check, policy) for check in checks]
    return _without_weak(checks if drawn else [hint(check) if check.group == "ids" else check for check in checks])


def hint(check: Check) -> Check:
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
