"""Run ``forget`` over many draws: does it end where a retrained model is, within its budget, or retrain and say why?

usage: python tests/benchmarks/bench_forget.py DATASET [--model NAME] [--recipe NAME] [--draws N] [--references K]
           [--workers W] [--seed S] [--shadows K]

DATASET and references are as in bench_unlearning.py; original and draws are others (seed S, 1 if not given; seeds
100·S + 100, …), since the settings were chosen on those. NAME is any model, those of examples/compare/networks.py
included, and one of RECIPES. AUC is judged on the check half, which no command may look at. *calibrated*: AUC of φ less
its mean over the references (for a reference: over the others), which an attacker with models that never saw the ids
has. *gap*: the mean of the differences between means, to the references, of accuracy on the ids, on the retain set and
on unseen samples, and of AUC. *work*: images that went through models, as ``forget`` counts them; *time*: CPU seconds
of one thread inside the functions, the measurements before and after included; both as a share of one retraining.
With --shadows, K shadow models of the original are trained first, and ``forget`` uses them; each draw then refreshes a
copy of them, and the twin test reads the coins of that draw, before and after. Prints one Markdown table.
"""

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from bench_unlearning import QUIET, Draw, mean_with, trained
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.errors import NotReached
from forgetkit.files.header import read_record
from forgetkit.options import ListForm, ResumableOutput, Source
from forgetkit.statistics.intervals import accuracy as estimate
from forgetkit.statistics.intervals import judge
from forgetkit.statistics.scores import phi
from forgetkit.statistics.twin_test import MARGIN, read_coins
from forgetkit.training.classifier import Classifier, accuracy, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.evaluate import measure
from forgetkit.training.plan_shadows import plan_shadows
from forgetkit.training.recipe import recipe_of
from forgetkit.training.replicas import run_missing
from forgetkit.training.shadows import folder_beside, open_shadows
from forgetkit.training.train_options import Shadowing, Training
from forgetkit.training.training_set import Base, select_samples
from forgetkit.unlearning.attempt import TRAINING, Attempt
from forgetkit.unlearning.forget_options import Forget
from forgetkit.unlearning.refresh import Refresh

sys.path.append(str(Path(__file__).parents[2] / "examples" / "compare"))
import networks  # noqa: F401 - registers its networks, in the workers too

RECIPES = {
    "convnet": Training(),
    "small-resnet": Training(epochs=12),
    "small-vit": Training(epochs=30),
    "torchvision:resnet18": Training(epochs=10),
    "sgd": Training(
        epochs=20,
        optimizer="sgd",
        rate=0.05,
        momentum=0.9,
        weight_decay=5e-4,
        batch_size=64,
        schedule="cosine",
        augment="flip-crop",
    ),
}
"""The usual recipe of each network, and that of people who train with augmentation."""
Shown = dict[str, float]
FOUR = ("ids", "retain", "unseen", "auc")


Scores = tuple[torch.Tensor, torch.Tensor]
"""φ of the ids, and of the check half."""


def scores(one: Draw, model: Classifier) -> Scores:
    """Return the scores of a model."""
    parts = (one.dataset.train, one.request.forget_rows), (one.dataset.test, one.dataset.check_rows)
    samples = [take(split, rows, "cpu") for split, rows in parts]
    of_ids, of_unseen = (phi(predict(model, images), labels) for images, labels in samples)
    return of_ids, of_unseen


def figures(one: Draw, model: Classifier, others: list[Scores]) -> Shown:
    """Return the figures of a model; ``others`` are the scores of models that never saw the ids."""
    shown = one.show(model)
    images, labels = take(one.dataset.train, one.request.retain_rows, "cpu")
    right = accuracy(predict(model, images), labels)
    ids, unseen = (
        score - torch.stack(usual).mean(0)
        for score, usual in zip(scores(one, model), zip(*others, strict=True), strict=True)
    )
    more = (ids[:, None] > unseen[None]).double().mean() + (ids[:, None] == unseen[None]).double().mean() / 2
    found = {"ids": 1 - shown.error, "retain": right, "unseen": shown.accuracy, "auc": shown.auc}
    return found | {"calibrated": float(more)}


def run_draw(name: str, folder: str, number: int, references: int) -> dict[str, Any]:
    """Return what the references show, the original and the model that ``forget`` leaves, and what that cost."""
    one = Draw(name, Path(folder), number, references)
    made = [one.train(f"reference{seed}", seed=seed, training=Training()) for seed in range(11, references + 11)]
    place = folder_beside(one.path)
    shadows = open_shadows(place) if place.exists() else None
    model, run = one.model(one.path), Attempt(Forget(), one.request, one.machine, 0, QUIET, shadows)
    begun, why, way = time.process_time(), "", ""
    forget = one.sets.forget.samples
    measure(model, forget, one.dataset, "cpu")
    try:
        outcome = run.carry_out(model)
        work, way = outcome.metrics["cost"], f"{outcome.resolved['way']} at rate {outcome.resolved['rate']:g}"
        measure(model, forget, one.dataset, "cpu")
    except NotReached as reached:
        path, _ = one.train("retrained", seed=99, training=Training())
        model, way, why = one.model(path), "retraining", str(reached)
        work = 1 + sum(attempt["cost"] for attempt in reached.attempts or [])
    seconds = time.process_time() - begun
    retraining = float(np.mean([cost for _, cost in made]))
    never = [one.model(path) for path, _ in made]
    others = [scores(one, known) for known in never]
    return {
        "references": [
            figures(one, model, [known for known in others if known is not own])
            for model, own in zip(never, others, strict=True)
        ],
        "original": figures(one, one.model(one.path), others),
        "forget": figures(one, model, others),
        "way": way,
        "why": why,
        "work": work,
        "time": seconds / retraining,
        "twins": twins(one, place, number, retraining, outcome.resolved["rate"]) if shadows and not why else {},
    }


def twins(one: Draw, place: Path, number: int, retraining: float, rate: float) -> dict[str, float]:
    """Return what the twin test reads before and after a refresh of the shadow models, and what that cost."""
    folder = shutil.copytree(place, place.with_name(f"draw{number}.shadows"))
    before, accurate, seen = coins(one, folder), accuracies(one, folder), list[int]()

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        """Count the images that go through models, as ``forget`` does."""
        if isinstance(module, Classifier):
            seen.append(len(inputs[0]) * (TRAINING if torch.is_grad_enabled() else 1))

    counting, begun = register_module_forward_pre_hook(count), time.process_time()
    Refresh(folder, one.dataset, one.machine, 0, QUIET, rate).carry_out(one.ids)
    seconds = time.process_time() - begun
    counting.remove()
    work = sum(seen) / (TRAINING * recipe_of(one.record.recipe).epochs * len(one.request.retain_rows))
    after, kept = coins(one, folder), accuracies(one, folder)
    read = {"before": before[0] / before[1], "right": after[0], "read": after[1]}
    return {**read, "work": work, "time": seconds / retraining, "accuracy": kept - accurate}


def coins(one: Draw, folder: Path) -> tuple[int, int]:
    """Return the coins of the ids that the twin test reads correctly, and all."""
    members = open_shadows(folder).members
    images, labels = take(one.dataset.train, one.request.forget_rows, "cpu")
    found = np.stack([phi(predict(one.model(of.path), images), labels).numpy() for of in members])
    sides = np.stack([of.record.was_trained(one.ids) for of in members[1::2]])
    return read_coins(found, sides, np.arange(len(one.ids)))


def accuracies(one: Draw, folder: Path) -> float:
    """Return the mean accuracy of the shadow models on unseen samples."""
    images, labels = take(one.dataset.test, np.arange(len(one.dataset.test)), "cpu")
    members = open_shadows(folder).members
    return float(np.mean([accuracy(predict(one.model(of.path), images), labels) for of in members]))


def table(draws: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the table, and what it says in words."""
    references = [one for found in draws for one in found["references"]]
    low, high = np.percentile([one["auc"] for one in references], [2.5, 97.5])
    means = {name: float(np.mean([one[name] for one in references])) for name in FOUR}
    lines = [
        "| | on the ids | on the retain set | on unseen | AUC on check (½) | calibrated (½) | gap | work | time |",
        "|---|---|---|---|---|---|---|---|---|",
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
            f"{area or mean_with([one['auc'] for one in shown])} | "
            f"{mean_with([one['calibrated'] for one in shown])} | {gap:.3f} | {cost} |"
        )
    if read := [found["twins"] for found in draws if found["twins"]]:
        right, made = (sum(one[name] for one in read) for name in ("right", "read"))
        names = ("before", "work", "time", "accuracy")
        known, work, seconds, change = (float(np.mean([one[name] for one in read])) for name in names)
        coins_read = f"{known:.1%} of the coins before, {right / made:.1%} of {made:,} after a refresh"
        costs = f"at {work:.0%} of the work and {seconds:.0%} of the time of a retraining"
        passing = f"{sum(_passes(one) for one in read)} of {len(read)} draws pass"
        lines += ["", f"Twin test: {coins_read}, {costs}; {passing}; accuracy of the shadow models {change:+.3f}."]
    ways = Counter(found["way"] for found in draws)
    lines += ["", "Ended by: " + ", ".join(f"{way} {count}" for way, count in ways.items()) + "."]
    return lines + sorted({f"Retrained because: {found['why']}" for found in draws if found["why"]})


def _passes(one: dict[str, float]) -> bool:
    """Return whether the twin test of a draw passes as the audit judges it."""
    return judge(estimate(int(one["right"]), int(one["read"])), null=0.5, margin=MARGIN) == "pass"


def share(draws: list[dict[str, Any]], what: str) -> str:
    """Return mean and maximum of a cost."""
    values = [found[what] for found in draws]
    return f"{np.mean(values):.0%} (at most {np.max(values):.0%})"


def train_shadows(dataset: Dataset, path: Path, shadowing: Shadowing, workers: int) -> None:
    """Train shadow models of the model at ``path``."""
    base, machine = Base(path, read_record(path), like=True), set_up("cpu", "float32", 1)
    samples = select_samples(base, Source(dataset=dataset.name), QUIET, form=ListForm())
    out = str(folder_beside(path) / "{n}.st")
    jobs = plan_shadows(samples, machine, shadowing, out, 7000)
    run_missing(jobs, dataset, (), QUIET, ResumableOutput(), workers=workers)


def main() -> None:
    """Run all draws and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--model", default="convnet")
    parser.add_argument("--recipe", choices=RECIPES)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--references", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shadows", type=int, default=0)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        dataset = open_dataset(given.dataset, Path(os.environ.get("FORGETKIT_DATA", ".")))
        machine = set_up("cpu", "float32", 1)
        training, path = RECIPES[given.recipe or given.model], Path(folder) / "original.st"
        trained(None, dataset, [], path, machine, seed=given.seed, training=training, model=given.model)
        if given.shadows:
            train_shadows(dataset, path, Shadowing(given.shadows), given.workers)
        with ProcessPoolExecutor(given.workers, get_context("spawn")) as pool:
            jobs = [
                pool.submit(run_draw, given.dataset, folder, number, given.references)
                for number in range(100 * given.seed, 100 * given.seed + given.draws)
            ]
            draws = [job.result() for job in jobs]
    network = f"{given.dataset}, {given.model}, recipe {given.recipe or 'usual'}"
    print(f"{network}: {given.draws} draws, {given.references} references each\n")
    print("\n".join(table(draws)))


if __name__ == "__main__":
    main()
