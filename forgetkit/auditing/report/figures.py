"""The figures of an audit, drawn by matplotlib. The template has their titles and explanations."""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forgetkit.auditing.report.curves import Curve, Curves, envelope, roc, same_mix, shares
from forgetkit.statistics.references import Closer, Rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VIEWS = {"chance": "as they are", "chance-hflip": "mirrored", "chance-vflip": "upside down", "chance-crop": "magnified"}
SPAN = (0.005, 0.995)
"""Quantiles of the scores that bound the axis of the first figure."""
WIDTH, TALL, ROW = 340, 290, 28
"""Width of a figure in pixels, about a telephone's, so that text is read at its own size there; height of a figure with
curves; height of one row in the others."""
COLOURS = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "soft": "#57606a",
    "line": "#d0d7de",
    "forget": "#0072b2",
    "unseen": "#d55e00",
    "original": "#008a63",
    "right": "#dceaf4",
    "spread": "#c9ced4",
}
"""Colours by the name of their variable in the style sheet, which has other ones for dark screens."""
FORGET: dict[str, Any] = {"color": COLOURS["forget"], "linewidth": 2.75}
UNSEEN: dict[str, Any] = {"color": COLOURS["unseen"], "linewidth": 2, "linestyle": (0, (3.5, 1.5))}
ORIGINAL: dict[str, Any] = {"color": COLOURS["original"], "linewidth": 2, "linestyle": (0, (4.5, 1.5, 1, 1.5))}
GUESSING: dict[str, Any] = {"color": COLOURS["ink"], "linewidth": 1.75, "linestyle": (0, (0.6, 2)), "label": "guessing"}


@dataclass(frozen=True)
class Figure:
    """A figure: its name, the ``viewBox`` of its SVG element, and the content of that element."""

    name: str
    view: str
    svg: str


def figures(report: dict[str, Any], curves: Curves | None) -> list[Figure]:
    """Draw the figures for which there are data; the same arguments give the same bytes.

    Args:
        report: what :func:`forgetkit.auditing.report.document.document` returned.
        curves: the data of most of them; None where the outputs are not finite.
    """
    from matplotlib import style

    found: list[Figure] = []
    own = Path(__file__).with_name("report.mplstyle")
    with style.context(own, after_reset=True):  # whatever the user's own settings are
        if curves is not None:
            found.append(_scores(curves))
            if np.isin(curves.labels, curves.unseen_labels).any():
                found.append(_detection(curves))
            if curves.rank is not None:
                found.append(_rank(curves.rank))
            if curves.closer is not None:
                found.append(_closer(curves.closer))
        checks = {check["id"]: check for check in report["checks"] if check["group"] == "ids"}
        views = {words: checks[name] for name, words in VIEWS.items() if name in checks and checks[name]["interval"]}
        return [*found, _views(views, report["accuracy"]["unseen"])] if views else found


def _scores(curves: Curves) -> Figure:
    """Draw the distribution of φ of each group."""
    groups = [curves.forget, curves.unseen, *curves.references, *([] if curves.original is None else [curves.original])]
    low, high = np.quantile(np.concatenate(groups), SPAN).tolist()
    pad = 0.04 * (high - low) or 1.0
    axes = _axes(TALL, (low - pad, high + pad), "uncertain  ←  score φ  →  certain of the true class")
    _set_shares(axes, "share of the group at or below this score")
    if curves.references:
        left, right = envelope(curves.references)
        first, last = (np.clip([side.x[0], *side.x], *axes.get_xlim()) for side in (left, right))
        area = axes.fill_betweenx([0, *left.height], first, last, step="pre", color=COLOURS["spread"], linewidth=1)
        area.set_label(f"forgotten, {len(curves.references)} references")
    if curves.original is not None:
        _climb(axes, shares(curves.original), "forgotten, original", ORIGINAL)
    _climb(axes, shares(curves.forget), "forgotten, this model", FORGET)
    if curves.unseen.size:  # the dashed curve last: where both run together, the solid one shows through
        weights = same_mix(curves.labels, curves.unseen_labels)
        _climb(axes, shares(curves.unseen, weights), "never trained, this model", UNSEEN)
    return _inline(axes, "scores")


def _detection(curves: Curves) -> Figure:
    """Draw how many of the forget set a threshold on φ finds, at each share of unseen samples wrongly accused."""
    axes = _axes(TALL, (0.0, 1.0), "share of never trained samples wrongly accused")
    _set_shares(axes, "share of forgotten samples picked out")
    if curves.original is not None and curves.original_unseen is not None:
        before = roc(curves.original, curves.labels, curves.original_unseen, curves.unseen_labels)
        _climb(axes, before, "original", ORIGINAL)
    found = roc(curves.forget, curves.labels, curves.unseen, curves.unseen_labels)
    _climb(axes, found, "this model", FORGET)
    axes.plot([0, 1], [0, 1], **GUESSING)
    return _inline(axes, "detection")


def _views(views: dict[str, dict[str, Any]], unseen: float | None) -> Figure:
    """Draw the accuracy on the forget set under each view."""
    axes = _rows(list(views), (0.0, 1.0), "accuracy", legend=True)
    for place, check in enumerate(views.values()):
        _diamond(axes, place, check["statistic"], check["interval"])
    axes.axvline(next(iter(views.values()))["null"], **GUESSING)
    if unseen is not None:
        axes.axvline(unseen, **UNSEEN, label="never trained samples")
    return _inline(axes, "views")


def _rank(rank: Rank) -> Figure:
    """Draw how far the model stands apart among its references."""
    reach = 1.1 * max(rank.apart, *rank.references, 1e-9)
    axes = _rows(["this model", "references"], (0.0, reach), "distance from the other models")
    _diamond(axes, 0, rank.apart)
    _circles(axes, 1, rank.references)
    return _inline(axes, "rank")


def _closer(closer: Closer) -> Figure:
    """Draw how near the model came to the references."""
    ends = (1.0, closer.ceiling, closer.ratio.value, closer.ratio.wide[1])
    reach = 1.1 * max(end for end in ends if np.isfinite(end))  # an interval may have no upper end
    names = ["this model", "original", "references"]
    axes = _rows(names, (0.0, reach), "distance (the original's is 1)", legend=True)
    axes.axvspan(0, closer.ceiling, color=COLOURS["right"], linewidth=0, label="near enough")
    _diamond(axes, 0, closer.ratio.value, closer.ratio.wide)
    _circles(axes, 1, (1.0,))
    _circles(axes, 2, closer.floors)
    return _inline(axes, "closer")


def _axes(height: float, reach: tuple[float, float], label: str) -> "Axes":
    """Return the axes of a new figure of that height in pixels."""
    from matplotlib.figure import Figure as Canvas

    axes: Axes = Canvas(figsize=(WIDTH / 72, height / 72)).subplots()
    axes.set_xlim(*reach)
    axes.set_xlabel(label)
    return axes


def _set_shares(axes: "Axes", label: str) -> None:
    """Let the vertical axis run from 0 % to 100 %, with its label above."""
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], labels=["0%", "25%", "50%", "75%", "100%"])
    axes.set_title(label)


def _rows(names: Sequence[str], reach: tuple[float, float], label: str, *, legend: bool = False) -> "Axes":
    """Return axes with a named row for each model or view."""
    axes = _axes(ROW * len(names) + (60 if legend else 40), reach, label)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), labels=names)
    axes.grid(visible=False, axis="y")
    return axes


def _climb(axes: "Axes", curve: Curve, label: str, style: dict[str, Any]) -> None:
    """Draw a curve from the left edge to the right one."""
    low, high = axes.get_xlim()
    x = np.clip([low, *curve.x, high], low, high)
    axes.step(x, [0, *curve.height, 1], where="post", clip_on=False, label=label, **style)


def _diamond(axes: "Axes", place: int, value: float, span: tuple[float, float] | None = None) -> None:
    """Draw the mark of the model under audit, and its interval up to the edge of the axes."""
    whole: dict[str, Any] = {"color": COLOURS["forget"], "clip_on": False}
    if span is not None:
        ends = np.clip(span, *axes.get_xlim())
        axes.plot(ends, [place, place], linewidth=1.75, marker="|", markersize=9, **whole)
    axes.plot([value], [place], "D", markersize=8, markeredgecolor=COLOURS["paper"], **whole)


def _circles(axes: "Axes", place: int, values: Sequence[float]) -> None:
    """Draw the marks of models that are compared with."""
    marks = axes.plot(values, [place] * len(values), "o", color=COLOURS["ink"], markersize=8, fillstyle="none")
    marks[0].set_clip_on(False)


def _inline(axes: "Axes", name: str) -> Figure:
    """Return a figure for a page: no title, no metadata, and its colours the style sheet's."""
    from matplotlib import rcParams

    rcParams["svg.hashsalt"] = name  # no id twice on a page, and the same ones each time
    picture: Any = axes.figure
    if count := len(axes.get_legend_handles_labels()[1]):
        picture.legend(loc="outside upper left", ncols=min(count, 2))
    stream = io.StringIO()
    picture.savefig(stream, format="svg", metadata={"Date": None})
    inner = stream.getvalue().partition("<svg ")[2].partition(">")[2].rpartition("</svg>")[0]
    inner = re.sub(r'<metadata>.*?</metadata>| id="[a-zA-Z0-9.]+_\d+"', "", inner, flags=re.DOTALL)
    for variable, colour in COLOURS.items():
        inner = inner.replace(colour, f"var(--{variable})")
    width, height = picture.get_size_inches() * 72
    return Figure(name, f"0 0 {width:g} {height:g}", inner.replace("xlink:href", "href").strip())
