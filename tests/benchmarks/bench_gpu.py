"""On a GPU: relabelled ids a second, an epoch of MNIST's size, replicas side by side, ResNet-50 beside its bare loop.

usage: python tests/benchmarks/bench_gpu.py [--device cpu] [--images N]     (cuda, and 60,000, if not given)

Images are random, lie on the device as uint8 and are normalised in the step, as in every command. The plain loop makes
the same calls one by one. Without the device it says so and measures nothing; on the CPU it shows that the path works.
"""

import argparse
from collections.abc import Callable, Generator

import numpy as np
import torch
from paired import compare, judge, machine, seconds
from torch import Tensor
from torch.nn.functional import cross_entropy

from forgetkit.errors import ForgetkitError
from forgetkit.methods.relabel import relabel, wrong_label_targets
from forgetkit.models.build import build_model
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Classifier
from forgetkit.training.cuda_graphs import take_step
from forgetkit.training.cuda_streams import side_by_side
from forgetkit.training.device import set_up
from forgetkit.training.history import History
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.recipe import Recipe
from forgetkit.training.updates import fit

RATE = 1e-6
REPLICAS = 64
PART = 8
"""The plain loop takes an eighth of the steps, and its time counts eight times."""
Samples = tuple[Tensor, Tensor]


def drawn(count: int, shape: tuple[int, int, int], device: str) -> Samples:
    """Return random uint8 images and labels on the device."""
    images = torch.randint(256, (count, *shape), dtype=torch.uint8, device=device)
    return images, torch.randint(10, (count,), device=device)


def classifier(name: str, shape: tuple[int, int, int], device: str, precision: str) -> Classifier:
    """Return a model behind its input, on the device."""
    model = build_model(name, {}, shape=shape, classes=10, seed=0).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(model, mean=[128.0] * shape[0], std=[74.0] * shape[0], precision=precision)


def waited(work: Callable[[], object], device: str) -> Callable[[], None]:
    """Return what does the work and waits for the device."""

    def both() -> None:
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    return both


def plain_steps(model: Classifier, samples: Samples, order: list[Tensor], name: str = "adam") -> None:
    """Take the steps of a loop that a user would write."""
    parameters = model.parameters()
    if name == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=RATE, fused=True)
    else:
        optimizer = torch.optim.Adadelta(parameters, lr=RATE)
    for rows in order:
        take_step(optimizer, lambda rows: cross_entropy(model(samples[0][rows]), samples[1][rows]), rows)


def relabelled(device: str, count: int) -> str:
    """Return the row of `relabel`."""
    model, samples = classifier("convnet", (1, 28, 28), device, "float32"), drawn(count, (1, 28, 28), device)
    targets = wrong_label_targets(samples[1], torch.rand(len(samples[1]), 10), count=9)
    order = [torch.tensor([row], device=device) for row in range(count // PART)]

    def work() -> None:
        optimizer = make_optimizer(model, "adadelta", rate=RATE)
        for _ in fit(optimizer, relabel(model, samples, keys=np.arange(len(samples[1]), dtype=np.uint64), classes=10)):
            pass

    bare = waited(lambda: plain_steps(model.eval(), (samples[0], targets), order, "adadelta"), device)
    found = compare(bare, waited(work, device))
    what = f"`relabel`, {count:,} ids, `convnet`; {found.ratio * PART:.1f} × the plain loop"
    return judge("GPU", what, count / found.plain, least=5000, unit="ids/s")


def training(model: Classifier, samples: Samples, seed: int = 0) -> Generator[None, None, History]:
    """Return an epoch of training, to be taken step by step."""
    tune = samples[0][:1], samples[1][:1]
    optimizer = make_optimizer(model, "adam", rate=RATE)
    return train_steps(model, *samples, recipe=Recipe(epochs=1), optimizer=optimizer, tune=tune, seed=seed)


def epoch(device: str, precision: str, count: int) -> str:
    """Return the row of an epoch."""
    samples, model = drawn(count, (1, 28, 28), device), classifier("convnet", (1, 28, 28), device, precision)
    order = [rows.to(device) for rows in shuffled(count, 128, seed=0, epoch=1)]
    ours = waited(lambda: complete(training(model, samples)), device)
    found = compare(waited(lambda: plain_steps(model.train(), samples, order[: len(order) // PART]), device), ours)
    ratio = found.ratio * len(order) / (len(order) // PART)
    what = f"an epoch of {count:,} images, `convnet`, {precision}; {ratio:.1f} × the plain loop"
    return judge("GPU", what, found.plain, most=0.3, unit="s")


def replicas(device: str, precision: str, count: int) -> str:
    """Return the row of replicas."""
    samples = drawn(count, (1, 28, 28), device)
    order = [rows.to(device) for rows in shuffled(count, 128, seed=0, epoch=1)]

    def new() -> Classifier:
        return classifier("convnet", (1, 28, 28), device, precision).train()

    def together() -> None:
        list(side_by_side((training(new(), samples, seed) for seed in range(REPLICAS)), device))

    def in_turn() -> None:
        for seed in range(REPLICAS):
            complete(training(new(), samples, seed))

    def one_by_one() -> None:
        for _ in range(REPLICAS // PART):
            plain_steps(new(), samples, order)

    found = compare(waited(one_by_one, device), waited(together, device))
    own = seconds(waited(in_turn, device))
    what = (
        f"{REPLICAS} replicas of `convnet`, {count:,} images, {precision}, against the plain loop one by one"
        f" (side by side {found.plain:.3g} s, forgetkit's one by one {own:.3g} s)"
    )
    return judge("GPU", what, found.ratio * PART, least=8)


def against_the_loop(device: str, precision: str, count: int) -> str:
    """Return the row of ResNet-50."""
    samples = drawn(count, (3, 32, 32), device)
    order = [rows.to(device) for rows in shuffled(count, 128, seed=0, epoch=1)]
    model = classifier("resnet50", (3, 32, 32), device, precision)
    ours = waited(lambda: complete(training(model, samples)), device)
    found = compare(waited(lambda: plain_steps(model.train(), samples, order[: len(order) // PART]), device), ours)
    what = f"ResNet-50 at 32×32, {count:,} images, {precision}, speed beside the plain loop (ours {found.plain:.3g} s)"
    return judge("GPU", what, found.ratio * len(order) / (len(order) // PART), least=0.9)


def main() -> None:
    """Print all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=60_000)
    given = parser.parse_args()
    try:
        found = set_up(given.device, "auto", 0)
    except ForgetkitError as missing:
        print(f"left out: {missing.message}")
        return
    name = torch.cuda.get_device_name() if given.device.startswith("cuda") else "the CPU"
    print(f"{name}; {machine()}\n")
    device, precision, images = given.device, found.precision, given.images
    print(relabelled(device, max(images // 30, 16)), flush=True)
    print(epoch(device, precision, images), flush=True)
    print(against_the_loop(device, precision, max(images // 4, 1024)), flush=True)
    print(replicas(device, precision, max(images // 8, 1024)), flush=True)


if __name__ == "__main__":
    main()
