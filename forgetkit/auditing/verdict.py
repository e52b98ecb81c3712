"""The verdict over all checks, which of them decide, and the exit code. Rules: docs/audit.md."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from forgetkit.auditing.check import BY_ITSELF, Check, Usefulness, Verdict
from forgetkit.auditing.policy import Policy

INCONCLUSIVE_EXITS = {"report": 3, "fail": 1, "pass": 0}
"""Exit code of an inconclusive verdict, by the policy's setting."""


WOULD_DECIDE = "what would decide: --reference with 19 models retrained without the ids (rank), or with 5 (closer)"

NOTHING_MORE = (
    "no further evidence would change this: models that never saw the ids differ from each other as much as the "
    "original differs from them"
)
TOO_CLOSE = (
    "no further evidence would decide this at this number of ids: forget them from the original in another way, or "
    "retrain with forgetkit forget --retrain"
)
IN_DOUBT = (
    "references that are surely trained apart and without the ids would decide: forgetkit train --like ORIGINAL.st "
    "--exclude IDS.txt --replicas 19"
)
NOTHING_LEFT = "no model can be trained without these ids, for nothing else was trained on: delete the model"


@dataclass(frozen=True)
class Judgement:
    """The answers to the two questions of an audit, and the verdict over both.

    Attributes:
        verdict: over both.
        reasons: why, one sentence each.
        forgetting: the verdict by all checks except those on usefulness.
        usefulness: whether accuracy on unseen samples was kept.
        outlook: what evidence would change an inconclusive verdict, or that none would, where that is known.
    """

    verdict: Verdict
    reasons: list[str]
    forgetting: Verdict
    usefulness: Usefulness
    outlook: str | None = None

    @property
    def references_would_decide(self) -> bool:
        """Whether 19 references could change the verdict, and nothing else stands in the way."""
        return self.outlook == WOULD_DECIDE


def exit_code(verdict: Verdict, inconclusive: str = "report") -> int:
    """Return the exit code of an audit; ``inconclusive`` is the policy's setting."""
    if verdict == "inconclusive":
        return INCONCLUSIVE_EXITS[inconclusive]
    return 0 if verdict == "forgotten" else 1


def worst(codes: Iterable[int]) -> int:
    """Return the exit code of several audits: 1 if any is negative, else 3 if any is inconclusive."""
    found = set(codes)
    return next((code for code in (1, 3) if code in found), 0)


def overall(checks: list[Check], *, original: bool, retained: bool = True, by_rank: bool = True) -> Judgement:
    """Answer both questions, and judge.

    Args:
        checks: as they count: see :func:`apply_policy`.
        original: whether the original was given; without it the best verdict is inconclusive.
        retained: whether samples are left on which a reference could be trained.
        by_rank: whether the policy lets ``rank`` decide.
    """
    forgetting, reasons = _forgetting(checks, original=original)
    usefulness, blocking = _usefulness(checks)
    if usefulness == "lost":
        failed = forgetting in {"not-forgotten", "over-forgotten"}
        return Judgement("utility-lost", [*blocking, *(reasons if failed else [])], forgetting, usefulness)
    if blocking and forgetting in {"forgotten", "inconclusive"}:
        unsure = forgetting == "inconclusive"
        return Judgement("inconclusive", [*blocking, *(reasons if unsure else [])], forgetting, usefulness)
    asked = forgetting == "inconclusive" and original and by_rank
    outlook = _outlook(checks, retained=retained) if asked else None
    return Judgement(forgetting, [*reasons, *([outlook] if outlook else [])], forgetting, usefulness, outlook)


def _forgetting(checks: list[Check], *, original: bool) -> tuple[Verdict, list[str]]:
    """Return the verdict on forgetting, and its reasons."""
    checks = [check for check in checks if check.id != "utility"]
    failed = [check for check in checks if check.verdict == "fail"]
    if failed:
        over = any(check.id != "integrity" and check.over for check in failed)
        return "over-forgotten" if over else "not-forgotten", _sentences(failed)
    unsure = [check for check in checks if check.gating and check.verdict == "inconclusive"]
    reasons = _sentences(unsure)
    if not original:
        reasons.append("without the original there is no control and no comparison of accuracy: give --original")
    if not any(check.proves and check.gating and check.verdict == "pass" for check in checks):
        weak = [check for check in checks if check.proves and check.group != "earlier" and check.verdict == "info"]
        reasons += _sentences([check for check in checks if in_doubt(check)] + weak)
        reasons = reasons or ["no check passed that would have caught a model that remembers"]
    if reasons:
        return "inconclusive", reasons
    return "forgotten", ["every deciding check passed, and could have failed"]


def _usefulness(checks: list[Check]) -> tuple[Usefulness, list[str]]:
    """Return whether usefulness was kept, and what of it stands in the way of a pass."""
    answers: dict[str, Usefulness] = {"pass": "kept", "fail": "lost"}
    for check in checks:
        if check.id == "utility":
            blocks = check.gating and check.verdict in {"fail", "inconclusive"}
            return answers.get(check.verdict, "open"), _sentences([check]) if blocks else []
    return "open", []


def in_doubt(check: Check) -> bool:
    """Say whether a check found that the references are not surely what they should be."""
    return check.id == "references" and check.weak


def _sentences(checks: list[Check]) -> list[str]:
    return [f"{check.id}: {check.note}" for check in checks]


def _outlook(checks: list[Check], *, retained: bool) -> str | None:
    """Return what would change an inconclusive verdict, or that nothing would; None where neither is sure.

    References change nothing where a check is undecided that could have decided, nor where ``rank`` had enough.
    """
    if any(check.gating and check.verdict == "inconclusive" and not check.weak for check in checks):
        return TOO_CLOSE
    if any(map(in_doubt, checks)):
        return IN_DOUBT
    ranks = [check for check in checks if check.id == "rank" and check.proves]
    if ranks:
        return NOTHING_MORE if ranks[0].verdict == "info" else None
    if not any(check.id in {"membership", "closer"} and check.proves for check in checks):
        return None
    return WOULD_DECIDE if retained else NOTHING_LEFT


def apply_policy(checks: list[Check], policy: Policy, *, exchangeable: bool) -> list[Check]:
    """Return the checks as they count: those that may not decide only inform, whatever they found.

    Args:
        checks: each by itself.
        policy: names the checks that may decide.
        exchangeable: whether the ids may be taken for a random draw of their classes.
    """
    checks = [_by_policy(check, policy) for check in checks]
    if not exchangeable:
        checks = [as_hint(check) if check.group == "ids" else check for check in checks]
    return [_by_power(check, checks, policy) for check in checks]


def as_hint(check: Check) -> Check:
    """Let membership only inform: the samples that it compares with are not like these."""
    if check.id != "membership" or not check.gating:
        return check
    note = "only a hint: the ids were chosen, not drawn, and the policy does not assume otherwise"
    return replace(_informing(check), note=f"{note}{BY_ITSELF}{check.note})")


def _by_policy(check: Check, policy: Policy) -> Check:
    """Let a check that the policy does not name only inform."""
    if not check.gating or check.id in policy.deciding:
        return check
    return replace(_informing(check), proves=False, note=f"{check.note}; the policy does not let it decide")


def _by_power(check: Check, checks: list[Check], policy: Policy) -> Check:
    """Let a check that could not have passed at this number of samples only inform.

    For one on forgetting, another must be able to decide. Usefulness that could not be shown blocks nothing, unless the
    policy demands it.
    """
    if not check.gating or not check.weak or check.verdict != "inconclusive":
        return check
    if check.id == "utility":
        return check if policy.require_utility else _informing(check)
    able = any(one.gating and one.proves and not one.weak for one in checks)
    return _informing(check) if able else check


def _informing(check: Check) -> Check:
    return replace(check, gating=False, verdict="not-run" if check.verdict == "not-run" else "info")
