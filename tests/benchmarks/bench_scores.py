"""How long does an audit of scores take? A table of 100,000 samples and 10 classes, and as large a one of the original.

    python tests/benchmarks/bench_scores.py

The plain alternative: what a script does that reads the tables with NumPy and computes one AUC with scikit-learn.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from forgetkit.auditing.scores.table import ScoreTable
from forgetkit.auditing.scores.write import scores_as

ROWS, CLASSES = 100_000, 10
PLAIN = """
import sys, numpy as np
from sklearn.metrics import roc_auc_score
for name in sys.argv[1:]:
    data = np.genfromtxt(name, delimiter=",", skip_header=1, dtype=str) if name.endswith("csv") else np.load(name)
    rows = data if name.endswith("csv") else None
    label = rows[:, 1].astype(int) if rows is not None else data["label"]
    group = rows[:, 2] if rows is not None else data["group"]
    logits = rows[:, 3:].astype(float) if rows is not None else data["logits"]
    at = np.arange(len(label))
    true = logits[at, label].copy()
    others = logits.copy()
    others[at, label] = -np.inf
    score = true - np.log(np.exp(others).sum(1))
    asked = np.isin(group, ["forget", "unseen"])
    print(roc_auc_score(group[asked] == "forget", score[asked]))
"""


def table(known: float) -> ScoreTable:
    """Return scores of a model that is ``known`` surer of forgotten samples than of unseen ones."""
    source = np.random.default_rng(int(known))
    labels = np.arange(ROWS) % CLASSES
    groups = np.where(np.arange(ROWS) < ROWS // 10, "forget", np.where(np.arange(ROWS) < ROWS // 5, "unseen", "retain"))
    logits = source.normal(size=(ROWS, CLASSES)).astype(np.float32)
    logits[np.arange(ROWS), labels] += 2 + known * (groups == "forget")
    return ScoreTable("", [str(row) for row in range(ROWS)], labels, groups.tolist(), logits)


def seconds(command: list[str]) -> float:
    """Return the CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print a line per format."""
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("npz", "csv", "parquet"):
            model, original = (Path(folder) / f"{name}.{suffix}" for name in ("model", "original"))
            model.write_bytes(scores_as(model, table(0)))
            original.write_bytes(scores_as(original, table(3)))
            audit = [sys.executable, "-m", "forgetkit", "audit", "--scores", str(model)]
            took = seconds([*audit, "--original-scores", str(original), "-q"])
            plain = None
            if suffix != "parquet":
                plain = seconds([sys.executable, "-c", PLAIN, str(model), str(original)])
            print(
                json.dumps(
                    {"format": suffix, "rows": ROWS, "audit_s": round(took, 1), "plain_s": plain and round(plain, 1)}
                )
            )


if __name__ == "__main__":
    main()
