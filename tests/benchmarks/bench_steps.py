"""Steps of methods against the literal algorithm and against the bare loop (P1, P2, P5, P6 of docs/performance.md).

usage: python tests/benchmarks/bench_steps.py [RUNS]     (pairs of runs; 7 if not given)

Images are random: what they show costs nothing. The bare loop makes the same forward, backward and optimizer calls on
the same batches in the same precision, and nothing else.
"""

import copy
import sys
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import RUNS, compare, judge, machine, seconds
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from forgetkit.cli.console import Console
from forgetkit.data.open import open_dataset
from forgetkit.events import silent
from forgetkit.methods.neutralize import mislabel
from forgetkit.methods.relabel import relabel, wrong_label_targets
from forgetkit.models.build import build_model
from forgetkit.options import Say
from forgetkit.training.batches import shuffled
from forgetkit.training.classifier import Classifier, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import make_optimizer
from forgetkit.training.recipe import Recipe
from forgetkit.training.resume import Bookmark
from forgetkit.training.training_set import input_of
from forgetkit.training.updates import fit, walk
from forgetkit.unlearning.distillation import Distillation
from forgetkit.unlearning.method_options import Distill, Neutralize
from forgetkit.unlearning.neutralization import Neutralization
from forgetkit.unlearning.sets import Sets

RATE = 1e-5
Samples = tuple[Tensor, Tensor]


def convnet() -> nn.Module:
    """Return the small network, for MNIST."""
    return build_model("convnet", {}, shape=(1, 28, 28), classes=10, seed=0)


def residual(*, small: bool) -> nn.Module:
    """Return ResNet-18 for 100 classes; with a ``small`` stem it keeps the resolution of small images."""
    torch.manual_seed(0)
    model = resnet18(num_classes=100)
    if small:
        model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()  # type: ignore[assignment]
    return model


def drawn(number: int, shape: tuple[int, int, int], classes: int) -> Samples:
    """Return random float images and labels."""
    source = torch.Generator().manual_seed(0)
    return torch.randn(number, *shape, generator=source), torch.randint(classes, (number,), generator=source)


def drawn_bytes(number: int) -> Samples:
    """Return random uint8 images of MNIST's shape and labels."""
    source = torch.Generator().manual_seed(0)
    images = torch.randint(256, (number, 1, 28, 28), generator=source, dtype=torch.uint8)
    return images, torch.randint(10, (number,), generator=source)


def classifier(precision: str) -> Classifier:
    """Return the small network behind its input, laid out as every command does."""
    model = convnet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Classifier(model, mean=[33.3], std=[78.6], precision=precision)


def literal(model: nn.Module, samples: Samples, classes: int) -> None:
    """Do as the paper says: for each id, a mini-batch of the image with each of its wrong labels."""
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    model.eval()
    for image, label in zip(*samples, strict=True):
        wrong = torch.tensor([other for other in range(classes) if other != label])
        loss = cross_entropy(model(image.expand(len(wrong), *image.shape)), wrong)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def ours(model: nn.Module, samples: Samples, classes: int) -> None:
    """Relabel with one pass for each id."""
    optimizer, keys = make_optimizer(model, "sgd", rate=RATE), np.arange(len(samples[1]), dtype=np.uint64)
    for _ in fit(optimizer, relabel(model, samples, keys=keys, classes=classes)):
        pass


def against_the_paper(name: str, make: Callable[[], nn.Module], samples: Samples, *, least: float, runs: int) -> str:
    """Return the row of one model, whose weights must come out the same both ways."""
    model, classes = make(), 10 if least == 3 else 100
    exact, same = copy.deepcopy(model).double(), copy.deepcopy(model).double()
    few = samples[0][:2].double(), samples[1][:2]
    ours(exact, few, classes)
    literal(same, few, classes)
    pairs = zip(exact.state_dict().values(), same.state_dict().values(), strict=True)
    if not all(torch.allclose(one, other, rtol=0, atol=1e-6) for one, other in pairs):
        raise SystemExit(f"{name}: the weights differ")
    placed = copy.deepcopy(model).to(memory_format=torch.channels_last)  # as every command does
    images = samples[0].contiguous(memory_format=torch.channels_last)
    fast = (images, samples[1])
    found = compare(lambda: literal(model, samples, classes), lambda: ours(placed, fast, classes), runs=runs)
    what = f"`relabel`, per id, against the literal mini-batch: {name} ({found.says()})"
    return judge("P1", what, found.ratio, least=least)


def against_the_loop(runs: int) -> str:
    """Return the row of `relabel` against the bare loop."""
    model, samples, console = classifier("float32"), drawn_bytes(600), Console(Say())

    def command() -> None:
        count = len(samples[1])
        keys = np.arange(count, dtype=np.uint64)
        optimizer, updates = make_optimizer(model, "sgd", rate=RATE), relabel(model, samples, keys=keys, classes=10)
        walk(Bookmark(), "ids", model, lambda: (optimizer, updates), label="relabel", total=count, tell=console)

    def bare() -> None:
        optimizer = make_optimizer(model, "sgd", rate=RATE)
        soft = wrong_label_targets(samples[1], torch.rand(len(samples[1]), 10), count=9)
        model.eval()
        for row in range(len(soft)):
            loss = cross_entropy(model(samples[0][row : row + 1]), soft[row : row + 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    found = compare(command, bare, runs=runs)
    return judge("P2", f"`relabel`, per id, against the bare loop ({found.says()})", found.ratio, most=1.1)


def distilled(precision: str, runs: int) -> str:
    """Return the row of `distill` against plain training; the teacher's one pass over the images is taken off."""
    student, teacher, samples = classifier(precision), classifier(precision), drawn_bytes(20_000)
    recipe, tune = Recipe(epochs=1), drawn_bytes(10)
    begin = {name: tensor.clone() for name, tensor in student.state_dict().items()}

    sets = Sets.of_tensors(tune, samples, tune, 10)

    def ours() -> None:
        student.load_state_dict(begin)
        how = Distill(retain_fraction=1.0)
        Distillation(how, recipe, student, sets, 0, Bookmark(), silent).towards_original(teacher)

    def plain() -> None:
        student.load_state_dict(begin)
        optimizer = make_optimizer(student, "adam", rate=1e-3)
        complete(train_steps(student, *samples, recipe=recipe, optimizer=optimizer, tune=tune, seed=0))

    once = sorted(seconds(lambda: predict(teacher, samples[0])) for _ in range(runs))[runs // 2]
    found = compare(ours, plain, runs=runs, less=once)
    what = f"`distill`, per image, against plain training, less one pass of {once:.2g} s ({found.says()})"
    return judge("P5", what, found.ratio, most=1.08)


def neutralized(precision: str, runs: int) -> str:
    """Return the rows of `neutralize` of 600 digits, evaluated after every 20th of an epoch, against the bare loop.

    The bare loop makes the same calls: those of the evaluations, too, and then without them.
    """
    digits = open_dataset("digits", Path("."))
    images, labels = take(digits.train, np.arange(len(digits.train)), "cpu")
    network = build_model("convnet", {}, shape=digits.shape, classes=10, seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = input_of(digits, np.arange(len(digits.train)))
    model = Classifier(network, mean=pixels["mean"], std=pixels["std"], precision=precision)
    optimizer = make_optimizer(model, "adam", rate=1e-3)
    complete(train_steps(model, images, labels, recipe=Recipe(), optimizer=optimizer, tune=(images, labels), seed=0))
    samples, batch = (images[:600], labels[:600]), 30
    sets = Sets.of_tensors(samples, (images, labels), (images, labels), 10)
    contrast = mislabel(predict(model, samples[0]), samples[1], kind="minimum", match="one-to-one")
    targets = torch.tensor([contrast[label] for label in samples[1].tolist()])
    known = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluations: list[dict[str, Any]] = []

    def command() -> None:
        model.load_state_dict(known)
        settings, bookmark = Neutralize(stop="chance", batch_size=batch, max_epochs=99), Bookmark()
        Neutralization(settings, model, sets, 0, False, bookmark, silent).carry_out()
        evaluations[:] = bookmark.log

    def bare(looked: list[list[int]]) -> None:
        """Take as many steps as were taken, each followed by predictions of so many images."""
        model.load_state_dict(known)
        optimizer = make_optimizer(model, "adam", rate=1e-3)
        model.eval()
        batches = chain.from_iterable(shuffled(len(targets), batch, seed=0, epoch=epoch) for epoch in count(1))
        evaluate(looked[0])
        for rows, counts in zip(batches, looked[1:], strict=False):
            loss = cross_entropy(model(samples[0][rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            evaluate(counts)

    def evaluate(counts: list[int]) -> None:
        for images_at_once in counts:
            predict(model, samples[0][:images_at_once])

    looked: list[list[int]] = [[]]

    def note(_: nn.Module, inputs: tuple[Tensor]) -> None:
        """Note how many images are taken at a time, by evaluation: a step comes between two."""
        if torch.is_grad_enabled():
            looked.append([])
        else:
            looked[-1].append(len(inputs[0]))

    hook = model.register_forward_pre_hook(note)
    command()
    hook.remove()
    never, always = [[] for _ in looked], [[600] for _ in looked]
    whole = seconds(lambda: bare(always)) / seconds(lambda: bare(never))
    same = compare(command, lambda: bare(looked), runs=runs)
    found = compare(command, lambda: bare(never), runs=runs)
    first, last = evaluations[0]["accuracy"], evaluations[-1]["accuracy"]
    steps = f"{evaluations[-1]['step']} steps, accuracy {first:.0%} → {last:.0%}"
    what = f"`neutralize`, {steps}, an evaluation after each, against the same calls ({same.says()})"
    rest = f"… against the calls of its steps alone ({found.says()}; evaluations of all ids: {whole:.3g} ×)"
    return judge("P6", what, same.ratio, most=1.2) + "\n" + judge("P6", rest, found.ratio, most=1.2)


def main() -> None:
    """Print all rows."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    auto = set_up("cpu", "auto", 0).precision
    small, colour = (1, 28, 28), (3, 32, 32)
    print(f"{machine()}; P5 and P6 in {auto}\n")
    print(against_the_paper("`convnet`, C = 10", convnet, drawn(100, small, 10), least=3, runs=runs))
    usual, kept = "ResNet-18 with its usual stem, 32×32, C = 100", "ResNet-18 with the stem for small images, C = 100"
    print(against_the_paper(usual, lambda: residual(small=False), drawn(20, colour, 100), least=10, runs=runs))
    print(against_the_paper(kept, lambda: residual(small=True), drawn(4, colour, 100), least=25, runs=runs))
    print(against_the_loop(runs))
    print(distilled(auto, runs))
    print(neutralized(auto, runs))


if __name__ == "__main__":
    main()
