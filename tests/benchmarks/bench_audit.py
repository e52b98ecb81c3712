"""Time a whole audit of MNIST without references, against a bare prediction pass over the samples that it needs.

usage: python tests/benchmarks/bench_audit.py [RUNS]     (7 if not given; needs MNIST in FORGETKIT_DATA)

Function to function: the audit from two loaded records to its report; the bare pass is two models in memory, tensors in
memory, torch's inference mode and nothing else. Prints the row of docs/performance.md.
"""

import contextlib
import io
import os
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from paired import judge

from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import VIEWS, view_of
from forgetkit.auditing.run import Case, run
from forgetkit.auditing.subject import Subject
from forgetkit.cli import app as cli
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model
from forgetkit.training.classifier import at_once, on_machine, take
from forgetkit.training.device import Machine, set_up

IDS = 600


def command(*arguments: str) -> None:
    """Run a command quietly."""
    with contextlib.redirect_stdout(io.StringIO()):
        if cli.run([*arguments, "-q"]):
            raise SystemExit(f"failed: {' '.join(arguments)}")


def bare(paths: list[Path], subject: Subject, dataset: Dataset, machine: Machine) -> float:
    """Return the seconds of the bare pass: the audited model on everything, the original on ids and unseen samples."""
    models = []
    for path in paths:
        record = read_record(path)
        models.append(on_machine(load_model(path, record), record, machine))
    forget = take(dataset.train, subject.rows, "cpu")[0]
    unseen = take(dataset.test, dataset.check_rows, "cpu")[0]
    retain = take(dataset.train, subject.retain_rows, "cpu")[0]
    views = [view_of(forget, view) for view in VIEWS]
    work = [(models[0], part) for part in (forget, unseen, retain, *views)] + [
        (models[1], part) for part in (forget, unseen)
    ]
    begun = time.perf_counter()
    with torch.inference_mode():
        for model, images in work:
            model.eval()
            for batch in torch.split(images, at_once(images)):
                model(batch)
    return time.perf_counter() - begun


def main() -> None:
    """Make the models, time both in turn, print the figures."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    dataset = open_dataset("mnist", Path(os.environ.get("FORGETKIT_DATA", ".")))
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        command("train", "--dataset", "mnist", "--epochs", "1", "-o", "model.st")
        command("forget-ids", "model.st", "--count", str(IDS), "-o", "ids.txt")
        command("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.01", "--allow-unforgotten", "-o", "after.st")
        machine = set_up("cpu", "float32", 0)
        path, record = Path("after.st"), read_record(Path("after.st"))
        rows = np.flatnonzero(record.forgotten.contains(dataset.train.ids))
        subject = Subject(path, record, dataset, rows, rows[:0], True, None)
        original = (Path("model.st"), read_record(Path("model.st")))
        pairs = []
        for _ in range(runs):
            plain = bare([path, original[0]], subject, dataset, machine)
            begun = time.perf_counter()
            run(Case(subject, original, [], machine), Policy())
            pairs.append((time.perf_counter() - begun, plain))
    whole, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    what = f"`audit` without references, against a bare prediction pass, MNIST ({whole:.3g} s and {plain:.3g} s)"
    print(judge("P7", what, ratio, most=1.3))


if __name__ == "__main__":
    main()
