"""What a step costs beside a retraining that reaches the same accuracy on unseen samples (P11).

usage: python tests/benchmarks/bench_recovery.py DATASET [--draws N] [--ids N]     (3 draws of 5 % if not given)

Every command runs in this process, so start-up counts for none of them, at the default recipe. A second retraining
notes its accuracy after every epoch; it *reaches* a step's at the first epoch that is as good on the tune half as the
step's model. Seconds of the step include the measurements before and after it, of the forget teacher those of its
training.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from paired import judge, machine

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record

TEACHER = "--teacher model.st --forget-teacher proxy.st --ids ids.txt -o taught.st"
WAYS = {
    "two-stage, as published": (
        "taught.st",
        "neutralize model.st --ids ids.txt --stop chance -o neutral.st",
        "distill neutral.st --teacher model.st -o taught.st",
    ),
    "forget teacher": (
        "taught.st",
        "train --like model.st --exclude ids.txt --epochs 3 -o proxy.st",
        f"distill model.st {TEACHER}",
    ),
}


def run(line: str) -> float:
    """Run a command; return its seconds."""
    begun = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        if cli.run([*line.split(), "-q", "-f"]):
            raise SystemExit(f"failed: {line}")
    return time.perf_counter() - begun


def right(path: str) -> float:
    """Return a model's accuracy on the tune half, from its record."""
    return float(read_record(Path(path)).steps[-1].metrics["tune_accuracy"])


def draw(seed: int, count: str) -> dict[str, tuple[float, float, float]]:
    """Return, by way: its share of a whole retraining, of one that reaches its accuracy, and that accuracy."""
    run(f"forget-ids model.st {count} --seed {seed} -o ids.txt")
    retrain = f"train --like model.st --exclude ids.txt --seed {seed + 100} -o reference.st"
    whole = run(retrain)
    run(f"{retrain} --log epochs.jsonl")
    epochs = [json.loads(line) for line in Path("epochs.jsonl").read_text().splitlines()]
    found = {}
    for name, (last, *lines) in WAYS.items():
        seconds = sum(run(line) for line in lines)
        reached = next((epoch for epoch in epochs if epoch["tune_accuracy"] >= right(last)), epochs[-1])
        found[name] = seconds / whole, seconds / reached["seconds"], right(last)
    return found


def main() -> None:
    """Print a row a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--ids", type=int)
    given = parser.parse_args()
    os.environ["FORGETKIT_DATA"] = str(Path(os.environ.get("FORGETKIT_DATA", "data")).absolute())
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        run(f"train --dataset {given.dataset} -o model.st")
        count = f"--count {given.ids}" if given.ids else "--fraction 0.05"
        draws = [draw(seed, count) for seed in range(given.draws)]
        print(f"{given.dataset}, original {right('model.st'):.2%}, {given.draws} draws; {machine()}\n")
    for name in WAYS:
        whole, same, accuracy = (
            statistics.median(column) for column in zip(*(one[name] for one in draws), strict=True)
        )
        for what, share in (("a whole retraining", whole), ("one until it is as accurate", same)):
            row = f"{name}, {accuracy:.2%}: time as a share of {what}"
            print(judge("P11", row, 100 * share, most=35 if "two" in name else 40, unit="%"))


if __name__ == "__main__":
    main()
