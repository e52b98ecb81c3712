"""How cost grows: seconds over size, and the slope on logarithmic axes (1: linear, 0: independent).

usage: python tests/benchmarks/bench_growth.py [FIGURE.svg]

Random grey images of 8×8, `convnet`, one thread. Commands run in this process, so start-up counts for none; the least
of three runs, or a long one alone. The slope is taken between the two largest sizes, where fixed costs weigh least.
"""

import contextlib
import gc
import io
import math
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from paired import machine, seconds

from forgetkit.cli import app as cli
from forgetkit.errors import NotReached
from forgetkit.events import silent
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import check_known, draw, read_ids
from forgetkit.models.build import build_model
from forgetkit.training.classifier import Classifier
from forgetkit.training.resume import Bookmark
from forgetkit.unlearning.method_options import Neutralize
from forgetkit.unlearning.neutralization import Neutralization
from forgetkit.unlearning.sets import Sets

UNSEEN = 1_000
SALT = "00" * 32
LONG = 5.0
"""Seconds from which a run is not repeated."""


def run(line: str, *codes: int) -> None:
    """Run a command in this process."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        code = cli.run([*line.split(), "-q"])
    if code not in {0, *codes}:
        raise SystemExit(f"{line}: exit {code}\n{said.getvalue()}")


def relabel(model: str) -> None:
    """Relabel at a fixed rate, into a new file: else the second time it is up to date."""
    Path("after.st").unlink(missing_ok=True)
    run(f"relabel {model} --ids ids.txt --rate 1e-6 --allow-unforgotten -o after.st")


def make_data(name: str, train: int, unseen: int = UNSEEN) -> None:
    """Write random images, and train a model on the first thousand of them."""
    source = np.random.default_rng(0)
    count = train + unseen
    images = source.integers(0, 256, (count, 8, 8), np.uint8)
    split = np.where(np.arange(count) < train, "train", "test")
    np.savez(f"{name}.npz", images=images, labels=source.integers(0, 10, count), split=split)
    Path("few.txt").write_text("".join(f"{row}\n" for row in range(min(train, 1_000))))
    run(f"train --dataset arrays:{name}.npz --only few.txt --epochs 1 -f -o {name}.st")


def ids_to_relabel(count: int) -> Callable[[], object]:
    """`relabel` of ids, by the data set's size left as it is."""
    make_data("ids", 100_000)
    run("train --dataset arrays:ids.npz --epochs 1 --batch-size 1024 -f -o ids.st")
    run(f"forget-ids ids.st --count {count} -o ids.txt -f")
    return lambda: relabel("ids.st")


def data_of_relabel(count: int) -> Callable[[], object]:
    """`relabel` of 100 ids, by the size of the data set."""
    make_data("data", count)
    run("forget-ids --ids few.txt --dataset arrays:data.npz --count 100 -o ids.txt -f")
    return lambda: relabel("data.st")


def ids_to_neutralize(count: int) -> Callable[[], object]:
    """One epoch of `neutralize` with its 20 evaluations of all ids, by ids."""
    model = build_model("convnet", {}, shape=(1, 8, 8), classes=10, seed=0)
    classifier = Classifier(model, mean=[128.0], std=[74.0])
    samples = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8), torch.arange(count) % 10
    sets = Sets.of_tensors(samples, samples, samples, 10)
    settings = Neutralize(stop="zero", rate=1e-6, batch_size=30, max_epochs=1)

    def work() -> None:
        with contextlib.suppress(NotReached):  # at that rate
            Neutralization(settings, classifier, sets, 0, True, Bookmark(), silent).carry_out()

    return work


def lists(count: int) -> Callable[[], object]:
    """An ID list read, checked, a twentieth drawn and sorted."""
    path, known = Path("list.txt"), {str(row): row for row in range(count)}
    path.write_text("".join(f"{id_}\n" for id_ in known))

    def work() -> None:
        found = read_ids(str(path))
        check_known(found, known, "benchmark")
        sorted(draw(found.ids, count // 20, 0))

    return work


def keys(count: int) -> Callable[[], object]:
    """A record's forgotten ids, written, read and asked."""
    ids = [str(row) for row in range(count)]
    return lambda: KeySet.from_json(KeySet.of(ids, SALT).to_json(), SALT).contains(ids)


def audits(count: int) -> Callable[[], object]:
    """`audit` without references, by ids; as many unseen samples, and as many retained ones."""
    make_data("audit", 2 * count, 2 * count)
    run("train --dataset arrays:audit.npz --epochs 1 --batch-size 1024 -f -o audit.st")
    run(f"forget-ids audit.st --count {count} -o ids.txt -f")
    relabel("audit.st")
    return lambda: run("audit after.st --original audit.st", 1, 3)


SERIES: list[tuple[str, str, Callable[[int], Callable[[], object]], list[int]]] = [
    ("relabel", "ids", ids_to_relabel, [10, 100, 1_000, 10_000]),
    ("relabel of 100 ids", "size of the data set", data_of_relabel, [1_000, 10_000, 100_000, 1_000_000]),
    ("neutralize", "ids", ids_to_neutralize, [100, 1_000, 10_000, 100_000]),
    ("ID lists", "ids", lists, [1_000, 10_000, 100_000, 1_000_000, 10_000_000]),
    ("forgotten ids of a record", "ids", keys, [1_000, 10_000, 100_000, 1_000_000]),
    ("audit", "ids, and as many unseen", audits, [100, 1_000, 10_000, 50_000]),
]


def main() -> None:
    """Print a row a series; draw them all where a path is given."""
    torch.set_num_threads(1)
    print(f"{machine()}\n\n| what | by | sizes | seconds | slope |\n|---|---|---|---|---|")
    found = []
    figure = Path(sys.argv[1]).absolute() if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"XDG_CACHE_HOME": folder, "FORGETKIT_DATA": folder, "FORGETKIT_THREADS": "1"}
        for what, by, prepare, sizes in SERIES:
            spent = []
            for size in sizes:
                work = prepare(size)
                first = seconds(work)
                spent.append(min([first, *(seconds(work) for _ in range(2 if first < LONG else 0))]))
                del work
                gc.collect()
            slope = math.log(spent[-1] / spent[-2]) / math.log(sizes[-1] / sizes[-2])
            cells = [" · ".join(f"{value:,}" for value in sizes), " · ".join(f"{value:.3g}" for value in spent)]
            print(f"| {what} | {by} | {cells[0]} | {cells[1]} | {slope:.2f} |", flush=True)
            found.append((what, by, sizes, spent))
        os.chdir("/")
    if figure:
        plot(found, figure)


def plot(found: list[tuple[str, str, list[int], list[float]]], figure: Path) -> None:
    """Draw a panel a series, on logarithmic axes, with a line of slope 1 through its last point."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "growth"
    canvas, panels = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for axes, (what, by, sizes, spent) in zip(panels.flat, found, strict=True):
        axes.loglog(sizes, [spent[-1] * size / sizes[-1] for size in sizes], ":", color="0.6", label="linear")
        axes.loglog(sizes, spent, "o-", color="#0072b2")
        axes.set(title=what, xlabel=by, ylabel="seconds", ylim=(min(spent) / 3, max(spent) * 3))
    panels.flat[0].legend(frameon=False)
    canvas.savefig(figure, metadata={"Date": None})


if __name__ == "__main__":
    main()
