"""Scores of models that forgetkit cannot open: python sklearn_scores.py FOLDER; scikit-learn's networks on its digits.

An original is trained on 1,200 samples, a forgotten model and 19 references without those that are a 3. Each gets a
table of probabilities: original.csv, forgotten.csv, references/1.csv … .
"""

import csv
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

TRAIN = 1200
"""Samples that the original is trained on; the rest is unseen."""


def main(folder: Path) -> None:
    """Train the models and write their tables."""
    warnings.simplefilter("ignore", ConvergenceWarning)  # 60 epochs are meant
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))
    images, labels = digits.data[order] / 16, digits.target[order]
    groups = np.full(len(labels), "unseen", dtype="<U6")
    groups[:TRAIN] = np.where(labels[:TRAIN] == 3, "forget", "retain")
    (folder / "references").mkdir(parents=True, exist_ok=True)
    names = ["original", "forgotten", *(f"references/{number}" for number in range(1, 20))]
    for seed, name in enumerate(names):
        known = groups == "retain" if seed else groups != "unseen"
        model = MLPClassifier((32,), max_iter=60, learning_rate_init=0.005, random_state=seed).fit(
            images[known], labels[known]
        )
        shares = np.zeros((len(labels), 10))
        shares[:, model.classes_] = model.predict_proba(images)
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(["id", "label", "group", *(f"probability_{number}" for number in range(10))])
            table.writerows([row, labels[row], groups[row], *shares[row].tolist()] for row in range(len(labels)))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
