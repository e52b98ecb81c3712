"""The figures of an audit, each with how to read it and what it would show had nothing been kept."""

from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from forgetkit.auditing.report import svg as draw
from forgetkit.auditing.report.curves import Curves, envelope, roc, same_mix, shares
from forgetkit.auditing.report.svg import Frame
from forgetkit.statistics.references import Closer, Rank
from forgetkit.statistics.strata import Scores

VIEWS = {"chance": "as they are", "chance-hflip": "mirrored", "chance-vflip": "upside down", "chance-crop": "magnified"}
SPAN = (0.005, 0.995)
"""Quantiles of the scores between which the axis of the first figure reaches."""
ROW = 28.0
"""Height of a row of models or views."""


@dataclass(frozen=True)
class Figure:
    """A drawing, what it shows, and how to read it."""

    title: str
    drawing: Element
    words: str


def figures(report: dict[str, Any], curves: Curves | None) -> list[Figure]:
    """Return the figures for which there are data.

    Args:
        report: what :func:`forgetkit.auditing.report.table.document` returned.
        curves: what most of them are drawn from; None where the weights are broken.
    """
    found: list[Figure] = []
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
    entries, lines = [("curve forget", "forgotten, this model")], list[Element]()
    low, high = np.quantile(np.concatenate(_groups(curves)), SPAN).tolist()
    pad = 0.04 * (high - low) or 1.0
    frame = Frame((low - pad, high + pad))
    if curves.references:
        entries.append(("spread", f"forgotten, {len(curves.references)} references"))
        lines.append(draw.band(frame, *envelope(curves.references), "spread"))
    if curves.original is not None:
        entries.append(("curve original", "forgotten, original"))
        lines.append(draw.staircase(frame, shares(curves.original), "curve original"))
    lines.append(draw.staircase(frame, shares(curves.forget), "curve forget"))
    if curves.unseen.size:
        entries.append(("curve unseen", "never trained, this model"))
        weights = same_mix(curves.labels, curves.unseen_labels)
        lines.append(draw.staircase(frame, shares(curves.unseen, weights), "curve unseen"))
    drawn = draw.picture(
        280,
        "How sure the models are of the true class",
        "For each group a curve: the share of its samples at or below each score.",
        draw.legend(entries),
        draw.axis_x(frame, "unsure  ←  score φ  →  sure of the true class"),
        draw.axis_y(frame, "share of the group at or below this score"),
        *lines,  # the dashed curve last: where both run together, the solid one shows through
    )
    inside = ", and inside the grey area, where models trained without these samples run" if curves.references else ""
    return Figure(
        "How sure is the model of these samples?",
        drawn,
        "The farther right a curve climbs, the surer the model. Had nothing been kept, the solid curve would run along "
        f"the dashed one{inside}. Right of that is remembered, left of it over-forgotten. Curves that look alike "
        "settle nothing, and curves of few samples wander: the checks decide. (Never trained samples are weighted to "
        "the same mix of classes; scores beyond the axis stand at its edge.)",
    )


def _groups(curves: Curves) -> list[Scores]:
    """Return the scores that the axis must show."""
    return [curves.forget, curves.unseen, *curves.references, *([] if curves.original is None else [curves.original])]


def _detection(curves: Curves) -> Figure:
    """Draw how many of the forget set a threshold on φ finds, at each share of unseen samples wrongly accused."""
    frame, entries = Frame((0.0, 1.0)), [("curve forget", "this model"), ("chance", "guessing")]
    lines = list[Element]()
    if curves.original is not None and curves.original_unseen is not None:
        before = roc(curves.original, curves.labels, curves.original_unseen, curves.unseen_labels)
        lines.append(draw.staircase(frame, before, "curve original"))
        entries.append(("curve original", "original"))
    found = roc(curves.forget, curves.labels, curves.unseen, curves.unseen_labels)
    drawn = draw.picture(
        280,
        "How many forgotten samples can be picked out, at which share of wrong accusations",
        "A curve for the model, one for the original where there is one, and the diagonal of guessing.",
        draw.legend(entries),
        draw.axis_x(frame, "never trained samples wrongly accused"),
        draw.axis_y(frame, "forgotten samples picked out"),
        *lines,
        draw.staircase(frame, found, "curve forget"),
        draw.rule(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "chance"),
    )
    return Figure(
        "Can the forgotten samples be picked out?",
        drawn,
        "Somebody says of every sample of which the model is surer than some threshold: it was trained on this. Had "
        "nothing been kept, that would be guessing, and the curve would stay near the diagonal. Above it is "
        "remembered, below it over-forgotten; the area under the curve is the value of the check membership. Where the "
        "original, which knows the samples, runs along the diagonal as well, this attack does not work, and a curve "
        "there says nothing about forgetting.",
    )


def _views(views: dict[str, dict[str, Any]], unseen: float | None) -> Figure:
    """Draw the accuracy on the forget set under each view."""
    first, *_ = views.values()
    frame = Frame((0.0, 1.0), left=84, top=24, bottom=24 + ROW * len(views))
    marks: list[Element] = []
    for place, (words, check) in enumerate(views.items()):
        low, high = check["interval"]
        marks += _row(frame, place, words, draw.whisker(frame.x(low), frame.x(high), _middle(frame, place), "measured"))
        marks.append(draw.diamond(frame.x(check["statistic"]), _middle(frame, place), "model"))
    entries = [("chance", "guessing")]
    lines = [_upright(frame, first["null"], "chance")]
    if unseen is not None:
        entries.append(("curve unseen", "never trained samples"))
        lines.append(_upright(frame, unseen, "curve unseen"))
    drawn = draw.picture(
        frame.bottom + 36,
        "Right answers on the forgotten samples, as they are and changed",
        "A diamond with its interval for each view.",
        draw.legend(entries),
        draw.axis_x(frame, "share of right answers"),
        *lines,
        *marks,
    )
    goal = (
        "The goal that was set for this audit is guessing: the first bar near the dotted line. A model that never saw "
        "the samples would be right about many of them."
        if first["gating"]
        else "A model that never saw them is right about as often as on other never trained samples, not as seldom as "
        "by guessing: many right answers do not mean remembered, few do not mean forgotten."
    )
    return Figure(
        "How often is the model right about these samples?",
        drawn,
        f"{goal} The other rows show the same samples changed: where they are hard to recognise, that alone lowers "
        "the bar. The intervals are for these samples; none of the changed views decides.",
    )


def _rank(rank: Rank) -> Figure:
    """Draw how far the model stands apart among its references."""
    frame = Frame((0.0, 1.1 * max(rank.apart, *rank.references, 1e-9)), left=84, top=6, bottom=6 + 2 * ROW)
    drawn = draw.picture(
        frame.bottom + 36,
        "How far each model stands apart from the others",
        f"The model at {rank.apart:.2f}, {len(rank.references)} references up to {max(rank.references):.2f}.",
        draw.axis_x(frame, "distance from the other models"),
        *_row(frame, 0, "this model", draw.diamond(frame.x(rank.apart), _middle(frame, 0), "model")),
        *_row(frame, 1, "references", *_dots(frame, 1, rank.references)),
    )
    few = "" if rank.possible else f" It takes {rank.needed} references before this can decide anything."
    return Figure(
        "Is it like the models that never saw these samples?",
        drawn,
        "Each circle is a reference: a model trained again without the samples. Had nothing been kept, the diamond "
        "would stand somewhere among the circles; right of them all is a model that treats the samples in a way of its "
        f"own. To stand among them counts only if the original does not, which the check rank looks at.{few}",
    )


def _closer(closer: Closer) -> Figure:
    """Draw how near the model came to the references."""
    low, high = closer.ratio.wide
    frame = Frame((0.0, 1.1 * max(1.0, high, closer.ceiling)), left=84, top=24, bottom=24 + 3 * ROW)
    span = draw.whisker(frame.x(low), frame.x(high), _middle(frame, 0), "measured")
    drawn = draw.picture(
        frame.bottom + 36,
        "How far the model is from models that never saw the samples",
        f"The model at {closer.ratio.value:.2f}, the original at 1, near enough up to {closer.ceiling:.2f}.",
        draw.legend([("right", "near enough")]),
        draw.box(frame.left, frame.top, frame.x(closer.ceiling), frame.bottom, "right"),
        draw.axis_x(frame, "distance (the original's is 1)"),
        *_row(frame, 0, "this model", span, draw.diamond(frame.x(closer.ratio.value), _middle(frame, 0), "model")),
        *_row(frame, 1, "original", *_dots(frame, 1, (1.0,))),
        *_row(frame, 2, "references", *_dots(frame, 2, closer.floors)),
    )
    return Figure(
        "How near did it come to such models?",
        drawn,
        "How differently the model answers on the forgotten samples from the mean of the references, as a share of the "
        "original's difference. Had nothing been kept, the whole bar would lie in the shaded part, where the "
        "references themselves are. Where the original lies in it, too, a bar there says nothing about forgetting.",
    )


def _row(frame: Frame, place: int, words: str, *marks: Element) -> list[Element]:
    return [draw.text(frame.left - 8, _middle(frame, place) + 4, words, anchor="end"), *marks]


def _dots(frame: Frame, place: int, values: tuple[float, ...]) -> list[Element]:
    return [draw.dot(frame.x(value), _middle(frame, place), "reference") for value in values]


def _upright(frame: Frame, value: float, style: str) -> Element:
    return draw.rule(frame.x(value), frame.top, frame.x(value), frame.bottom, style)


def _middle(frame: Frame, place: int) -> float:
    return frame.top + ROW * (place + 0.5)
