"""Answer a stream of requests by ``forget`` with shadow models: do earlier ids stay forgotten, and accuracy whole?

usage: python tests/benchmarks/bench_forget_stream.py FILE.npz [--model NAME] [--epochs N] [--requests 50] [--size 5]
           [--every 10] [--shadows 8] [--references 5] [--way NAME]…

Runs the commands a user would run. Each request is answered from the output of the one before, and the shadow models
forget it by the same step. Rows of answered requests are kept, so that later steps forget all ids so far once more, or
deleted, so that no later step can. After every tenth request all ids so far are judged on the check half, and the first
ten requests for themselves, which were forgotten longest ago. *calibrated*: AUC of φ less its mean over references that
never saw any of the requests; for a reference, over the others. *coins*: the share that the twin test reads. *cost*: of
requests and refreshes so far, in retrainings: images that went through models, three for a training step. NAME may be
one of examples/compare/networks.py. Prints a Markdown table for each way.
"""

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

sys.path.append(str(Path(__file__).parents[2] / "examples" / "compare"))
import networks  # noqa: F401 - registers its networks

from forgetkit.cli import app as cli
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.files.header import read_record
from forgetkit.files.id_list import draw
from forgetkit.models.checkpoint import load_model
from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc
from forgetkit.statistics.twin_test import read_coins
from forgetkit.training.classifier import Classifier, on_machine, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.shadows import open_shadows
from forgetkit.unlearning.attempt import TRAINING

Arrays = dict[str, np.ndarray]
WAYS = {
    "rows kept, refreshed each time": (False, 1),
    "rows deleted, refreshed each time": (True, 1),
    "rows deleted, refreshed after every tenth": (True, 10),
}
"""Whether rows are deleted once the shadow models have forgotten them, and after how many requests these do."""


def run(*words: object) -> tuple[int, dict[str, object]]:
    """Run a command; return its exit code and its document."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.run([*map(str, words), "--threads", "1", "-q", "--json"])
    return code, json.loads(said.getvalue())


def must(*words: object) -> dict[str, object]:
    """Run a command that must succeed; return its document."""
    code, said = run(*words)
    if code:
        raise SystemExit(f"{words}: {said}")
    return said


def write(path: Path, ids: Sequence[str]) -> Path:
    """Write an ID list."""
    path.write_text("".join(f"{id_}\n" for id_ in ids))
    return path


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
    """Count the images that go through models, as ``forget`` does."""
    seen: list[int] = []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, Classifier):
            seen.append(len(inputs[0]) * (TRAINING if torch.is_grad_enabled() else 1))

    counting = register_module_forward_pre_hook(count)
    try:
        yield seen
    finally:
        counting.remove()


@dataclass(frozen=True)
class Said:
    """What a model says: φ and whether it is right, on the training split and on the test split."""

    train: np.ndarray
    train_right: np.ndarray
    test: np.ndarray
    test_right: np.ndarray


@dataclass(frozen=True)
class Judge:
    """Judges models by what references say that never saw any of the requests."""

    dataset: Dataset
    references: Path
    retained: np.ndarray

    def ask(self, path: Path) -> Said:
        """Return what a model says."""
        record = read_record(path)
        model = on_machine(load_model(path, record), record, set_up("cpu", "float32", 1))
        found: list[np.ndarray] = []
        for split in (self.dataset.train, self.dataset.test):
            images, labels = take(split, np.arange(len(split)), "cpu")
            logits = predict(model, images)
            found += [phi(logits, labels).numpy(), (logits.argmax(1) == labels).numpy()]
        return Said(*found)

    @cached_property
    def usual(self) -> list[Said]:
        """What the references say."""
        return [self.ask(path) for path in sorted(self.references.glob("*.st"))]

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Return the rows of ids."""
        return np.array([self.dataset.train.row_of[id_] for id_ in ids])

    def calibrated(self, one: Said, rows: np.ndarray, others: list[Said]) -> float:
        """Return the AUC of φ less its mean over models that never saw the ids."""
        check = self.dataset.check_rows
        of_ids = one.train[rows] - np.mean([other.train[rows] for other in others], axis=0)
        of_check = one.test[check] - np.mean([other.test[check] for other in others], axis=0)
        apart = of_ids[:, None] - of_check[None]
        return float((apart > 0).mean() + (apart == 0).mean() / 2)

    def figures(self, one: Said, ids: Sequence[str], first: Sequence[str], others: list[Said]) -> np.ndarray:
        """Return AUC, calibrated AUC, that of the first requests, accuracy on the ids, retained and unseen samples."""
        rows, check, data = self.rows(ids), self.dataset.check_rows, self.dataset
        return np.array(
            [
                auc(one.train[rows], data.train.labels[rows], one.test[check], data.test.labels[check]),
                self.calibrated(one, rows, others),
                self.calibrated(one, self.rows(first), others),
                one.train_right[rows].mean(),
                one.train_right[self.retained].mean(),
                one.test_right.mean(),
            ]
        )

    def coins(self, folder: Path, ids: Sequence[str]) -> float:
        """Return the share of coins that the twins of a folder give away."""
        members = open_shadows(folder).members
        scores = np.stack([self.ask(one.path).train[self.rows(ids)] for one in members])
        sides = np.stack([one.record.was_trained(ids) for one in members[1::2]])
        right, read = read_coins(scores, sides, np.arange(len(ids)))
        return right / read


class Stream:
    """One way to answer requests, one after another."""

    def __init__(self, folder: Path, data: Arrays, name: str) -> None:
        self.deletes, self.every = WAYS[name]
        self.folder, self.data = folder / name.replace(" ", "-"), data
        self.folder.mkdir()
        self.shadows = copytree(folder / "original.shadows", self.folder / "shadows")
        self.file, self.now = folder / "data.npz", folder / "original.st"
        self.cost, self.dear, self.refused, self.waiting = 0, 0, 0, list[str]()

    def answer(self, number: int, ids: Sequence[str]) -> None:
        """Answer a request; every so many, refresh the shadow models, and delete rows."""
        then = self.folder / f"{number}.st"
        given = ("--ids", write(self.folder / "ids.txt", ids), "--shadows", self.shadows, "--seed", number, *self._data)
        with counted() as seen:
            code, said = run("forget", self.now, *given, "--leave-shadows", "--otherwise", "stop", "-o", then)
            if code:
                self.refused += 1
                print(f"{self.folder.name}, request {number}: {said['message']}", file=sys.stderr)
                must("forget", self.now, *given, "--leave-shadows", "--retrain", "-o", then)
        self.now, self.waiting, self.cost = then, [*self.waiting, *ids], self.cost + sum(seen)
        if number % self.every == 0:
            self._refresh()

    @property
    def _data(self) -> tuple[object, ...]:
        return ("--dataset", f"arrays:{self.file}", *(("--dataset-changed",) if self.deletes else ()))

    def _refresh(self) -> None:
        ids = write(self.folder / "waiting.txt", self.waiting)
        with counted() as seen:
            must("shadows", "refresh", self.shadows, "--ids", ids, *self._data)
        self.dear += sum(seen)
        if self.deletes:
            kept, rows = ~np.isin(self.data["id"], self.waiting), len(self.data["id"])
            self.data = {name: one[kept] if len(one) == rows else one for name, one in self.data.items()}
            self.file = self.folder / "data.npz"
            np.savez(self.file, **self.data)
        self.waiting = []


def show(label: str, figures: np.ndarray, more: Sequence[str] = ("", "", "", "")) -> None:
    """Print a line of the table."""
    print(f"| {label} | " + " | ".join([*(f"{one:.3f}" for one in figures), *more]) + " |", flush=True)


def main() -> None:
    """Run all ways and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="convnet")
    parser.add_argument("--way", action="append", choices=WAYS)
    for name, usual in {"epochs": 20, "requests": 50, "size": 5, "every": 10, "shadows": 8, "references": 5}.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    given = parser.parse_args()
    with np.load(given.file) as file:
        data: Arrays = dict(file)
    data.setdefault("id", np.array([f"s{row}" for row in range(len(data["labels"]))]))
    with TemporaryDirectory() as place:
        folder = Path(place)
        np.savez(folder / "data.npz", **data)
        name, original = f"arrays:{folder / 'data.npz'}", folder / "original.st"
        dataset = open_dataset(name, folder)
        drawn = draw(list(dataset.train.ids), given.requests * given.size, 0)
        requests = [drawn[start : start + given.size] for start in range(0, len(drawn), given.size)]
        every = write(folder / "all.txt", drawn)
        start = ("--dataset", name, "--model", given.model, "--epochs", given.epochs, "--shadows", given.shadows)
        must("train", *start, "-o", original)
        for seed in range(101, 101 + given.references):
            must("train", "--like", original, "--exclude", every, "--seed", seed, "-o", folder / f"refs/{seed}.st")
        retained = np.flatnonzero(~np.isin(dataset.train.ids, drawn))
        judge = Judge(dataset, folder / "refs", retained)
        training = TRAINING * given.epochs * len(dataset.train)
        columns = (
            "AUC | calibrated | of the first | on the ids | on retained | on unseen | coins | requests | refreshes"
        )
        print(f"| requests | {columns} | requests | refreshes | refused |\n" + "|---" * 11 + "|")
        asked, marks = judge.ask(original), range(given.every, given.requests + 1, given.every)
        first = drawn[: given.every * given.size]
        show("original", judge.figures(asked, drawn, first, judge.usual))
        rest = [[other for other in judge.usual if other is not one] for one in judge.usual]
        each = [judge.figures(one, drawn, first, others) for one, others in zip(judge.usual, rest, strict=True)]
        show("retrained (references)", np.mean(each, axis=0))
        for way in given.way or WAYS:
            print(f"| **{way}** |" + " |" * 10)
            stream = Stream(folder, data, way)
            for number, ids in enumerate(requests, 1):
                stream.answer(number, ids)
                if number in marks:
                    gone = drawn[: number * given.size]
                    coins = judge.coins(stream.shadows, gone)
                    costs = [f"{one / training:.2f}" for one in (stream.cost, stream.dear)]
                    found = judge.figures(judge.ask(stream.now), gone, first, judge.usual)
                    show(str(number), found, [f"{coins:.3f}", *costs, str(stream.refused)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
