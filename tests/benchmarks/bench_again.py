"""Measure how fast forgotten ids come back if a model is trained on: on the ids themselves, and on the retain set only.

usage: python tests/benchmarks/bench_again.py DATASET [--model NAME] [--epochs N] [--class NAME | --count N]
           [--draws D] [--references K]

One original is trained, with eight shadow models, and for each draw K references without the ids. Each method answers
the request from the original. *loss*: while the ids are taught for 50 steps, as ``audit --relearn`` does: the share of
the references' loss, a geometric mean, and how many of the K references are at least as quick. *z*: mean φ on the ids,
less that of the references, in standard deviations over them; at first, and after three epochs of the recipe on the
retain set alone, which the references take too. NAME may be one of examples/compare/networks.py. Prints a Markdown
table.
"""

import argparse
import os
import sys
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.append(str(Path(__file__).parents[2] / "examples" / "compare"))
import networks  # noqa: F401 - registers its networks

from forgetkit.auditing.checks.relearn_like import lessons_of, losses_of
from forgetkit.cli import app as cli
from forgetkit.data.open import open_dataset
from forgetkit.files.header import read_record
from forgetkit.files.id_list import read_ids
from forgetkit.models.checkpoint import load_model
from forgetkit.statistics.relearning import sooner
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import Classifier, Samples, accuracy, on_machine, predict, take
from forgetkit.training.device import set_up
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.recipe import recipe_of

MORE_EPOCHS = 3
TEACHER = ("--epochs", 4, "--batch-size", 64, "--schedule", "cosine")
"""Of a second teacher, as docs/unlearning.md has it."""
ANYWAY = "--allow-unforgotten"


def call(*words: object) -> bool:
    """Run a command, its result on stderr; return whether it wrote its output."""
    with redirect_stdout(sys.stderr):
        return cli.run([*map(str, words), "-q"]) == 0


def unlearned(folder: Path, ids: Path, draw: int) -> dict[str, Path]:
    """Answer a request by each method; return the checkpoints by the names of the methods."""
    model, alone = folder / "model.st", folder / "alone" / "model.st"
    outs = {
        name: folder / f"{name.replace(' ', '-')}-{draw}.st" for name in ("shadows", "teacher", "relabel", "stages")
    }
    given = ("--ids", ids, "--seed", draw)
    taught = folder / f"second-{draw}.st"
    call("train", "--like", model, "--exclude", ids, "--seed", 50 + draw, *TEACHER, "-o", taught)
    found = {"original": model, "the second teacher itself": taught}
    distil = ("distill", model, "--teacher", model, *given, ANYWAY, "--forget-teacher")
    for name, source, extra, teacher in (
        ("shadows", model, ("--leave-shadows",), folder / "model.shadows"),
        ("teacher", alone, (), taught),
    ):
        words = {"shadows": "shadow models", "teacher": "a second teacher"}[name]
        if call("forget", source, *given, "--otherwise", "stop", *extra, "-o", outs[name]):
            found[f"forget, {words}"] = outs[name]
        elif call(*distil, teacher, "-o", outs[name]):
            found[f"distill, {words} (forget refused)"] = outs[name]
    step = ("--optimizer", "adam", "--rate", 0.001, ANYWAY)
    if call("relabel", model, *given, *step, "-o", outs["relabel"]):
        found["relabel, Adam at 0.001"] = outs["relabel"]
    first = folder / f"stage1-{draw}.st"
    if call("neutralize", model, *given, "--stop", "chance", "-o", first):
        found["neutralize --stop chance"] = first
        if call("distill", first, "--teacher", model, "--seed", draw, "-o", outs["stages"]):
            found["two-stage (published)"] = outs["stages"]
    return found


class Judge:
    """What is asked of every model of a draw."""

    def __init__(self, path: Path, ids: list[str], data: str) -> None:
        self.machine, self.record = set_up("cpu", "float32", 1), read_record(path)
        dataset = open_dataset(data, Path(os.environ.get("FORGETKIT_DATA", ".")))
        every = dataset.train.ids
        chosen, known = np.isin(every, ids), self.record.was_trained(every)
        self.forget = take(dataset.train, np.flatnonzero(chosen), "cpu")
        self.retain = take(dataset.train, np.flatnonzero(known & ~chosen), "cpu")
        self.unseen = take(dataset.test, dataset.check_rows, "cpu")
        self.lessons = lessons_of(self.forget, self.retain)

    def load(self, path: Path) -> Classifier:
        """Return a model."""
        record = read_record(path)
        return on_machine(load_model(path, record), record, self.machine)

    def ask(self, path: Path) -> dict[str, np.ndarray]:
        """Return its losses while it learns the ids; φ and accuracy on them, now and after more training."""
        model = self.load(path)
        later = deepcopy(model)
        recipe = replace(recipe_of(self.record.recipe), epochs=MORE_EPOCHS, keep="last")
        steps = train_steps(
            *(later, *self.retain), recipe=recipe, optimizer=optimizer_of(later, recipe), tune=self.unseen, seed=3
        )
        complete(steps)
        found = {"losses": losses_of(model, self.lessons)}
        for when, one in (("now", model), ("later", later)):
            found |= {
                f"φ {when}": np.array(mean_phi(one, self.forget)),
                f"right {when}": np.array(right(one, self.forget)),
            }
        return found


def mean_phi(model: Classifier, samples: Samples) -> float:
    """Return mean φ."""
    return float(phi(predict(model, samples[0]), samples[1]).mean())


def right(model: Classifier, samples: Samples) -> float:
    """Return the accuracy."""
    return accuracy(predict(model, samples[0]), samples[1])


Row = dict[str, float]


def row(one: dict[str, np.ndarray], references: list[dict[str, np.ndarray]]) -> Row:
    """Return the figures of a model, compared with references."""
    found = sooner(one["losses"], None, [other["losses"] for other in references])
    quick = round(found.p * (len(references) + 1)) - 1
    row = {"share": found.share, "quick": quick, "first": float(one["losses"][0])}
    for when in ("now", "later"):
        usual = np.array([other[f"φ {when}"] for other in references])
        row[f"z {when}"] = float((one[f"φ {when}"] - usual.mean()) / usual.std(ddof=1))
        row[f"right {when}"] = float(one[f"right {when}"])
    return row


def run_draw(folder: Path, given: argparse.Namespace, draw: int) -> dict[str, Row]:
    """Answer one request by every method, and return the figures of each model."""
    model, ids = folder / "model.st", folder / f"ids-{draw}.txt"
    chosen = ("--class", given.label) if given.label else ("--count", given.count)
    call("forget-ids", model, *chosen, "--seed", 100 + draw, "-o", ids)
    refs = folder / f"refs-{draw}"
    for seed in range(101, 101 + given.references):
        call("train", "--like", model, "--exclude", ids, "--seed", seed, "-o", refs / f"{seed}.st")
    judge = Judge(model, list(read_ids(str(ids)).lines), given.dataset)
    usual = [judge.ask(path) for path in sorted(refs.iterdir())]
    rows = {name: row(judge.ask(path), usual) for name, path in unlearned(folder, ids, draw).items()}
    own = [row(one, [other for other in usual if other is not one]) for one in usual]
    return {"retrained (references)": {name: float(np.mean([one[name] for one in own])) for name in own[0]}, **rows}


def main() -> None:
    """Run all draws and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--model", default="convnet")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--class", dest="label")
    parser.add_argument("--count", type=int, default=65)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--references", type=int, default=19)
    given = parser.parse_args()
    with TemporaryDirectory() as place:
        folder = Path(place)
        start = ("train", "--dataset", given.dataset, "--model", given.model, "--epochs", given.epochs)
        call(*start, "--shadows", 8, "-o", folder / "model.st")
        (folder / "alone").mkdir()
        copy(folder / "model.st", folder / "alone" / "model.st")
        draws = [run_draw(folder, given, draw) for draw in range(given.draws)]
    print(f"{given.dataset}, {given.model}: {given.draws} draws, {given.references} references each\n")
    print(
        "| | draws | loss while the ids are taught | references as quick | z now | z after | right now | right after |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in dict.fromkeys(name for found in draws for name in found):
        rows = [found[name] for found in draws if name in found]
        mean = {key: float(np.mean([one[key] for one in rows])) for key in rows[0]}
        quick = ", ".join(f"{one['quick']:.3g}" for one in rows)
        print(
            f"| {name} | {len(rows)} | {mean['share']:.2f} | {quick} | {mean['z now']:+.1f} | {mean['z later']:+.1f} "
            f"| {mean['right now']:.3f} | {mean['right later']:.3f} |"
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
