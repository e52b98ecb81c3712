"""Print the accuracy of each model on all unseen samples, and on those of the forgotten samples' own classes.

usage: python examples/reproduce/own_classes.py SWEEP/results.json RUN…

RUN are names of runs that write a model and name the ids with --ids or --exclude, or start from such a run's model.
Each class is weighted by its number of ids. Accuracies are means over all parameters except run, setting, optimizer and
size. The script reads models and lists in SWEEP/runs.
"""

import argparse
import json
import shlex
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from tables import Row, table

from forgetkit.data.find import find_dataset
from forgetkit.data.open import data_root
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model
from forgetkit.training.classifier import on_machine, predict, take
from forgetkit.training.device import set_up

SETTINGS = ("setting", "optimizer", "size", "of-class")


def after(words: list[str], *flags: str) -> Path:
    """Return the path after the first of ``flags`` in a command line."""
    return Path(words[next(place for place, word in enumerate(words) if word in flags) + 1])


def ids_of(words: list[str], commands: dict[Path, list[str]]) -> list[str]:
    """Return the ids that a command names, or those named by the command that made its input."""
    if {"--ids", "--exclude"} & set(words):
        return after(words, "--ids", "--exclude").read_text().split()
    return ids_of(commands[Path(words[2])], commands)


def accuracies(words: list[str], ids: list[str]) -> tuple[float, float]:
    """Return a model's accuracy on the unseen split, plain and with each class weighted by its number of ids."""
    path = after(words, "--out")
    record, machine = read_record(path), set_up("cpu", "float32", 0)
    data = record.dataset
    dataset = find_dataset(data["name"], data["fingerprint"], [data_root(None)], classes=record.classes)
    images, labels = take(dataset.test, np.arange(len(dataset.test)), "cpu")
    right = predict(on_machine(load_model(path, record), record, machine), images).argmax(1) == labels
    gone = np.array([dataset.train.labels[dataset.train.row_of[id_]] for id_ in ids])
    by_class = [float(right[labels == label].double().mean()) for label in range(len(record.classes))]
    return float(right.double().mean()), float(np.mean(np.array(by_class)[gone]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("runs", nargs="+", metavar="RUN")
    given = parser.parse_args()
    rows: list[Row] = json.loads(given.results.read_text())["rows"]
    print(report([row for row in rows if row["run"] in given.runs and row["outcome"] == "done"], rows))


def of_original(original: Row, other: Row, rows: list[Row]) -> list[str]:
    """Return the cells of an original model, for the ids that another row names."""
    with torch.inference_mode():
        found = accuracies(shlex.split(original["command"]), ids_of(shlex.split(other["command"]), commands_of(rows)))
    return [f"{100 * value:.2f}" for value in found]


def commands_of(rows: list[Row]) -> dict[Path, list[str]]:
    """Return the words of each command by the file that it writes."""
    words = [shlex.split(row["command"]) for row in rows]
    return {after(of, "--out"): of for of in words if "--out" in of}


def report(chosen: list[Row], rows: list[Row], first: list[list[str]] | None = None) -> str:
    """Return the table for the ``chosen`` ones of all rows, whose models are read; ``first`` lines come before them."""
    commands = commands_of(rows)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with torch.inference_mode():
        for row in chosen:
            of = shlex.split(row["command"])
            named = (row["parameters"][name] for name in SETTINGS if name in row["parameters"])
            found[" ".join([row["run"], *map(str, named)])].append(accuracies(of, ids_of(of, commands)))
    lines = [
        [name, *(f"{100 * fmean(pair[column] for pair in pairs):.2f}" for column in (0, 1))]
        for name, pairs in found.items()
    ]
    return table(["", "all unseen samples", "own classes"], [*(first or []), *lines])


if __name__ == "__main__":
    main()
