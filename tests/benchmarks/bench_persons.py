"""Does ``forget`` leave single persons as models do that never saw them?

usage: python tests/benchmarks/bench_persons.py writers.csv [--persons N] [--references K] [--workers W] [--shadows K]

The tutorial's model: trained on all digits of 25 people of MNIST (found in FORGETKIT_DATA). N of them, drawn with seed
2026, are forgotten, each from the same original. *z*: mean φ on a person's digits, less its mean over K models that
were trained without that person, in standard deviations over those models; above 0 something is remembered, below 0 the
person is forgotten too well. *work*: images that went through models, as a share of a retraining. Settings were chosen
without looking at persons. With --shadows, K shadow models are trained first, their halves by writer. Prints one
Markdown table.
"""

import argparse
import csv
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bench_forget import train_shadows
from bench_unlearning import QUIET, trained

from forgetkit.data.open import open_dataset
from forgetkit.errors import NotReached
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import accuracy, on_machine, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.shadows import folder_beside, open_shadows
from forgetkit.training.train_options import Shadowing, Training
from forgetkit.training.training_set import Base
from forgetkit.unlearning.attempt import Attempt
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.inputs import Request

PEOPLE = [f"w{number}" for number in range(2195, 2220)]
"""The customers of docs/tutorial.md."""


def digits_of(table: Path) -> dict[str, list[str]]:
    """Return the ids of each of the people."""
    found: dict[str, list[str]] = {name: [] for name in PEOPLE}
    with table.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["writer"] in found:
                found[row["writer"]].append(row["id"])
    return found


def run_person(folder: str, table: str, name: str, references: int) -> dict[str, float]:
    """Forget one person; return z before and after, accuracy on unseen digits before and after, and the work."""
    machine, dataset = set_up("cpu", "float32", 1), open_dataset("mnist", Path(os.environ.get("FORGETKIT_DATA", ".")))
    people, path = digits_of(Path(table)), Path(folder) / "original.st"
    record, everyone = read_record(path), [id_ for ids in people.values() for id_ in ids]
    request = Request(path, record, dataset, people[name], ())
    images, labels = take(dataset.train, request.forget_rows, "cpu")
    unseen = take(dataset.test, dataset.check_rows, "cpu")

    def known(file: Path) -> float:
        of = read_record(file)
        return float(phi(predict(on_machine(load_model(file, of), of, machine), images), labels).mean())

    never = []
    for seed in range(11, references + 11):
        file = Path(folder) / f"{name}-{seed}.st"
        base = Base(path, record, like=True)
        trained(base, dataset, people[name], file, machine, seed=seed, training=Training(), only=everyone)
        never.append(known(file))
    middle, spread = float(np.mean(never)), float(np.std(never, ddof=1))
    model = on_machine(load_model(path, record), record, machine)
    before = accuracy(predict(model, unseen[0]), unseen[1])
    place = folder_beside(path)
    shadows = open_shadows(place) if place.exists() else None
    try:
        work = Attempt(Forget(), request, machine, 0, QUIET, shadows).carry_out(model).metrics["cost"]
    except NotReached as reached:
        print(f"{name}: {reached}")
        work = 1 + sum(float(str(attempt["cost"])) for attempt in reached.attempts or [])
    after = float(phi(predict(model, images), labels).mean())
    kept = accuracy(predict(model, unseen[0]), unseen[1])
    found = {"digits": float(len(labels)), "z before": (known(path) - middle) / spread}
    return found | {"z": (after - middle) / spread, "before": before, "after": kept, "work": work}


def main() -> None:
    """Forget every person and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--persons", type=int, default=20)
    parser.add_argument("--references", type=int, default=9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--shadows", type=int, default=0)
    given = parser.parse_args()
    chosen = sorted(np.random.RandomState(2026).permutation(PEOPLE)[: given.persons].tolist())
    with TemporaryDirectory() as folder:
        machine, path = set_up("cpu", "float32", 1), Path(folder) / "original.st"
        dataset = open_dataset("mnist", Path(os.environ.get("FORGETKIT_DATA", ".")))
        everyone = [id_ for ids in digits_of(Path(given.table)).values() for id_ in ids]
        trained(None, dataset, [], path, machine, seed=0, training=Training(), only=everyone)
        if given.shadows:
            train_shadows(dataset, path, Shadowing(given.shadows, "writer", given.table), given.workers)
        with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
            jobs = [pool.submit(run_person, folder, given.table, name, given.references) for name in chosen]
            found = [job.result() for job in jobs]
    print(f"{len(chosen)} persons of {len(everyone)} digits, {given.references} references each\n")
    print("| person | digits | z before | z after | accuracy before | after | work |\n|---|---|---|---|---|---|---|")
    for name, one in zip(chosen, found, strict=True):
        accuracies = f"{one['before']:.2%} | {one['after']:.2%} | {one['work']:.0%}"
        print(f"| {name} | {one['digits']:.0f} | {one['z before']:+.1f} | {one['z']:+.1f} | {accuracies} |")
    within = sum(abs(one["z"]) <= 2 for one in found)
    print(f"\nwithin 2 standard deviations: {within} of {len(found)}")


if __name__ == "__main__":
    main()
