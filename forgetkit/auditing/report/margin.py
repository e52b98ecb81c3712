"""What a check holds its value against: in numbers, in words, as a small drawing."""

from typing import Any
from xml.etree.ElementTree import Element

from forgetkit.auditing.report import svg as draw
from forgetkit.auditing.report.svg import Frame
from forgetkit.auditing.report.table import row

Ends = tuple[float | None, float | None]
WIDTH, HEIGHT = 160.0, 26.0


def right_values(check: dict[str, Any], policy: dict[str, Any]) -> Ends | None:
    """Return the lowest and the highest value that a check calls right, None for an open end.

    Args:
        check: as it stands in the report.
        policy: likewise.

    Returns:
        None where the check does not decide, or not by a margin.
    """
    if check["null"] is None or check["margin"] is None or not check["gating"]:
        return None
    low, high = check["null"] - check["margin"], check["null"] + check["margin"]
    at_most = check["id"] == "chance" and policy.get("chance") == "at-most"
    if at_most or check["id"] in {"vanished", "closer"}:
        return None, high
    return low, None if check["id"] == "utility" else high


def compared(check: dict[str, Any], policy: dict[str, Any]) -> str:
    """Return in words what the value of a check is to be held against; nothing where there is no such thing."""
    if check["id"] == "rank" and check["gating"]:
        return f"right: p above {policy['level']:g}"
    right, shown = right_values(check, policy), row(check)[4]
    if right is None:
        return f"compare with {shown}" if shown else ""
    low, high = right
    if low is None:
        return f"right: at most {high:.3f}"
    return f"right: at least {low:.3f}" if high is None else f"right: {low:.3f} to {high:.3f}"


def bar(check: dict[str, Any], policy: dict[str, Any]) -> Element | None:
    """Return a drawing of value and interval beside the right values; None where there is no interval."""
    value, span, null = check["statistic"], check["interval"], check["null"]
    if value is None or span is None or null is None:
        return None
    reach = 1.15 * max(2 * (check["margin"] or 0.0), *(abs(end - null) for end in (value, *span)), 1e-9)
    frame = Frame((null - reach, null + reach), left=2, right=WIDTH - 2, top=2, bottom=HEIGHT - 2)
    right, middle, area = right_values(check, policy), HEIGHT / 2, None
    if right is not None:
        low, high = (edge if end is None else frame.x(end) for end, edge in zip(right, (2.0, WIDTH - 2), strict=True))
        area = draw.box(low, frame.top, high, frame.bottom, "right")
    return draw.picture(
        HEIGHT,
        f"{value:.3f}, interval {span[0]:.3f} to {span[1]:.3f}",
        "Shaded: the right values of a check that decides. Upright line: the value to compare with.",
        area,
        draw.rule(frame.x(null), frame.top, frame.x(null), frame.bottom, "null"),
        draw.whisker(frame.x(span[0]), frame.x(span[1]), middle, "measured"),
        draw.diamond(frame.x(value), middle, "model"),
        width=WIDTH,
    )
