"""Answer a stream of requests, one after another, and see whether earlier ids stay forgotten and accuracy holds.

usage: python tests/benchmarks/bench_stream.py DATASET [--requests 50] [--size 5] [--every 10]

Runs the commands a user would run, in a folder of its own: the original, then each way to answer 50 requests of 5 ids.
After every tenth request all ids so far are audited on the check half, beside 5 references that never saw any of the
requests. Prints one Markdown table.
"""

import argparse
import contextlib
import io
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from forgetkit.cli import app as cli
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.files.header import read_record
from forgetkit.files.id_list import draw
from forgetkit.models.checkpoint import load_model
from forgetkit.statistics.scores import phi
from forgetkit.statistics.strata import auc
from forgetkit.training.classifier import accuracy, on_machine, predict, take
from forgetkit.training.device import set_up

WAYS = {
    "relabel (default)": [],
    "relabel --optimizer adam": ["--optimizer", "adam"],
    "relabel --keep-optimizer": ["--keep-optimizer"],
    "relabel --rate 0.1": ["--rate", "0.1", "--allow-unforgotten"],
    "relabel --rate 0.1 --replay 8": ["--rate", "0.1", "--replay", "8", "--allow-unforgotten"],
    "relabel --on-limit retrain": ["--on-limit", "retrain"],
    "relabel --sequence-limit 100 --on-limit retrain": ["--sequence-limit", "100", "--on-limit", "retrain"],
}
LEARN = "relabel, and train --from with 5 new ids, in turn"


def run(*arguments: str) -> int:
    """Run a command quietly; return its exit code."""
    with contextlib.redirect_stdout(io.StringIO()):
        return cli.run([*arguments, "--threads", "1", "-q"])


def shown(path: Path, ids: list[str], dataset: Dataset) -> tuple[float, float, float]:
    """Return AUC on the check half and accuracy, of all ``ids``, and accuracy on the unseen split."""
    machine, record = set_up("cpu", "float32", 1), read_record(path)
    model = on_machine(load_model(path, record), record, machine)
    rows = np.array([dataset.train.row_of[id_] for id_ in ids])
    forget, unseen, check = (
        take(dataset.train, rows, "cpu"),
        take(dataset.test, np.arange(len(dataset.test)), "cpu"),
        take(dataset.test, dataset.check_rows, "cpu"),
    )
    said = [predict(model, images) for images, _ in (forget, unseen, check)]
    scores = [phi(said[0], forget[1]), forget[1], phi(said[2], check[1]), check[1]]
    return auc(*(value.numpy() for value in scores)), accuracy(said[0], forget[1]), accuracy(said[1], unseen[1])


def stream(
    options: list[str], requests: list[list[str]], fresh: list[list[str]], dataset: Dataset, every: int
) -> tuple[list[str], float]:
    """Answer all requests; return a cell for every tenth, and the seconds of a request."""
    now, cells, begun, refused = Path("original.st"), [], time.process_time(), 0
    for number, ids in enumerate(requests, 1):
        Path("ids.txt").write_text("".join(f"{id_}\n" for id_ in ids))
        then = Path(f"stream-{number % 2}.st")
        code = run("relabel", str(now), "--ids", "ids.txt", "-o", str(then), "-f", *options)
        if code == 1:
            refused += 1
            code = run(
                "relabel", str(now), "--ids", "ids.txt", "-o", str(then), "-f", "--rate", "0.01", "--allow-unforgotten"
            )
        now = then if code == 0 else now
        if fresh:
            Path("new.txt").write_text("".join(f"{id_}\n" for id_ in fresh[number - 1]))
            learned = Path(f"learned-{number % 2}.st")
            if run("train", "--from", str(now), "--only", "new.txt", "--epochs", "1", "-o", str(learned), "-f") == 0:
                now = learned
        if number % every == 0:
            area, right, unseen = shown(now, [id_ for part in requests[:number] for id_ in part], dataset)
            first = shown(now, [id_ for part in requests[:every] for id_ in part], dataset)[0]
            cells.append(f"{area:.3f} ({first:.3f}) · {right:.2f} · {unseen:.3f}")
    cells.append(str(refused))
    return cells, (time.process_time() - begun) / len(requests)


def main() -> None:
    """Run all ways and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument("--size", type=int, default=5)
    parser.add_argument("--every", type=int, default=10)
    given = parser.parse_args()
    dataset = open_dataset(given.dataset, Path(os.environ.get("FORGETKIT_DATA", ".")))
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        pool = draw(list(dataset.train.ids), min(2000, len(dataset.train)), 0)
        drawn, new = pool[: given.requests * given.size], pool[-given.requests * 5 :]
        requests = [drawn[start : start + given.size] for start in range(0, len(drawn), given.size)]
        fresh = [new[start : start + 5] for start in range(0, len(new), 5)]
        Path("all.txt").write_text("".join(f"{id_}\n" for id_ in drawn))
        Path("known.txt").write_text("".join(f"{id_}\n" for id_ in pool[: -given.requests * 5]))
        name = str(given.dataset)
        run("train", "--dataset", name, "--only", "known.txt", "-o", "original.st")
        run("train", "--like", "original.st", "--exclude", "all.txt", "--replicas", "5", "-o", "refs/{n}.st")
        marks = range(given.every, given.requests + 1, given.every)
        print(
            f"{name}: AUC of all ids so far (of the first {given.every * given.size}) · accuracy on them · on unseen\n"
        )
        print("| | " + " | ".join(f"after {mark}" for mark in marks) + " | refused | s per request |")
        print("|---" * (len(marks) + 3) + "|")
        for label, paths in (("original", ["original.st"]), ("references", sorted(Path("refs").glob("*.st")))):
            cells = []
            for mark in marks:
                ids = [id_ for part in requests[:mark] for id_ in part]
                area, right, unseen = np.mean([shown(Path(path), ids, dataset) for path in paths], axis=0)
                cells.append(f"{area:.3f} · {right:.2f} · {unseen:.3f}")
            print(f"| {label} | " + " | ".join(cells) + " | | |", flush=True)
        for label, options in {**WAYS, LEARN: []}.items():
            cells, seconds = stream(options, requests, fresh if label == LEARN else [], dataset, given.every)
            print(f"| {label} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
