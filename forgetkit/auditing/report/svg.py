"""Plots as inline SVG: a frame with axes, and what is drawn in it. Colours and dashes are the style sheet's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.etree.ElementTree import Element

import numpy as np

from forgetkit.auditing.report.curves import Curve

WIDTH = 340.0
"""Of a plot, in its own units: about a telephone's pixels, so that text is read at its own size there."""
Content = str | Element | None
AREAS = ("spread", "right")
"""Styles of what is filled, not drawn as a line."""


@dataclass(frozen=True)
class Frame:
    """A rectangle of the data's plane, and where it stands in the drawing.

    Attributes:
        x_range: the data's lowest and highest x, which differ.
        y_range: likewise of y.
        left, top, right, bottom: edges in the drawing; top is the smaller.
    """

    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 1.0)
    left: float = 40.0
    top: float = 54.0
    right: float = WIDTH - 10
    bottom: float = 244.0

    def x(self, value: float) -> float:
        """Return where ``value`` stands across; outside the range, at the edge."""
        low, high = self.x_range
        return self.left + (self.right - self.left) * min(max((value - low) / (high - low), 0.0), 1.0)

    def y(self, value: float) -> float:
        """Return where ``value`` stands from above; outside the range, at the edge."""
        low, high = self.y_range
        return self.bottom - (self.bottom - self.top) * min(max((value - low) / (high - low), 0.0), 1.0)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between ``low`` and ``high``, which differ: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * (1 - 1e-9))
    return [step * count for count in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def picture(height: float, title: str, description: str, *content: Content, width: float = WIDTH) -> Element:
    """Return a drawing that a screen reader can name and describe."""
    view = {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "class": "plot"}
    return tag("svg", view, tag("title", {}, title), tag("desc", {}, description), *content)


def axis_x(frame: Frame, label: str) -> Element:
    """Return the axis below with its numbers and its name, and a grid line at each number."""
    marks: list[Element] = []
    for value in ticks(*frame.x_range):
        x = frame.x(value)
        marks += [rule(x, frame.top, x, frame.bottom, "grid"), text(x, frame.bottom + 14, f"{value + 0.0:.6g}")]
    named = text((frame.left + frame.right) / 2, frame.bottom + 30, label)
    return tag("g", {}, *marks, rule(frame.left, frame.bottom, frame.right, frame.bottom, "axis"), named)


def axis_y(frame: Frame, label: str) -> Element:
    """Return the axis on the left with its shares, and its name above."""
    marks: list[Element] = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = frame.y(value)
        marks += [
            rule(frame.left, y, frame.right, y, "grid"),
            text(frame.left - 5, y + 4, f"{value:.0%}", anchor="end"),
        ]
    return tag("g", {}, *marks, text(2, frame.top - 9, label, anchor="start"))


def staircase(frame: Frame, curve: Curve, style: str) -> Element:
    """Return a curve from the left edge to the right one."""
    return tag("path", {"d": f"M{frame.left:g} {frame.bottom:g}{_climb(frame, curve)}H{frame.right:g}", "class": style})


def band(frame: Frame, left: Curve, right: Curve, style: str) -> Element:
    """Return the area between two curves."""
    back = Curve(right.x[::-1], np.concatenate([right.height[-2::-1], [0.0]]))
    start = f"M{frame.x(float(left.x[0])):.1f} {frame.bottom:g}"
    return tag("path", {"d": f"{start}{_climb(frame, left)}{_climb(frame, back)}Z", "class": style})


def rule(x1: float, y1: float, x2: float, y2: float, style: str) -> Element:
    """Return a straight line."""
    return tag("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": style})


def box(x1: float, y1: float, x2: float, y2: float, style: str) -> Element:
    """Return a rectangle from its upper left to its lower right corner."""
    return tag("rect", {"x": x1, "y": y1, "width": max(x2 - x1, 0.0), "height": max(y2 - y1, 0.0), "class": style})


def text(x: float, y: float, words: str, *, anchor: str = "middle") -> Element:
    """Return words; ``anchor`` says which part of them stands at ``x``: start, middle or end."""
    return tag("text", {"x": x, "y": y, "text-anchor": anchor}, words)


def dot(x: float, y: float, style: str) -> Element:
    """Return the mark of one model among several."""
    return tag("circle", {"cx": x, "cy": y, "r": 4, "class": style})


def diamond(x: float, y: float, style: str) -> Element:
    """Return the mark of the model under audit."""
    return tag("path", {"d": f"M{x - 6:.1f} {y:g}l6 -6l6 6l-6 6Z", "class": style})


def whisker(x1: float, x2: float, y: float, style: str) -> Element:
    """Return an interval with an upright at either end."""
    return tag("path", {"d": f"M{x1:.1f} {y - 4:g}v8m0 -4H{x2:.1f}m0 -4v8", "class": style})


def legend(entries: Sequence[tuple[str, str]]) -> Element:
    """Return a row or two of samples of lines or areas, each with its meaning; entries are style and words."""
    parts: list[Element] = []
    for place, (style, words) in enumerate(entries):
        x, y = place % 2 * WIDTH / 2 + 2, place // 2 * 16 + 8
        area = style in AREAS
        parts.append(box(x, y - 5, x + 24, y + 5, style) if area else rule(x, y, x + 24, y, style))
        parts.append(text(x + 30, y + 4, words, anchor="start"))
    return tag("g", {}, *parts)


def _climb(frame: Frame, curve: Curve) -> str:
    steps = zip(curve.x.tolist(), curve.height.tolist(), strict=True)
    return "".join(f"H{frame.x(x):.1f}V{frame.y(y):.1f}" for x, y in steps)


def tag(name: str, attributes: Mapping[str, object], *content: Content) -> Element:
    """Return an element around texts and elements in their order; None is left out.

    Args:
        name: of the element.
        attributes: numbers are written with one decimal at most.
        content: what stands in it.
    """
    element = Element(name, {key: _written(value) for key, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            element.append(part)
        elif part and len(element):
            element[-1].tail = (element[-1].tail or "") + _shown(part)
        elif part:
            element.text = (element.text or "") + _shown(part)
    return element


def _shown(text: str) -> str:
    """Return ``text`` with a space for what no page can carry, or what would turn the reading direction."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def _written(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
