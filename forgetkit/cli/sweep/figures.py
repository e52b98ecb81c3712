"""The figures of a sweep: one measured value over one variable, a line for each value of another."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from forgetkit.cli.sweep.plan import Plan
from forgetkit.cli.sweep.table import flatten
from forgetkit.errors import ForgetkitError, did_you_mean
from forgetkit.files.publish import publish, write_bytes

Row = dict[str, Any]
Point = tuple[float, float]


def draw_figures(plan: Plan, rows: list[Row], root: Path, shard: str) -> list[Path]:
    """Draw the figures of the plan into ``root``, with ``shard`` in their names; return the files.

    A figure that has no point yet is left out.

    Raises:
        ForgetkitError: ``plan-malformed`` for a figure of a value that no row has; else as for writing.
    """
    written = []
    for figure in plan.figures:
        path = root / figure["file"]
        lines = lines_of(figure, rows, str(plan.path))
        if lines:
            written.append(path.with_name(f"{path.stem}{shard}{path.suffix}"))
            picture = draw(lines, figure, path.suffix.lstrip("."))
            publish(written[-1], lambda temporary, content=picture: write_bytes(temporary, content))  # type: ignore[misc]
    return written


def lines_of(figure: dict[str, Any], rows: Iterable[Row], where: str) -> dict[str, list[Point]]:
    """Return the points of each line, x ascending; runs with the same x (of other seeds, for example) are averaged.

    Args:
        figure: ``run``, ``x`` and ``y`` name a run, one of its parameters and one of its metrics; ``by``, if given, the
            parameter with a line for each value; ``where`` holds the values of parameters that rows must have.
        rows: rows of the table.
        where: the plan's path, for messages.

    Raises:
        ForgetkitError: ``plan-malformed`` for a name that no row has.
    """
    found: dict[str, dict[float, list[float]]] = {}
    done = [row for row in rows if row["run"] == figure["run"] and row["outcome"] == "done"]
    shown = [{**flatten(row["metrics"]), **row["parameters"]} for row in done]
    for key in figure.get("where", {}) if shown else ():
        if not any(key in values for values in shown):
            raise _unknown(figure, key, shown[0], where)
    for values in shown:
        if any(values.get(key) != value for key, value in figure.get("where", {}).items()):
            continue
        for key in ("x", "y", "by"):
            if key in figure and figure[key] not in values:
                raise _unknown(figure, figure[key], values, where)
        x, y = values[figure["x"]], values[figure["y"]]
        if isinstance(x, int | float) and isinstance(y, int | float):
            found.setdefault(str(values.get(figure.get("by", ""), "")), {}).setdefault(float(x), []).append(float(y))
    return {name: [(x, sum(ys) / len(ys)) for x, ys in sorted(points.items())] for name, points in found.items()}


def _unknown(figure: dict[str, Any], name: str, known: Row, where: str) -> ForgetkitError:
    message = f"{where}: figure '{figure['file']}': run '{figure['run']}' has no '{name}'"
    return ForgetkitError("plan-malformed", message, did_you_mean(name, list(known)))


def draw(lines: dict[str, list[Point]], figure: dict[str, Any], kind: str) -> bytes:
    """Draw the lines as ``svg``, ``png`` or ``pdf``; the same lines give the same bytes."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "forgetkit", "svg.fonttype": "none"}):
        picture = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = picture.subplots()
        for (name, points), marker in zip(lines.items(), "osD^v<>pXh*P" * len(lines), strict=False):
            axes.plot(*zip(*points, strict=True), marker=marker, markersize=4, linewidth=1.2, label=name)
        axes.set(title=figure.get("title", ""), xlabel=figure["x"], ylabel=figure["y"])
        if figure.get("log"):
            axes.set_xscale("log")
        if any(lines):
            axes.legend(title=figure.get("by"))
        axes.grid(alpha=0.3)
        stream = io.BytesIO()
        picture.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()
