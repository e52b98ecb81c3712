"""Run ``forget`` over many draws: does it end where a retrained model is, within its budget, or retrain and say why?

usage: python tests/benchmarks/bench_forget.py DATASET [--draws N] [--references K] [--workers W] [--seed S]

DATASET and references are as in bench_unlearning.py; original and draws are others (seed S, 1 if not given; seeds
100·S + 100, …), since the ways were chosen on those. AUC is judged on the check half, which no command may look at.
*gap*: the mean of the differences between means, to the references, of accuracy on the ids, on the retain set and on
unseen samples, and of AUC. *work*: images that went through models, as ``forget`` counts them; *time*: CPU seconds of
one thread inside the functions, the measurements before and after included; both as a share of one retraining. Prints
one Markdown table.
"""

import argparse
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from bench_unlearning import QUIET, Draw, mean_with, trained

from forgetkit.data.open import open_dataset
from forgetkit.errors import NotReached
from forgetkit.training.classifier import Classifier, accuracy, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.evaluate import measure
from forgetkit.training.train_options import Training
from forgetkit.unlearning.forget import Attempts
from forgetkit.unlearning.method_options import Forget

Shown = dict[str, float]
FOUR = ("ids", "retain", "unseen", "auc")


def figures(one: Draw, model: Classifier) -> Shown:
    """Return the four figures of a model."""
    shown = one.show(model)
    images, labels = take(one.dataset.train, one.request.retain_rows, "cpu")
    right = accuracy(predict(model, images), labels)
    return {"ids": 1 - shown.error, "retain": right, "unseen": shown.accuracy, "auc": shown.auc}


def run_draw(name: str, folder: str, number: int, references: int) -> dict[str, Any]:
    """Return what the references show, the original and the model that ``forget`` leaves, and what that cost."""
    one = Draw(name, Path(folder), number, references)
    made = [one.train(f"reference{seed}", seed=seed, training=Training()) for seed in range(11, references + 11)]
    model, run = one.model(one.path), Attempts(Forget(), one.request, one.machine, 0, QUIET)
    sets, begun, why = one.sets, time.process_time(), ""
    forget = sets.forget.samples
    measure(model, forget, one.dataset, "cpu")
    try:
        attempts = run.carry_out(model, sets).metrics["attempts"]
        measure(model, forget, one.dataset, "cpu")
        seconds, way = time.process_time() - begun, attempts[-1]["way"]
    except NotReached as reached:
        path, _ = one.train("retrained", seed=99, training=Training())
        model, seconds, way, why = one.model(path), time.process_time() - begun, "retraining", str(reached)
        attempts = reached.attempts or []
    retraining = float(np.mean([cost for _, cost in made]))
    return {
        "references": [figures(one, one.model(path)) for path, _ in made],
        "original": figures(one, one.model(one.path)),
        "forget": figures(one, model),
        "way": way,
        "why": why,
        "work": sum(attempt["cost"] for attempt in attempts) + (way == "retraining"),
        "time": seconds / retraining,
    }


def table(draws: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table, and what it says in words."""
    references = [one for found in draws for one in found["references"]]
    low, high = np.percentile([one["auc"] for one in references], [2.5, 97.5])
    means = {name: float(np.mean([one[name] for one in references])) for name in FOUR}
    lines = [
        "| | accuracy on the ids | on the retain set | on unseen | AUC on check (½) | gap | cost | time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = {
        "retrained (references)": (references, f"{means['auc']:.3f}, 95 % in [{low:.3f}, {high:.3f}]", "100 % | 100 %"),
        "original": ([found["original"] for found in draws], "", "|"),
        "forget": ([found["forget"] for found in draws], "", f"{share(draws, 'work')} | {share(draws, 'time')}"),
    }
    for label, (shown, area, cost) in rows.items():
        own = {name: float(np.mean([one[name] for one in shown])) for name in FOUR}
        gap = float(np.mean([abs(own[name] - means[name]) for name in FOUR]))
        lines.append(
            f"| {label} | {own['ids']:.3f} | {own['retain']:.3f} | {own['unseen']:.4f} | "
            f"{area or mean_with([one['auc'] for one in shown])} | {gap:.3f} | {cost} |"
        )
    ways = Counter(found["way"] for found in draws)
    lines += ["", "Strategies used: " + ", ".join(f"{way} {count}" for way, count in ways.items()) + "."]
    return lines + sorted({f"Retrained because: {found['why']}" for found in draws if found["why"]})


def share(draws: list[dict[str, Any]], what: str) -> str:
    """Return mean and maximum of a cost."""
    values = [found[what] for found in draws]
    return f"{np.mean(values):.0%} (at most {np.max(values):.0%})"


def main() -> None:
    """Run all draws and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        dataset = open_dataset(given.dataset, Path(os.environ.get("FORGETKIT_DATA", ".")))
        machine = set_up("cpu", "float32", 1)
        trained(None, dataset, [], Path(folder) / "original.st", machine, seed=given.seed, training=Training())
        with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
            jobs = [
                pool.submit(run_draw, given.dataset, folder, number, given.references)
                for number in range(100 * given.seed, 100 * given.seed + given.draws)
            ]
            draws = [job.result() for job in jobs]
    print(f"{given.dataset}: {given.draws} draws, {given.references} references each\n")
    print("\n".join(table(draws)))


if __name__ == "__main__":
    main()
