"""Reproduce Tables 1 to 5 and Figure 2 of Kim & Woo 2022: run the plan, and write its results beside the paper's.

    python examples/reproduce/kim_woo.py --profile laptop --jobs 2 --out kim_woo

Writes DIR/kim_woo.md and DIR/kim-woo-figure-2.svg. An interrupted run continues with the same command.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
from matplotlib.figure import Figure
from tables import NOT_RUN, Row, interval, mean, percent, run_and_read, select, spread, table, values

TABLE_1 = {
    "mnist": ("70,000", "2 Conv., 1 FC"),
    "fashion-mnist": ("70,000", "2 Conv., 1 FC"),
    "cifar10": ("60,000", "2 Conv., 1 FC"),
    "cifar100": ("60,000", "ResNet50, 1 FC"),
    "svhn": ("99,289", "ResNet50, 1 FC"),
    "ham10000": ("10,015", "ResNet50, 1 FC"),
}
"""Number of instances, and architecture."""
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
    "cifar10": ("12.4", "23.4", "11"),
    "cifar100": ("8.6", "43.6", "35"),
    "svhn": ("10.9", "44.1", "33.2"),
    "mnist": ("11.5", "35.5", "24"),
    "fashion-mnist": ("10", "11.3", "1.3"),
    "ham10000": ("29", "77.6", "48.6"),
}
"""Mean epoch of the best validation score over shares of 1 to 10 %: after two stages, from scratch, and their gap."""
LEAST_SHARE = 0.01
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


def table_1(rows: list[Row], data: str) -> list[str]:
    """Return the line of Table 1 for one data set: the paper's two cells, then what was run here."""
    found = select(rows, "original", dataset=data)[:1]
    words = found[0]["command"].split() if found else []
    count = mean(values(select(rows, "data", dataset=data), "count"), "{:,.0f}")
    model = words[words.index("--model") + 1] if words else NOT_RUN
    epochs = words[words.index("--epochs") + 1] if words else NOT_RUN
    return [data, *paper(TABLE_1, data, 2), count, model, epochs]


def table_3(rows: list[Row], data: str) -> list[str]:
    """Return the line of Table 3 for one data set: shares of 1 to 10 %."""
    both = [_by_share(rows, run, data) for run in ("stage2", "scratch")]
    means = [mean([epoch for of in one.values() for epoch in of], "{:.1f}") for one in both]
    gaps = [fmean(both[1][share]) - fmean(both[0][share]) for share in sorted(both[0].keys() & both[1].keys())]
    return [data, *paper(TABLE_3, data, 3), *means, mean(gaps, "{:.1f}")]


def _by_share(rows: list[Row], run: str, data: str) -> dict[float, list[float]]:
    """Return the best epochs of a run by share, from 1 % on."""
    found = [row for row in select(rows, run, dataset=data) if row["parameters"]["share"] >= LEAST_SHARE]
    shares = {row["parameters"]["share"] for row in found}
    return {
        share: values([row for row in found if row["parameters"]["share"] == share], "best_epoch") for share in shares
    }


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
    lines = [[f"{data}: paper", *paper(TABLE_5, data, 10)]]
    for batch in dict.fromkeys(row["parameters"]["batch"] for row in select(rows, "zero", dataset=data)):
        found = [select(rows, "zero", dataset=data, percent=number / 100, batch=batch) for number in range(1, 11)]
        lines.append([f"{data}: batches of {batch}", *(mean(values(one, "epochs"), "{:.0f}") for one in found)])
    return lines


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
                of = [[row for row in found if row["parameters"]["share"] == share] for share in shares]
                means = [100 * fmean(values(one, "test_accuracy")) for one in of]
                axes.plot([100 * share for share in shares], means, marker="o", ms=3, label=label)
            for right in values(select(rows, "original", dataset=data), "test_accuracy")[:1]:
                axes.axhline(100 * right, color="grey", lw=0.8, ls="--", label="original")
            axes.set(title=data, xlabel="forgotten, % of the training data", ylabel="test accuracy, %")
            axes.legend(fontsize="small")
            axes.grid(alpha=0.3)
        picture.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the Markdown and the figure."""
    rows, out = run_and_read(__doc__ or "", Path(__file__).with_suffix(".toml"))
    sets = [str(name) for name in dict.fromkeys(row["parameters"]["dataset"] for row in rows)]
    run = [name for name in sets if select(rows, "stage2", dataset=name)]
    if run:
        figure_2(rows, run, out / "kim-woo-figure-2.svg")
    sides = [f"{label} {view}" for label in ("minimum", "maximum") for view in VIEWS.values()]
    two = ["", "paper: original", "paper: two-stage", "paper: scratch", "original", "two-stage", "scratch"]
    three = ["", "paper: two-stage", "paper: scratch", "paper: gap", "two-stage", "scratch", "gap"]
    one = ["", "paper: instances", "paper: model", "training samples", "model", "epochs"]
    more = ["", "test", "forgotten", "membership AUC (½)", "distance (original 1)", "CPU s", "audits"]
    parts = {
        "Table 1, data and models": table(one, [table_1(rows, name) for name in sets]),
        "Table 2, test accuracy in per cent: mean (variance)": table(two, [table_2(rows, name) for name in sets]),
        "Table 3, mean epoch of the best score, shares of 1 to 10 %": table(
            three, [table_3(rows, name) for name in sets]
        ),
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
