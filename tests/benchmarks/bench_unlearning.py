"""Compare ways to unlearn with models that never saw the ids: does it end where a retrained model is, at what cost?

usage: python tests/benchmarks/bench_unlearning.py DATASET [--draws N] [--references K] [--workers W] [--quick]
       python tests/benchmarks/bench_unlearning.py DATASET … --proxies

DATASET is digits, arrays:cifar10-4000.npz or mnist (2,000 of its training samples), found in FORGETKIT_DATA. Each draw
forgets another random twentieth of the training set (seeds 100, 101, …) from one original, with references of its own
(seeds 1, 2, …). AUC is judged on the check half, which no method may look at. Times are CPU seconds of one thread
inside the functions, as a share of one retraining, a proxy included. Prints one Markdown table; with --proxies that of
cheaper and dearer forget teachers instead of that of the methods. --quick leaves two dear and weak ways out.
"""

import argparse
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import nn

from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.errors import NotReached
from forgetkit.events import silent
from forgetkit.files.header import read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import draw
from forgetkit.files.record import Record
from forgetkit.models.build import register_model
from forgetkit.models.checkpoint import load_model
from forgetkit.options import ResumableOutput
from forgetkit.statistics.divergence import total_variation
from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc
from forgetkit.training.classifier import Classifier, accuracy, on_machine, predict, take
from forgetkit.training.device import Machine, set_up
from forgetkit.training.job import plan_jobs
from forgetkit.training.loop import complete
from forgetkit.training.recipe import Recipe, halved, recipe_of, recorded_epochs
from forgetkit.training.resume import Bookmark
from forgetkit.training.run_job import run_steps
from forgetkit.training.train_options import Start, Training, TrainOptions
from forgetkit.training.training_set import Base, TrainingSet
from forgetkit.unlearning.distillation import Distillation
from forgetkit.unlearning.inputs import Request
from forgetkit.unlearning.method_options import Distill, Neutralize
from forgetkit.unlearning.neutralization import Neutralization
from forgetkit.unlearning.relabel import relabel_sets
from forgetkit.unlearning.relabel_options import Relabel
from forgetkit.unlearning.relabel_steps import RelabelSteps, joint_budget
from forgetkit.unlearning.sets import Sets
from forgetkit.unlearning.teachers import TeacherFiles

QUIET = silent
PROXY = Training(epochs=3, batch_size=32, rate=0.002, schedule="cosine")
PROXIES = {
    "1 epoch": (replace(PROXY, epochs=1), 1.0, "convnet"),
    "2 epochs": (replace(PROXY, epochs=2), 1.0, "convnet"),
    "3 epochs (docs)": (PROXY, 1.0, "convnet"),
    "6 epochs": (replace(PROXY, epochs=6), 1.0, "convnet"),
    "3 epochs of batches of 128 at the recipe's rate": (Training(epochs=3), 1.0, "convnet"),
    "6 epochs on a third of the retain set": (replace(PROXY, epochs=6), 1 / 3, "convnet"),
    "3 epochs, a quarter of the channels": (PROXY, 1.0, "thin"),
    "the full recipe": (Training(), 1.0, "convnet"),
}
"""Trainings of forget teachers, the share of the retain set that they see, and their model."""
MNIST_IDS = 2000


@dataclass(frozen=True)
class Shown:
    """What one model shows: AUC on the check half, error and softmax on the ids, accuracy on the unseen split."""

    auc: float
    error: float
    accuracy: float
    softmax: Any
    seconds: float
    reached: bool = True


def trained(
    base: Base | None,
    dataset: Dataset,
    ids: list[str],
    out: Path,
    machine: Machine,
    *,
    seed: int,
    training: Training,
    part: float = 1.0,
    model: str = "convnet",
    only: list[str] | None = None,
) -> Record:
    """Train without ``ids`` (on a part of the rest); from nothing, by the recipe of ``base`` if given; and write it."""
    limit = draw(list(dataset.train.ids), MNIST_IDS, 0) if dataset.name == "mnist" and only is None else only
    salt = dataset.fingerprint
    known = KeySet.of(limit, salt) if limit else None
    gone = KeySet.of(ids, salt)
    mask = known.contains(dataset.train.ids) if known else np.ones(len(dataset.train), dtype=bool)
    rows = np.flatnonzero(mask & ~gone.contains(dataset.train.ids))
    rows = np.sort(np.random.RandomState(seed).permutation(rows)[: round(part * len(rows))])
    samples = TrainingSet(base, dataset, rows, known, gone, ids, [])
    options = TrainOptions(Start(model), training, output=ResumableOutput(out=str(out)))
    (job,) = plan_jobs(samples, machine, options, [seed])
    return complete(run_steps(job, dataset, QUIET)).record


@register_model("thin")
def thin(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    """Build ``convnet`` with a quarter of its channels."""
    return nn.Sequential(
        *(nn.Conv2d(in_channels, 8, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16 * (image_size[0] // 4) * (image_size[1] // 4), classes)),
    )


class Draw:
    """One forget set, its references and every way to unlearn it."""

    def __init__(self, name: str, folder: Path, number: int, references: int) -> None:
        self.machine = set_up("cpu", "float32", 1)
        self.dataset = open_dataset(name, Path(os.environ.get("FORGETKIT_DATA", ".")))
        self.path, self.folder, self.references = folder / "original.st", folder, references
        self.record = read_record(self.path)
        known = self.record.was_trained(self.dataset.train.ids)
        pool = [id_ for id_, kept in zip(self.dataset.train.ids, known, strict=True) if kept]
        self.ids = draw(pool, len(pool) // 20, 100 + number)
        self.request = Request(self.path, self.record, self.dataset, self.ids, ())
        self.number = number

    @property
    def sets(self) -> Sets:
        """The samples that a method may use, read anew."""
        return Sets.of_request(self.request, self.machine.device)

    def model(self, path: Path) -> Classifier:
        """Return the model at ``path``."""
        record = read_record(path)
        return on_machine(load_model(path, record), record, self.machine)

    def show(self, model: Classifier, seconds: float = 0.0, *, reached: bool = True) -> Shown:
        """Measure a model, on the check half."""
        images, labels = take(self.dataset.train, self.request.forget_rows, "cpu")
        every, truth = take(self.dataset.test, np.arange(len(self.dataset.test)), "cpu")
        forget, unseen, check = predict(model, images), predict(model, every), torch.from_numpy(self.dataset.check_rows)
        scores = [phi(forget, labels), labels, phi(unseen[check], truth[check]), truth[check]]
        area = auc(*(values.numpy() for values in scores))
        softmax = forget.double().softmax(1).numpy()
        return Shown(area, 1 - accuracy(forget, labels), accuracy(unseen, truth), softmax, seconds, reached)

    def train(
        self, name: str, *, seed: int, training: Training, part: float = 1.0, model: str = "convnet"
    ) -> tuple[Path, float]:
        """Train without the ids; return the checkpoint and its CPU seconds."""
        path = self.folder / f"{name}-{self.number}.st"
        base = Base(self.path, self.record, like=True) if model == "convnet" else None
        begun = time.process_time()
        trained(base, self.dataset, self.ids, path, self.machine, seed=seed, training=training, part=part, model=model)
        return path, time.process_time() - begun

    def step(self, work: Callable[[Classifier], Any], start: Path | None = None, extra: float = 0.0) -> Shown:
        """Run a method on a copy of the original (or of ``start``), and measure."""
        model = self.model(start or self.path)
        begun = time.process_time()
        try:
            work(model)
        except NotReached:
            seconds = time.process_time() - begun + extra
            return self.show(self.model(self.path), seconds, reached=False)
        return self.show(model, time.process_time() - begun + extra)

    def relabel(self, model: Classifier, optimizer: str, mix: str, rate: str = "auto") -> None:
        """Relabel as the command does."""
        sets, how = self.sets, Relabel(optimizer=optimizer, mix=mix, rate=rate, allow_unforgotten=True)
        budget = joint_budget(recorded_epochs(self.record.recipe), len(sets.retain), how)
        relabel_sets(model, sets, RelabelSteps(how, sets.classes, 0), budget, bookmark=Bookmark(), tell=QUIET)

    def neutralize(self, model: Classifier, stop: str) -> None:
        """Neutralize as the command does."""
        how = Neutralize(stop=stop, utility_margin=1.0)
        Neutralization(how, model, self.sets, 0, False, Bookmark(), QUIET).carry_out()

    def distil(self, model: Classifier, proxy: Path | None) -> None:
        """Distil as the command does, with the original and, if given, a proxy as teachers."""
        recipe: Recipe = halved(recipe_of(self.record.recipe))
        others = [(proxy, read_record(proxy))] if proxy else []
        files = TeacherFiles((self.path, self.record), others, self.request.with_all_forgotten.ids)
        everything = Sets.of_request(self.request.with_all_forgotten, self.machine.device)
        run = Distillation(Distill(), recipe, model, everything, 0, Bookmark(), QUIET)
        first, second = files.load(self.machine, 0)
        run.towards_both(first, second) if second else run.towards_original(first)


def run_draw(name: str, folder: str, number: int, references: int, kind: str) -> dict[str, Any]:
    """Return what every method shows on one draw, the references, and the CPU seconds of a retraining."""
    one = Draw(name, Path(folder), number, references)
    made = [one.train(f"reference{seed}", seed=seed, training=Training()) for seed in range(1, references + 1)]
    shown = with_proxies(one) if kind == "proxies" else with_methods(one, quick=kind == "quick")
    return {
        "shown": {label: asdict(found) for label, found in shown.items()},
        "references": [asdict(one.show(one.model(path))) for path, _ in made],
        "retraining": float(np.mean([seconds for _, seconds in made])),
    }


def with_proxies(one: Draw) -> dict[str, Shown]:
    """Return what distillation shows with forget teachers of different cost."""
    shown = {"original": one.show(one.model(one.path))}
    for place, (label, (training, part, name)) in enumerate(PROXIES.items()):
        proxy, cost = one.train(f"proxy{place}", seed=50, training=training, part=part, model=name)
        shown[f"second teacher: {label}"] = one.show(one.model(proxy), cost)
        shown[f"distilled from it: {label}"] = one.step(lambda m, p=proxy: one.distil(m, p), extra=cost)  # type: ignore[misc]
        if training is PROXY and part == 1 and name == "convnet":
            shown |= after_neutralizing(one, proxy, cost)
    return shown


def after_neutralizing(one: Draw, proxy: Path, cost: float) -> dict[str, Shown]:
    """Return what distillation shows that begins after ``neutralize``."""

    def both(model: Classifier) -> None:
        one.neutralize(model, "chance")
        one.distil(model, proxy)

    def until_unseen(model: Classifier) -> None:
        one.neutralize(model, "unseen")
        one.distil(model, None)

    return {
        "neutralize --stop unseen, distill": one.step(until_unseen),
        "neutralize --stop chance, distill --forget-teacher": one.step(both, extra=cost),
    }


def with_methods(one: Draw, *, quick: bool) -> dict[str, Shown]:
    """Return what every method shows."""
    proxy, cost = one.train("proxy", seed=50, training=PROXY)

    def published(model: Classifier) -> None:
        one.neutralize(model, "chance")
        one.distil(model, None)

    found = {
        "original": one.show(one.model(one.path)),
        "relabel, AdaDelta 0.001 (published)": one.step(lambda m: one.relabel(m, "adadelta", "per-id", "0.001")),
        "relabel --rate auto (default)": one.step(lambda m: one.relabel(m, "adadelta", "auto")),
        "relabel --optimizer adam --mix joint": one.step(lambda m: one.relabel(m, "adam", "joint")),
        "neutralize --stop chance, distill (published)": one.step(published),
        "the second teacher itself": replace(one.show(one.model(proxy)), seconds=cost),
        "distill --forget-teacher": one.step(lambda m: one.distil(m, proxy), extra=cost),
    }
    if quick:
        return found
    return {**found, **after_neutralizing(one, proxy, cost)}


def mean_with(values: list[float]) -> str:
    """Return a mean with its 95 % interval over draws (Student's t)."""
    middle, n = float(np.mean(values)), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return f"{middle:.3f} ± {half:.3f}"


def far(shown: dict[str, Any], references: list[dict[str, Any]]) -> float:
    """Return the mean total variation to the references' mean softmax."""
    return float(total_variation(shown["softmax"], np.mean([one["softmax"] for one in references], axis=0)).mean())


def table(draws: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table."""
    areas = [one["auc"] for found in draws for one in found["references"]]
    low, high = np.percentile(areas, [2.5, 97.5])
    spread = max(0.5 - low, high - 0.5)
    original = float(np.mean([found["shown"]["original"]["accuracy"] for found in draws]))
    lines = [
        "| | AUC on check (½) | error on the ids | unseen accuracy | distance | time | goals met |",
        "|---|---|---|---|---|---|---|",
    ]
    floors = [
        far(one, [other for other in found["references"] if other is not one])
        / far(found["shown"]["original"], [other for other in found["references"] if other is not one])
        for found in draws
        for one in found["references"]
    ]
    retrained = [one for found in draws for one in found["references"]]
    lines.append(
        f"| retrained (references) | {np.mean(areas):.3f}, 95 % in [{low:.3f}, {high:.3f}] | "
        f"{np.mean([one['error'] for one in retrained]):.3f} | {np.mean([one['accuracy'] for one in retrained]):.4f} | "
        f"{np.mean(floors):.2f} | 100 % | |"
    )
    for label in draws[0]["shown"]:
        found = [one["shown"][label] for one in draws]
        shares = [one["shown"][label]["seconds"] / one["retraining"] for one in draws]
        distances = [
            far(one["shown"][label], one["references"]) / far(one["shown"]["original"], one["references"])
            for one in draws
        ]
        mean, right = float(np.mean([one["auc"] for one in found])), float(np.mean([one["accuracy"] for one in found]))
        kept = [
            name
            for name, good in (
                ("AUC", abs(mean - 0.5) <= spread),
                ("accuracy", right >= original - 0.02),
                ("distance", float(np.mean(distances)) < 1),
                ("time", float(np.mean(shares)) <= 0.4),
            )
            if good
        ]
        refused = sum(not one["reached"] for one in found)
        note = ("all" if len(kept) == 4 else ", ".join(kept) or "none") + (
            f"; refused {refused} times" if refused else ""
        )
        lines.append(
            f"| {label} | {mean_with([one['auc'] for one in found])} | "
            f"{np.mean([one['error'] for one in found]):.3f} | "
            f"{right:.4f} | {np.mean(distances):.2f} | {np.mean(shares):.0%} | {'' if label == 'original' else note} |"
        )
    return lines


def main() -> None:
    """Run all draws and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", dest="kind", action="store_const", const="quick", default="all")
    parser.add_argument("--proxies", dest="kind", action="store_const", const="proxies")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        dataset = open_dataset(given.dataset, Path(os.environ.get("FORGETKIT_DATA", ".")))
        machine = set_up("cpu", "float32", 1)
        trained(None, dataset, [], Path(folder) / "original.st", machine, seed=0, training=Training())
        with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
            jobs = [
                pool.submit(run_draw, given.dataset, folder, number, given.references, given.kind)
                for number in range(given.draws)
            ]
            draws = [job.result() for job in jobs]
    size = len(draws[0]["shown"]["original"]["softmax"])
    print(f"{given.dataset}: {size} ids forgotten, {given.draws} draws, {given.references} references each\n")
    print("\n".join(table(draws)))


if __name__ == "__main__":
    main()
