"""On a GPU: relabelled ids a second, an epoch of MNIST's size, ResNet-50 beside its bare bfloat16 loop.

usage: python tests/benchmarks/bench_gpu.py [--device cpu] [--images N]     (cuda, and 60,000, if not given)

Images are random, lie on the device as uint8 and are normalised in the step, as in every command. Without the device it
says so and measures nothing; on the CPU it shows that the path works.
"""

import argparse

import torch
from paired import compare, judge, machine, seconds
from torch import Tensor
from torch.nn.functional import cross_entropy

from forgetkit.batches import shuffled
from forgetkit.compute import set_up
from forgetkit.errors import ForgetkitError
from forgetkit.methods.relabel import relabel
from forgetkit.models import build_model
from forgetkit.optimizers import make_optimizer
from forgetkit.recipe import Recipe
from forgetkit.training import Classifier, train

Samples = tuple[Tensor, Tensor]


def drawn(count: int, shape: tuple[int, int, int], device: str) -> Samples:
    """Return random uint8 images and labels on the device."""
    images = torch.randint(256, (count, *shape), dtype=torch.uint8, device=device)
    return images, torch.randint(10, (count,), device=device)


def classifier(name: str, shape: tuple[int, int, int], device: str, precision: str) -> Classifier:
    """Return a model behind its input, on the device."""
    model = build_model(name, {}, shape=shape, classes=10, seed=0).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(model, mean=[128.0] * shape[0], std=[74.0] * shape[0], precision=precision)


def waited(work: object, device: str) -> None:
    """Run work, and wait for the device."""
    work()  # type: ignore[operator]
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def relabelled(device: str, count: int) -> str:
    """Return the row of `relabel`."""
    model, samples = classifier("convnet", (1, 28, 28), device, "float32"), drawn(count, (1, 28, 28), device)

    def work() -> None:
        optimizer = make_optimizer(model, "adadelta", rate=1e-6)
        for _ in relabel(model, *samples, optimizer=optimizer, classes=10):
            pass

    waited(work, device)
    spent = seconds(lambda: waited(work, device))
    return judge("GPU", "`relabel`, `convnet`", count / spent, least=5000, unit="ids/s")


def epoch(device: str, precision: str, samples: Samples, name: str) -> tuple[Classifier, object]:
    """Return a model and the work of an epoch on it."""
    model = classifier(name, tuple(samples[0].shape[1:]), device, precision)  # type: ignore[arg-type]
    tune = samples[0][:1], samples[1][:1]

    def work() -> None:
        optimizer = make_optimizer(model, "adam", rate=1e-6)
        train(model, *samples, recipe=Recipe(epochs=1), optimizer=optimizer, tune=tune, seed=0)

    return model, work


def against_the_loop(device: str, precision: str, count: int) -> str:
    """Return the row of ResNet-50."""
    samples = drawn(count, (3, 32, 32), device)
    model, work = epoch(device, precision, samples, "resnet50")
    order = shuffled(count, 128, seed=0, epoch=1)

    def bare() -> None:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-6, fused=True)
        model.train()
        for rows in order:
            loss = cross_entropy(model(samples[0][rows]), samples[1][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    found = compare(lambda: waited(bare, device), lambda: waited(work, device))
    what = f"ResNet-50 at 32×32, {precision}, speed beside the bare loop ({found.says()})"
    return judge("GPU", what, found.ratio, least=0.9)


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
    print(relabelled(given.device, max(given.images // 30, 10)))
    _, work = epoch(given.device, found.precision, drawn(given.images, (1, 28, 28), given.device), "convnet")
    waited(work, given.device)
    spent = seconds(lambda: waited(work, given.device))
    print(judge("GPU", f"an epoch of {given.images:,} images, `convnet`, {found.precision}", spent, most=0.3, unit="s"))
    print(against_the_loop(given.device, found.precision, max(given.images // 4, 128)))


if __name__ == "__main__":
    main()
