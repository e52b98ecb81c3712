"""Write Tables 2 to 5 and Figure 2 of Kim & Woo 2022 from a sweep's results, beside the paper's numbers.

usage: python examples/reproduce/kim_woo.py SWEEP/results.json --out DIR

Writes DIR/kim_woo.md and DIR/kim-woo-figure-2.svg.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from tables import NOT_RUN, Row, interval, mean, percent, read_rows, select, spread, table, values

TABLE_2 = {
    "cifar10": ("64.35", "65.25 (0.24)", "63.43 (0.79)"),
    "cifar100": ("41.61", "41.90 (0.71)", "38.15 (4.9)"),
    "svhn": ("86.54", "92.64 (0.32)", "89.18 (6.83)"),
    "mnist": ("99.20", "99.20 (0.03)", "98.89 (0.15)"),
    "fashion-mnist": ("90.63", "90.94 (0.15)", "90.23 (0.47)"),
    "ham10000": ("72.25", "74.39 (1.61)", "68.42 (1.64)"),
}
"""Test accuracy of the original, after two stages and from scratch: mean (variance) over shares, in per cent."""
TABLE_3 = {
    "cifar10": ("12.4", "23.4"),
    "cifar100": ("8.6", "43.6"),
    "svhn": ("10.9", "44.1"),
    "mnist": ("11.5", "35.5"),
    "fashion-mnist": ("10", "11.3"),
    "ham10000": ("29", "77.6"),
}
"""Mean epoch of the best validation score: after two stages, from scratch."""
VIEWS = {"hflip": "h-flip", "vflip": "v-flip", "crop": "centre crop"}
TABLE_4 = {
    "cifar10": ("3.85", "6.11", "3.00", "14.2", "18.36", "7.29"),
    "cifar100": ("0.58", "0.76", "0.49", "5.31", "3.8", "2.37"),
    "svhn": ("6.95", "4.66", "0.45", "16.43", "4.98", "3.73"),
    "mnist": ("7.28", "8.54", "1.95", "10.37", "9.2", "5.68"),
    "fashion-mnist": ("1.27", "6.37", "0.56", "10.55", "9.44", "10.43"),
    "ham10000": ("5.43", "6.23", "2.46", "10.81", "11.33", "7.3"),
}
"""Accuracy on the forget set under three views, minimum then maximum mislabel, in per cent."""
TABLE_5 = {
    "cifar10": (37, 57, 33, 41, 35, 39, 34, 37, 31, 33),
    "cifar100": (5, 279, 5, 58, 6, 20, 6, 11, 8, 13),
    "svhn": (11, 5, 4, 3, 3, 3, 4, 2, 2, 1),
    "mnist": (16, 15, 14, 9, 9, 6, 6, 5, 5, 3),
    "fashion-mnist": (28, 12, 19, 12, 8, 9, 9, 12, 10, 14),
    "ham10000": (16, 3689, 4208, 3535, 15, 2325, 2084, 1819, 1559, 1421),
}
"""Epochs until the accuracy on the forget set is 0, at 1 to 10 % of the training data."""


def paper(numbers: Mapping[str, Sequence[object]], data: str, count: int) -> list[str]:
    """Return the paper's ``count`` numbers for a data set, whose name may end in an image size; else blanks."""
    return [str(number) for number in numbers.get(data.partition(" ")[0], ("",) * count)]


def table_2(rows: list[Row], data: str) -> list[str]:
    """Return the line of Table 2 for one data set: the paper's three values, then ours."""
    ours = [
        percent(values(select(rows, "original", dataset=data), "test_accuracy")),
        *(spread(values(select(rows, run, dataset=data), "test_accuracy")) for run in ("stage2", "scratch")),
    ]
    return [data, *paper(TABLE_2, data, 3), *ours]


def table_3(rows: list[Row], data: str) -> list[str]:
    """Return the line of Table 3 for one data set."""
    ours = [mean(values(select(rows, run, dataset=data), "best_epoch"), "{:.1f}") for run in ("stage2", "scratch")]
    return [data, *paper(TABLE_3, data, 2), *ours]


def table_4(rows: list[Row], data: str) -> list[list[str]]:
    """Return the lines of Table 4 for one data set: the paper's, then ours after stage 1 and stage 2."""
    shares = {row["parameters"]["share"] for row in select(rows, "audit-maximum-stage1", dataset=data)}
    lines = [[f"{data}: paper", *paper(TABLE_4, data, 6)]]
    for stage, runs in (
        ("stage 1", ("audit-stage1", "audit-maximum-stage1")),
        ("stage 2", ("audit-stage2", "audit-maximum-stage2")),
    ):
        cells = []
        for run in runs:
            found = [row for row in select(rows, run, dataset=data, seed=0) if row["parameters"]["share"] in shares]
            cells += [percent(values(found, "checks", f"chance-{view}", "statistic")) for view in VIEWS]
        lines.append([f"{data}: after {stage}", *cells])
    return lines


def table_5(rows: list[Row], data: str) -> list[list[str]]:
    """Return the lines of Table 5 for one data set."""
    found = [select(rows, "zero", dataset=data, percent=number / 100) for number in range(1, 11)]
    ours = [mean(values(one, "epochs"), "{:.0f}") for one in found]
    return [[f"{data}: paper", *paper(TABLE_5, data, 10)], [f"{data}: here", *ours]]


def unreported(rows: list[Row], data: str) -> list[list[str]]:
    """Return what the paper did not report for one data set: means over shares and seeds."""
    lines = []
    for run, audit in (("stage1", "audit-stage1"), ("stage2", "audit-stage2"), ("scratch", "audit-scratch")):
        made, audits = select(rows, run, dataset=data), select(rows, audit, dataset=data)
        distances = select(rows, f"distance-{run}", dataset=data)
        verdicts = [row["metrics"]["verdict"] for row in audits]
        counts = ", ".join(f"{verdicts.count(name)} {name}" for name in sorted(set(verdicts)))
        lines.append(
            [
                f"{data}: {run}",
                percent(values(made, "test_accuracy")),
                percent(values(audits, "accuracy", "forget")),
                mean(values(audits, "checks", "membership", "statistic"), "{:.3f}"),
                mean(values(distances, "checks", "closer", "statistic")) if run != "scratch" else "",
                mean([row["cpu_seconds"] for row in made], "{:.0f}"),
                counts or NOT_RUN,
            ]
        )
    reached, tried = select(rows, "unseen", dataset=data), [row for row in rows if row["run"] == "unseen"]
    tried = [row for row in tried if row["parameters"]["dataset"] == data and row["outcome"] in {"done", "not reached"}]
    accuracy, forgotten = (percent(values(reached, name)) for name in ("test_accuracy", "forget_accuracy"))
    auc = mean(values(reached, "tune_auc"), "{:.3f}")
    said = f"{len(tried) - len(reached)} of {len(tried)} not reached"
    lines.append([f"{data}: neutralize --stop unseen", accuracy, forgotten, f"{auc} (tune half)", "", "", said])
    return lines


def membership(rows: list[Row], data: str) -> str:
    """Return the membership AUC of the first seed by share, each with its interval."""
    runs = ("stage1", "stage2", "scratch")
    shares = sorted({row["parameters"]["share"] for row in select(rows, "stage2", dataset=data)})
    lines = [
        [f"{100 * share:g} %", *(interval(select(rows, f"audit-{run}", dataset=data, share=share)) for run in runs)]
        for share in shares
    ]
    return table([data, *runs], lines)


def figure_2(rows: list[Row], sets: list[str], path: Path) -> None:
    """Draw test accuracy over the share forgotten, after two stages and from scratch, one panel per data set."""
    with mpl.rc_context({"svg.hashsalt": "forgetkit", "svg.fonttype": "none"}):
        picture = Figure(figsize=(4.8 * len(sets), 3.4), layout="constrained")
        for data, axes in zip(sets, picture.subplots(1, len(sets), squeeze=False)[0], strict=True):
            for run, label in (("stage2", "two-stage"), ("scratch", "scratch")):
                found = select(rows, run, dataset=data)
                shares = sorted({row["parameters"]["share"] for row in found})
                means = [100 * sum(v) / len(v) for v in _by_share(found, shares)]
                axes.plot([100 * share for share in shares], means, marker="o", ms=3, label=label)
            for right in values(select(rows, "original", dataset=data), "test_accuracy")[:1]:
                axes.axhline(100 * right, color="grey", lw=0.8, ls="--", label="original")
            axes.set(title=data, xlabel="forgotten, % of the training data", ylabel="test accuracy, %")
            axes.legend(fontsize="small")
            axes.grid(alpha=0.3)
        picture.savefig(path, metadata={"Date": None})


def _by_share(found: list[Row], shares: list[float]) -> list[list[float]]:
    return [values([row for row in found if row["parameters"]["share"] == share], "test_accuracy") for share in shares]


def main() -> None:
    """Write the Markdown and the figure."""
    rows, out = read_rows(__doc__ or "")
    sets = [str(name) for name in dict.fromkeys(row["parameters"]["dataset"] for row in rows)]
    run = [name for name in sets if select(rows, "stage2", dataset=name)]
    figure_2(rows, run, out / "kim-woo-figure-2.svg")
    sides = [f"{label} {view}" for label in ("minimum", "maximum") for view in VIEWS.values()]
    two = ["", "paper: original", "paper: two-stage", "paper: scratch", "original", "two-stage", "scratch"]
    three = ["", "paper: two-stage", "paper: scratch", "two-stage", "scratch"]
    more = ["", "test", "forgotten", "membership AUC (½)", "distance (original 1)", "CPU s", "audits"]
    parts = {
        "Table 2, test accuracy in per cent: mean (variance)": table(two, [table_2(rows, name) for name in sets]),
        "Table 3, mean epoch of the best score": table(three, [table_3(rows, name) for name in sets]),
        "Table 4, accuracy on the forget set, %": table(["", *sides], [x for n in sets for x in table_4(rows, n)]),
        "Table 5, epochs until accuracy is 0": table(
            ["", *(f"{number} %" for number in range(1, 11))], [x for name in sets for x in table_5(rows, name)]
        ),
        "What the paper did not report": table(more, [x for name in run for x in unreported(rows, name)]),
        "Membership AUC by share": "\n\n".join(membership(rows, name) for name in run),
    }
    text = "\n\n".join(f"**{title}**\n\n{lines}" for title, lines in parts.items())
    (out / "kim_woo.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
