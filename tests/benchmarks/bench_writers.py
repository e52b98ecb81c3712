"""How do people's digits rank for models that never saw them? Figures of docs/audit.md; takes two minutes.

    python tests/benchmarks/bench_writers.py writers.csv

The table names for every training image of MNIST (column ``id``) who wrote it (``writer``).
"""

import csv
import io
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

from forgetkit.auditing.predictions import predictions_of
from forgetkit.cli import app as cli
from forgetkit.data.of_checkpoint import dataset_of
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model
from forgetkit.options import Source
from forgetkit.statistics.exchangeability import CHOSEN_LEVEL, class_mix, mean_auc
from forgetkit.training.classifier import on_machine, predict, take
from forgetkit.training.device import set_up

ASKED = 20_000
"""Training images looked at, from the first."""
FEWEST = 20
"""Images that a person must have among them."""


def main(table: Path) -> None:
    """Train three models on 2,000 images, then ask them about each person."""
    with tempfile.TemporaryDirectory() as folder:
        only, names = f"{folder}/only.txt", [f"{folder}/{seed}.st" for seed in (1, 2, 3)]
        call("forget-ids", "--dataset", "mnist", "--count", "2000", "-o", only)
        for seed, name in enumerate(names, start=1):
            call("train", "--dataset", "mnist", "--only", only, "--epochs", "6", "--seed", str(seed), "-o", name)
        record = read_record(Path(names[0]))
        dataset, machine = dataset_of(Path(names[0]), record, Source()), set_up("cpu", "float32", 0)
        free = np.flatnonzero(~record.was_trained(dataset.train.ids))
        free = free[free < ASKED]
        said = []
        for name in names:
            model = on_machine(load_model(Path(name), record := read_record(Path(name))), record, machine)
            parts = (take(dataset.train, free, "cpu"), take(dataset.test, dataset.check_rows, "cpu"))
            said.append([predictions_of(predict(model, images), labels) for images, labels in parts])
    phi, unseen = (np.stack([answers[side].phi for answers in said]) for side in (0, 1))
    labels, others = (said[0][side].labels for side in (0, 1))
    with table.open() as stream:
        whose = {row["id"]: row["writer"] for row in csv.DictReader(stream)}
    writers = np.array([whose[id_] for id_ in dataset.train.ids_at(free)])
    groups = [writers == name for name in np.unique(writers)]
    groups = [rows for rows in groups if rows.sum() >= FEWEST]
    found = [mean_auc(phi[:, rows], labels[rows], unseen, others) for rows in groups]
    told = [not auc.wide[0] <= 0.5 <= auc.wide[1] for auc in found]
    mixed = [class_mix(labels[rows], labels[~rows]) <= CHOSEN_LEVEL for rows in groups]
    quantiles = np.quantile([auc.value for auc in found], [0, 0.1, 0.5, 0.9, 1])
    sys.stdout.write(f"{len(found)} people; AUC at 0, 10, 50, 90 and 100 %: {quantiles.round(2)}\n")
    sys.stdout.write(f"told from unseen samples: {np.mean(told):.0%}; by their classes: {np.mean(mixed):.0%}\n")
    for count in (400, 2000):
        drawn = mean_auc(phi[:, :count], labels[:count], unseen, others)
        sys.stdout.write(f"the first {count}: {drawn.value:.2f} {np.round(drawn.wide, 2)}\n")


def call(*arguments: str) -> None:
    """Run a command that must succeed."""
    with redirect_stdout(io.StringIO()):
        code = cli.run([*arguments, "-q"])
    if code:
        raise SystemExit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
