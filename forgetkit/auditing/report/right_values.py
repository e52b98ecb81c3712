"""What the value of a check is compared with, in numbers and in words."""

from typing import Any

from forgetkit.auditing.report.document import row

RANKS = {"rank", "relearn-rank"}
"""Checks that are judged by their p alone."""


def right_values(check: dict[str, Any], policy: dict[str, Any]) -> tuple[float | None, float | None] | None:
    """Return the lowest and the highest value that a check calls right, None for an open end.

    Args:
        check: as the report has it.
        policy: likewise.

    Returns:
        None if the check does not decide, or not by a margin.
    """
    if check["null"] is None or check["margin"] is None or not check["gating"]:
        return None
    low, high = check["null"] - check["margin"], check["null"] + check["margin"]
    at_most = check["id"] == "chance" and policy.get("chance") == "at-most"
    if at_most or check["id"] in {"vanished", "closer"}:
        return None, high
    return low, None if check["id"] == "utility" else high


def comparison(check: dict[str, Any], policy: dict[str, Any]) -> str:
    """Return in words what the value of a check is compared with; nothing if there is no such value."""
    if check["id"] in RANKS and check["gating"]:
        return f"right: p above {policy['level']:g}"
    right, shown = right_values(check, policy), row(check)[4]
    if right is None:
        return f"compare with {shown}" if shown else ""
    low, high = right
    if low is None:
        return f"right: at most {high:.3f}"
    return f"right: at least {low:.3f}" if high is None else f"right: {low:.3f} to {high:.3f}"


def numbers(check: dict[str, Any], policy: dict[str, Any]) -> str:
    """Return the figures of a check in a few words: its value, and what is right; nothing where it measured none."""
    value, p = check["statistic"], check["p"]
    if check["id"] in RANKS:
        return "" if p is None else f"p {p:.2f}; right: above {policy['level']:g}"
    if check["id"] == "closer":
        return comparison(check, policy)
    if check["id"].startswith("utility") or value is None:
        return f"may lose {100 * policy['utility_margin']:g} points" if check["id"] == "utility" else ""
    return f"{value:.3f}; {comparison(check, policy)}".rstrip("; ")
