"""Reproduce Table 1 and Figure 1 of Li & Ghosh 2023: run the plan, and write its results beside the paper's numbers.

    python examples/reproduce/li_ghosh.py --profile laptop --jobs 2 --out li_ghosh

Writes DIR/li_ghosh.md and DIR/li-ghosh-figure-1.svg. An interrupted run continues with the same command.
"""

from itertools import product
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import own_classes
from matplotlib.figure import Figure
from tables import NOT_RUN, Row, interval, mean, missed, percent, run_and_read, select, table, values

ORIGINAL = ("99.02", "99.00", "99.02")
PAPER = {100: ("99.02", "99.00", "99.02"), 600: ("96.99", "97.67", "97.03")}
NAIVE = {100: ("99.03", "99.00", "99.03"), 600: ("99.14", "99.00", "99.13")}
"""Li & Ghosh 2023, Table 1, in per cent: accuracy on test samples, unlearned ones, and both; by number of requests."""
UNSEEN = 10_000
FARTHEST = 600
"""Requests after which the distance to two references is measured."""


def both(unseen: list[float], unlearned: list[float], size: int) -> list[float]:
    """Return the accuracy on unseen and unlearned samples together, for each pair."""
    pairs = zip(unseen, unlearned, strict=False)
    return [(UNSEEN * right + size * gone) / (UNSEEN + size) for right, gone in pairs]


def line(label: str, made: tuple[list[Row], list[Row], list[Row]], size: int) -> list[str]:
    """Return a line of Table 1: the paper's three, then what it did not report.

    Args:
        label: name of the line.
        made: the rows of the method, of its audits, and of its audits with two references.
        size: number of requests.
    """
    rows, audits, distances = made
    unseen, unlearned = values(rows, "test_accuracy"), values(rows, "forget_accuracy")
    return [
        label,
        percent(unseen),
        percent(unlearned),
        percent(both(unseen, unlearned, size)),
        interval(audits),
        mean(values(distances, "checks", "closer", "statistic")) if size == FARTHEST else "",
        mean(values(rows, "weight_change"), "{:.2f} %", 100),
        mean([row["cpu_seconds"] for row in rows], "{:.0f} s"),
        ", ".join(sorted({row["metrics"]["verdict"] for row in audits})) or NOT_RUN,
    ]


def table_1(rows: list[Row], size: int) -> str:
    """Return Table 1 after ``size`` requests."""
    head = [
        "",
        "test",
        "unlearned",
        "both",
        "membership AUC (½)",
        "distance (original 1)",
        "change of weights",
        "CPU",
        "audit",
    ]
    settings = dict.fromkeys(row["parameters"]["setting"] for row in rows if row["run"] == "table")
    naive, naive_audit = select(rows, "naive", size=size), select(rows, "audit-naive", size=size)
    unseen, unlearned = values(naive, "test_accuracy"), values(naive_audit, "accuracy", "forget")
    cpu = mean([row["cpu_seconds"] for row in naive], "{:.0f} s")
    verdicts = ", ".join(sorted({row["metrics"]["verdict"] for row in naive_audit})) or NOT_RUN
    test = values(select(rows, "original"), "test_accuracy")
    one = [row for row in select(rows, "table", size=size) if row["parameters"]["setting"] == next(iter(settings))]
    known = values(one, "forget_accuracy_before")
    lines = [
        ["paper: original", *ORIGINAL, *[""] * 5],
        ["original", *map(percent, (test, known, both(test, known, size))), *[""] * 5],
        ["paper: naive", *NAIVE[size], *[""] * 5],
        ["naive", *map(percent, (unseen, unlearned, both(unseen, unlearned, size)))],
        ["paper: relabeling, rate not stated", *PAPER[size], *[""] * 5],
    ]
    lines[3] += [interval(naive_audit), "", "", cpu, verdicts]
    for name in settings:
        runs = ("table", "audit-table", "distance-table")
        one, audits, distances = (select(rows, run, size=size, setting=name) for run in runs)
        lines.append(line(name, (one, audits, distances), size))
    for name in ("adadelta", "adam", "sgd"):
        runs = ("auto", "audit-auto", "distance-auto")
        one, audits, distances = (select(rows, run, size=size, optimizer=name) for run in runs)
        label = f"{name}, rate searched{': not reached' if missed(rows, 'auto', size=size, optimizer=name) else ''}"
        lines.append(line(label, (one, audits, distances), size))
    return table(head, lines)


def repaired(rows: list[Row], run: str, by: str) -> str:
    """Return test and unlearned accuracy after 600 requests, for each setting over replay or k'."""
    found = select(rows, run)
    levels = sorted({row["parameters"][by] for row in found})
    lines = []
    for name in dict.fromkeys(row["parameters"]["harmful"] for row in found):
        cells = [name]
        for level in levels:
            one = select(rows, run, harmful=name, **{by: level})
            cells.append(f"{percent(values(one, 'test_accuracy'))} · {percent(values(one, 'forget_accuracy'))}")
        lines.append(cells)
    return table(["test · unlearned", *(f"{by} {level}" for level in levels)], lines)


def by_requests(found: list[Row], measured: str) -> dict[int, list[float]]:
    """Return the values of all seeds by number of requests, ascending."""
    sizes = sorted({row["parameters"]["requests"] for row in found})
    return {size: values([row for row in found if row["parameters"]["requests"] == size], measured) for size in sizes}


def figure_1(rows: list[Row], path: Path) -> None:
    """Draw accuracy over requests, the mean over seeds: a panel for each optimizer, a line for each rate."""
    with mpl.rc_context({"svg.hashsalt": "forgetkit", "svg.fonttype": "none"}):
        picture = Figure(figsize=(9.6, 3.4), layout="constrained")
        panels = dict(zip(("adadelta", "adam", "sgd"), picture.subplots(1, 3, sharey=True), strict=True))
        drawn = [*product(panels, ("test_accuracy", "forget_accuracy"))]
        for name, measured in drawn:
            lines = {str(row["parameters"]["rate"]): [] for row in select(rows, "figure", optimizer=name)}
            series = [(rate, select(rows, "figure", optimizer=name, rate=float(rate))) for rate in lines]
            if name == "adadelta":
                more = dict.fromkeys(row["parameters"]["adadelta"] for row in select(rows, "figure-adadelta"))
                series += [(one, select(rows, "figure-adadelta", adadelta=one)) for one in more]
            for number, (label, found) in enumerate(series):
                points = [(size, fmean(of)) for size, of in by_requests(found, measured).items()]
                style = "-" if measured == "test_accuracy" else ":"
                shown = f"rate {label}" if measured == "test_accuracy" else None
                panels[name].plot(*zip(*points, strict=True), style, color=f"C{number}", marker="o", ms=3, label=shown)
        for name, axes in panels.items():
            axes.axhline(0.1, color="grey", lw=0.8, ls="--")
            axes.set(title=name, xlabel="requests", ylim=(-0.02, 1.02))
            axes.legend(fontsize="x-small")
            axes.grid(alpha=0.3)
        panels["adadelta"].set_ylabel("accuracy: unseen (—), unlearned (···)")
        picture.savefig(path, metadata={"Date": None})


def own_class(rows: list[Row], runs: Path) -> str:
    """Return the accuracy on all unseen digits, and on those of the class that alone was unlearned."""
    found = [row for row in rows if row["run"] == "class-table" and row["outcome"] == "done"]
    if not found or not runs.is_dir():
        return NOT_RUN
    of_class = own_classes.of_original(select(rows, "original", seed=found[0]["parameters"]["seed"])[0], found[0], rows)
    return own_classes.report(found, rows, first=[["original", *of_class]])


def in_turn(rows: list[Row]) -> str:
    """Return the accuracy on unseen digits after each of three rounds of unlearning and learning."""
    ways = dict.fromkeys(row["parameters"]["way"] for row in rows if row["run"] == "unlearned-1")
    start = percent(values(select(rows, "learner"), "test_accuracy"))
    lines = []
    for name in ways:
        cells = [name, start]
        for number in (1, 2, 3):
            gone, learned = (select(rows, f"{run}-{number}", way=name) for run in ("unlearned", "learned"))
            cells.append(f"{percent(values(gone, 'test_accuracy'))} · {percent(values(gone, 'forget_accuracy'))}")
            cells.append(percent(values(learned, "test_accuracy")))
        lines.append(cells)
    head = [cell for number in (1, 2, 3) for cell in (f"unlearned {number}: test · unlearned", f"learned {number}")]
    return table(["", "at first", *head], lines)


def limit(rows: list[Row]) -> str:
    """Return what happens to the 501st to 600th request, which reaches the sequence limit."""
    found, audits = select(rows, "limit"), select(rows, "audit-limit")
    unlearned = percent(values(audits, "accuracy", "forget"))
    return (
        f"After 500 requests at SGD 0.0001 the next 100 reach the limit of 600 and cause a retraining: accuracy "
        f"{percent(values(found, 'test_accuracy'))} % on unseen digits, {unlearned} % on the unlearned ones, "
        f"{mean([row['cpu_seconds'] for row in found], '{:.0f}')} CPU seconds."
    )


def main() -> None:
    """Write the Markdown and the figure."""
    rows, out = run_and_read(__doc__ or "", Path(__file__).with_suffix(".toml"))
    figure_1(rows, out / "li-ghosh-figure-1.svg")
    parts = [
        *(f"**Table 1, after {size} requests**\n\n{table_1(rows, size)}" for size in (100, 600)),
        f"**Replay** (600 requests; N samples of its class after each id)\n\n{repaired(rows, 'replayed', 'replay')}",
        f"**k'** (600 requests; wrong labels for each id)\n\n{repaired(rows, 'fewer-labels', 'labels')}",
        f"**Draws of one class**\n\n{own_class(rows, out / 'runs')}",
        f"**Learning and unlearning in turn** (100 ids, then 1,000 new digits)\n\n{in_turn(rows)}",
        f"**The sequence limit**\n\n{limit(rows)}",
    ]
    (out / "li_ghosh.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
