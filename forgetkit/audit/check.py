"""What a check found, and the verdict over all of them. Rules: docs/audit.md."""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

from forgetkit.statistics.intervals import Estimate

CheckVerdict = Literal["pass", "fail", "inconclusive", "info", "not-run"]
Verdict = Literal["forgotten", "not-forgotten", "over-forgotten", "utility-lost", "inconclusive"]
INCONCLUSIVE_EXITS = {"report": 3, "fail": 1, "pass": 0}
"""What an inconclusive verdict exits with, by the policy's word."""
WOULD_DECIDE = "to decide: --reference, with 19 models trained without the ids (rank), or 5 (closer)"


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        id: name of the check.
        group: ``ids``, those asked about, or ``earlier``, those forgotten before.
        gating: whether it decides the verdict; else it is information.
        n: samples it rests on.
        statistic: what was measured.
        interval: its 95 % interval (at the default level).
        null: the value where nothing leaks.
        margin: how far from ``null`` still counts as nothing.
        note: what it means, in words.
        proves: whether a pass of it shows that something was forgotten.
        weak: whether nothing could have passed at this number of samples.
    """

    id: str
    verdict: CheckVerdict
    note: str
    group: str = "ids"
    gating: bool = False
    n: int | None = None
    statistic: float | None = None
    interval: tuple[float, float] | None = None
    null: float | None = None
    margin: float | None = None
    p: float | None = None
    proves: bool = False
    weak: bool = False

    @property
    def over(self) -> bool:
        """Whether the statistic lies below the value where nothing leaks."""
        return self.statistic is not None and self.null is not None and self.statistic < self.null

    def to_json(self) -> dict[str, Any]:
        """Return the check as it stands in the report."""
        names = ("id", "group", "gating", "n", "statistic", "null", "margin", "p", "verdict", "note")
        return {
            **{name: getattr(self, name) for name in names},
            "interval": list(self.interval) if self.interval else None,
        }


def exit_code(verdict: Verdict, inconclusive: str = "report") -> int:
    """Return what an audit exits with; ``inconclusive`` is the policy's word."""
    if verdict == "inconclusive":
        return INCONCLUSIVE_EXITS[inconclusive]
    return 0 if verdict == "forgotten" else 1


def measured(
    id_: str,
    estimate: Estimate,
    verdict: CheckVerdict,
    note: str,
    *,
    null: float | None = None,
    margin: float | None = None,
) -> Check:
    """Return a check that rests on an estimate; an interval without an end is none, and the note says so."""
    interval: tuple[float, float] | None = estimate.wide
    if not all(map(isfinite, estimate.wide)):
        interval, note = None, f"{note}; at least {estimate.wide[0]:.3f}, without an upper end"
    return Check(
        id_, verdict, note, n=estimate.n, statistic=estimate.value, interval=interval, null=null, margin=margin
    )


def with_control(check: Check, control: Check | None) -> Check:
    """Return a check as it counts beside the same check on the original.

    A failure stands by itself. Anything else is information where the original does not fail as one that remembers:
    then the check could not have told such a model.
    """
    if control is None or check.verdict == "fail" or (control.verdict == "fail" and not control.over):
        return check
    return replace(check, verdict="info", gating=False, note=f"{_weakness(control)} (alone: {check.note})")


def _weakness(control: Check) -> str:
    """Say why a pass would prove nothing, from the check on the original, which did not fail."""
    value, span, null = control.statistic, control.interval, control.null
    if value is None or span is None or null is None or span[0] <= null <= span[1]:
        return "nothing measurable was memorised: the original cannot be told from the right value either"
    side = "remembers" if value > null else "shuns"
    return f"the original {side} them ({value:.3f}), but not surely by more than the margin: a pass would prove little"


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
