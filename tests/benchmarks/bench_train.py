"""Training against what a user would write and against the bare loop (P3, P4), and what bfloat16 costs in accuracy.

usage: python tests/benchmarks/bench_train.py [RUNS]     (pairs of runs; 7 if not given)
       python tests/benchmarks/bench_train.py --precisions    accuracy in float32 and in bfloat16, over 5 seeds

MNIST (and CIFAR-10 in part, cifar10-4000.npz) must lie in FORGETKIT_DATA; what lacks its data says so.
"""

import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from paired import RUNS, compare, judge, machine
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import MNIST

from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.models.build import build_model
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Classifier, accuracy, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.recipe import Recipe
from forgetkit.training.training_set import input_of

ROOT = Path(os.environ.get("FORGETKIT_DATA", "data"))
IMAGES, BATCH, RATE = 12_000, 128, 1e-3
SEEDS = 5
SETS = {"digits": (20, None), "mnist": (4, 10_000), "arrays:cifar10-4000.npz": (12, None)}
"""Epochs, and training images (None: all), of the sets in which the precisions are compared."""


def network(dataset: Dataset, seed: int = 0) -> nn.Module:
    """Return `convnet` for a data set."""
    return build_model("convnet", {}, shape=dataset.shape, classes=len(dataset.classes), seed=seed)


def placed(dataset: Dataset, seed: int = 0) -> nn.Module:
    """Return `convnet` laid out as every command does."""
    return network(dataset, seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def with_the_loader(model: nn.Module) -> None:
    """Train an epoch as a tutorial does: torchvision's data set, transforms, and a loader with two workers."""
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    loader = DataLoader(Subset(MNIST(ROOT, transform=steps), range(IMAGES)), BATCH, shuffle=True, num_workers=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    model.train()
    for images, labels in loader:
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()


def with_tensors(model: nn.Module, images: Tensor, labels: Tensor, order: list[Tensor], precision: str) -> None:
    """Make the calls of an epoch, and no others."""
    mean, std = torch.tensor(33.3), torch.tensor(78.6)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    model.train()
    for rows in order:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = model(((images[rows] - mean) / std).contiguous(memory_format=torch.channels_last))
        loss = cross_entropy(logits.float(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def epoch_of(dataset: Dataset, precision: str, images: Tensor, labels: Tensor) -> Callable[[], object]:
    """Return forgetkit's epoch, each time from the same start."""
    tune = images[:1], labels[:1]

    def once() -> object:
        model = Classifier(placed(dataset), mean=[33.3], std=[78.6], precision=precision)
        optimizer = make_optimizer(model, "adam", rate=RATE)
        return complete(
            train_steps(model, images, labels, recipe=Recipe(epochs=1), optimizer=optimizer, tune=tune, seed=0)
        )

    return once


def speed(runs: int) -> None:
    """Print the rows of P3 and P4."""
    precision = set_up("cpu", "auto", 0).precision
    try:
        dataset = open_dataset("mnist", ROOT)
    except ForgetkitError as missing:
        print(f"P3 and P4 are left out: {missing.message}")
        return
    images, labels = take(dataset.train, np.arange(IMAGES), "cpu")
    fast = epoch_of(dataset, precision, images, labels)
    found = compare(lambda: with_the_loader(network(dataset)), fast, runs=runs)
    what = f"`train`, images/s, {precision}, against torchvision's data set in a DataLoader ({found.says()})"
    units = getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16")
    print(judge("P3", what, found.ratio, least=4 if units else 2), flush=True)
    order = shuffled(IMAGES, BATCH, seed=0, epoch=1)
    found = compare(fast, lambda: with_tensors(placed(dataset), images, labels, order, precision), runs=runs)
    print(judge("P4", f"`train`, {precision}, against the bare loop ({found.says()})", found.ratio, most=1.05))


def precisions() -> None:
    """Print accuracy on the unseen split by set and precision: mean and spread over the seeds."""
    print("| data | epochs | float32 | bfloat16 | mean difference |\n|---|---|---|---|---|")
    for name, (epochs, count) in SETS.items():
        try:
            dataset = open_dataset(name if ":" not in name else f"arrays:{ROOT / name.partition(':')[2]}", ROOT)
        except ForgetkitError as missing:
            print(f"{name} is left out: {missing.message}")
            continue
        rows = np.arange(count or len(dataset.train))
        images, labels = take(dataset.train, rows, "cpu")
        entry = input_of(dataset, rows)
        mean, std = entry["mean"], entry["std"]
        unseen = take(dataset.test, np.arange(len(dataset.test)), "cpu")
        right: dict[str, list[float]] = {"float32": [], "bfloat16": []}
        for seed in range(SEEDS):
            for precision, found in right.items():
                classifier = Classifier(placed(dataset, seed), mean=mean, std=std, precision=precision)
                optimizer = make_optimizer(classifier, "adam", rate=RATE)
                recipe = Recipe(epochs=epochs)
                complete(
                    train_steps(classifier, images, labels, recipe=recipe, optimizer=optimizer, tune=unseen, seed=seed)
                )
                classifier.precision = "float32"  # as every judgement
                found.append(accuracy(predict(classifier, unseen[0]), unseen[1]))
        gaps = [one - other for one, other in zip(right["bfloat16"], right["float32"], strict=True)]
        cells = [f"{statistics.mean(found):.2%} ± {statistics.stdev(found):.2%}" for found in (*right.values(), gaps)]
        print(f"| {name} | {epochs} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print what was asked for."""
    print(f"{machine()}\n")
    if "--precisions" in sys.argv:
        precisions()
    else:
        speed(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)


if __name__ == "__main__":
    main()
