"""Compare the methods of a sweep's results: a table for each data set and network, and one figure.

usage: python examples/compare/methods.py SWEEP/results.json … --out DIR

Writes DIR/methods.md and DIR/methods.svg. Accuracies and AUC are the audit's, on the check half; means over seeds.
*distance*: distance to five references, as a share of the original's. *gap*: the mean difference from the references in
accuracy on the ids, on the retain set and on unseen samples, and in AUC. *time*: CPU seconds of everything that a
method needs, as a share of a retraining.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

sys.path.append(str(Path(__file__).parents[1] / "reproduce"))

from tables import NOT_RUN, Row, table

REFERENCES = [f"reference-{number}" for number in range(1, 6)]
KINDS = {
    "original": ("original", ""),
    "retrained": ("retrained", ""),
    "published": ("authors", "as published"),
    "salun": ("random labels, SalUn", "as published"),
    "stage-1": ("neutralize --stop chance", "as published"),
    "two-stage": ("neutralize --stop chance, distill", "as published"),
    "braked": ("step", "stop unseen"),
    "variant": ("setting", "stop unseen"),
    "masked": ("relabel, joint, --mask", "stop unseen"),
    "second-teacher": ("training", "stop unseen"),
}
"""Runs whose models are compared: the method's name, or the parameter that holds it; and the stopping rule."""
BEFORE = {"salun": ["weights"], "masked": ["weights"], "two-stage": ["stage-1"], "second-teacher": ["proxy"]}
"""Other runs that a method needs, whose time counts as well."""
FOUR = ("forget", "retain", "unseen")


@dataclass(frozen=True)
class Seed:
    """Results of one method with one seed: accuracies by set, AUC and its half-interval, distance, time, verdict."""

    accuracy: dict[str, float]
    auc: float
    error: float
    distance: float
    time: float
    verdict: str


@dataclass(frozen=True)
class Line:
    """A method on one data set: its label, its stopping rule, its results by seed, and how often it refused."""

    label: str
    ending: str
    seeds: list[Seed]
    refused: int


def shown(audit: Row, seconds: float) -> Seed:
    """Return the results of an audit, with the CPU time of its model."""
    metrics: dict[str, Any] = audit["metrics"]
    member, near = metrics["checks"]["membership"], metrics["checks"].get("closer", {})
    low, high = member["interval"]
    distance = near.get("statistic")
    return Seed(
        {name: metrics["accuracy"][name] for name in FOUR},
        member["statistic"],
        (high - low) / 2,
        float("nan") if distance is None else distance,
        seconds,
        metrics["verdict"],
    )


def lines_of(of_set: list[Row]) -> tuple[list[Line], list[dict[int, Seed]]]:
    """Return the methods on one data set and network, and the results of each reference by seed."""
    by_key = {(row["run"], key_of(row)): row for row in of_set}
    retraining = {
        row["parameters"]["seed"]: row["cpu_seconds"] for row in of_set if row["run"] == "retrained" and done(row)
    }
    references = [
        {row["parameters"]["seed"]: shown(row, 1.0) for row in of_set if row["run"] == f"audit-{name}" and done(row)}
        for name in REFERENCES
    ]
    found: dict[tuple[str, str], Line] = {}
    for run, (name, usual) in KINDS.items():
        for row in (row for row in of_set if row["run"] == run):
            label, ending = label_of(run, name, row), ending_of(usual, row)
            line = found.setdefault((label, ending), Line(label, ending, [], 0))
            audit = by_key.get((f"audit-{run}", key_of(row)))
            if not done(row) or audit is None or not done(audit):
                found[label, ending] = Line(label, ending, line.seeds, line.refused + (row["outcome"] == "not reached"))
                continue
            spent = (row["cpu_seconds"] if run != "original" else 0.0) + sum(
                by_key[other, key_of(row)]["cpu_seconds"] for other in BEFORE.get(run, [])
            )
            line.seeds.append(shown(audit, spent / retraining[row["parameters"]["seed"]]))
    return list(found.values()), references


def set_of(row: Row) -> str:
    """Return the data set and the network of a row, as a title."""
    of = row["parameters"]
    return ", ".join(str(of[name]) for name in ("dataset", "model") if name in of)


def key_of(row: Row) -> tuple[tuple[str, object], ...]:
    """Return the parameters of a row, as a key to find others by."""
    return tuple(sorted(row["parameters"].items()))


def done(row: Row) -> bool:
    """Say whether a run ended with a result."""
    return bool(row["outcome"] == "done")


def ending_of(ending: str, row: Row) -> str:
    """Return the stopping rule of a run: a method without one of its own ends as published."""
    braked = "judged" in row["metrics"] or "sharpness" in row["metrics"] or not done(row)
    return "as published" if ending == "stop unseen" and not braked else ending


def label_of(run: str, name: str, row: Row) -> str:
    """Return a method's name in the table."""
    if run == "second-teacher":
        return f"distill, second teacher of {row['parameters']['training']}"
    return str(row["parameters"].get(name, name))


def gap(line: Line, references: list[dict[int, Seed]], seeds: list[int]) -> float:
    """Return the mean difference from the references' means, over four figures; see the module docstring."""
    honest = [one[seed] for one in references for seed in seeds if seed in one]
    differences = [abs(mean_of(line.seeds, name) - mean_of(honest, name)) for name in FOUR]
    return fmean([*differences, abs(mean_of(line.seeds, "auc") - mean_of(honest, "auc"))])


def mean_of(seeds: list[Seed], name: str) -> float:
    """Return the mean of one figure over seeds."""
    return fmean(one.accuracy[name] if name in one.accuracy else getattr(one, name) for one in seeds)


def half_interval(seeds: list[Seed]) -> float:
    """Return half the 95 % interval of the mean AUC, from the audits' own intervals."""
    return float(sum(one.error**2 for one in seeds) ** 0.5 / len(seeds))


def cells(line: Line, references: list[dict[int, Seed]], seeds: list[int]) -> list[str]:
    """Return a row of the table."""
    refused = f"refused {line.refused} of {len(seeds)}" if line.refused else ""
    if not line.seeds:
        return [line.label, line.ending, *[""] * 7, refused or NOT_RUN]
    verdicts = ", ".join(f"{name} {count}" for name, count in Counter(one.verdict for one in line.seeds).items())
    return [
        line.label,
        line.ending,
        *(f"{100 * mean_of(line.seeds, name):.1f}" for name in FOUR),
        f"{mean_of(line.seeds, 'auc'):.3f} ± {half_interval(line.seeds):.3f}",
        f"{mean_of(line.seeds, 'distance'):.2f}",
        f"{gap(line, references, seeds):.3f}",
        f"{mean_of(line.seeds, 'time'):.0%}",
        "; ".join(filter(None, [verdicts, refused])),
    ]


def draw(sets: dict[str, tuple[list[Line], list[dict[int, Seed]]]], path: Path) -> None:
    """Draw membership AUC and accuracy of every method; the grey band is the range of the references."""
    labels = list(dict.fromkeys((line.label, line.ending) for lines, _ in sets.values() for line in lines))
    mpl.rcParams["svg.hashsalt"] = "forgetkit"
    figure = Figure(figsize=(5.2 * len(sets) + 2.6, 0.28 * len(labels) + 1.4), layout="constrained")
    axes = figure.subplots(1, 2 * len(sets), sharey=True, squeeze=False)[0]
    for place, (name, (lines, references)) in enumerate(sets.items()):
        for axis, what in zip(axes[2 * place : 2 * place + 2], ("auc", "unseen"), strict=True):
            honest = [mean_of([one], what) for by_seed in references for one in by_seed.values()]
            if honest:
                axis.axvspan(min(honest), max(honest), color="0.88", zorder=0)
            for line in (line for line in lines if line.seeds):
                braked = line.ending == "stop unseen"
                axis.errorbar(
                    mean_of(line.seeds, what),
                    labels.index((line.label, line.ending)),
                    xerr=half_interval(line.seeds) if what == "auc" else None,
                    fmt="o" if braked else "s",
                    color="C0" if braked else "C1" if line.ending else "0.2",
                    markersize=5,
                )
            axis.set_title(name if what == "auc" else "", loc="left", fontsize=10)
            axis.set_xlabel("membership AUC (check half)" if what == "auc" else "accuracy on unseen")
            axis.grid(axis="x", color="0.92", zorder=-1)
    axes[0].set_yticks(range(len(labels)), [f"{label}  ({ending})" if ending else label for label, ending in labels])
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Write the tables and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="results.json of a sweep")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and the figure")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rows, out = [row for path in given.results for row in json.loads(path.read_text())["rows"]], given.out
    sets = {}
    for name in dict.fromkeys(set_of(row) for row in rows if row["run"] == "original"):
        sets[name] = lines_of([row for row in rows if set_of(row) == name])
    head = ["", "stopping rule", "ids %", "retain %", "unseen %", "AUC (½)", "distance", "gap", "time", "audit"]
    text = []
    for name, (lines, references) in sets.items():
        seeds = sorted(
            {row["parameters"]["seed"] for row in rows if set_of(row) == name and "seed" in row["parameters"]}
        )
        body = [cells(line, references, seeds) for line in lines]
        text.append(f"**{name}**, {len(seeds)} seeds\n\n{table(head, body)}\n")
    (out / "methods.md").write_text("\n".join(text))
    draw(sets, out / "methods.svg")
    print(out / "methods.md", out / "methods.svg", sep="\n")


if __name__ == "__main__":
    main()
