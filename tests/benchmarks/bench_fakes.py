"""Audit models that pretend to have forgotten a class of digits: how many are caught, and by what.

usage: python tests/benchmarks/bench_fakes.py FOLDER [ORIGINALS [WORKERS]]     (10 and 2 if not given)

There is a trial for each of ten classes and each of ORIGINALS models that saw all. Each fake is audited with the
original and 19 references and ``--relearn``, with these references alone, and without references. *caught*: the verdict
is not forgotten, over-forgotten or utility lost. The last row is an honest model: a reference that is not among the 19.
FOLDER keeps the models and the outcome of each trial, so an interrupted run goes on. Prints a Markdown table.
"""

import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.class_models import REFERENCES, Asked, Request, judged, model_of, parts
from tests.benchmarks.fakes import FAKES

CLASSES = 10
CAUGHT = {"not-forgotten", "over-forgotten", "utility-lost"}
HONEST = "(an honest model)"
Outcome = dict[str, Any]
"""By the name of a fake: the verdicts of three kinds of audit, and the checks that failed in the first."""


def outcome(request: Request, beside: list[Asked], folder: Path, without: int, number: int) -> Outcome:
    """Make and audit the fakes of one trial."""
    original, honest = model_of(folder, None, number), model_of(folder, without, REFERENCES)
    known, found = request.ask(original), {}
    made = {name: fake(original, honest, request.samples, number) for name, fake in FAKES.items()}
    made[HONEST] = model_of(folder, without, REFERENCES + 1 + number)
    for name, model in made.items():
        asked = request.ask(model, original)
        kinds: list[tuple[list[Asked], bool]] = [(beside, True), (beside, False), ([], False)]
        audits = [judged(asked, known, others, relearn=relearn) for others, relearn in kinds]
        failed = [check.id for check in audits[0].checks if check.verdict == "fail"]
        found[name] = {"verdicts": [audit.verdict for audit in audits], "failed": failed}
    return found


def of_class(folder: Path, without: int, originals: int) -> None:
    """Carry out the trials of a class that are not in the folder."""
    torch.set_num_threads(1)
    paths = {number: folder / f"trial-{without}-{number}.json" for number in range(originals)}
    if all(path.exists() for path in paths.values()):
        return
    request = Request(parts(without))
    beside = [request.ask(model_of(folder, without, number)) for number in range(REFERENCES)]
    for number, path in paths.items():
        if not path.exists():
            path.write_text(json.dumps(outcome(request, beside, folder, without, number)))


def table(folder: Path) -> list[str]:
    """Return the lines of the table over all trials in the folder."""
    trials: list[Outcome] = [json.loads(path.read_text()) for path in sorted(folder.glob("trial-*.json"))]
    lines = [f"{len(trials)} trials", ""]
    lines += ["| fake | caught, with references and --relearn | with references | without references | failed |"]
    lines += ["|---|---|---|---|---|"]
    for name in (*FAKES, HONEST):
        verdicts = [Counter(trial[name]["verdicts"][place] for trial in trials) for place in range(3)]
        cells = [f"{sum(count[word] for word in CAUGHT)} ({_words(count)})" for count in verdicts]
        failed = Counter(check for trial in trials for check in trial[name]["failed"])
        lines.append(f"| {name} | {' | '.join(cells)} | {_words(failed)} |")
    return lines


def _words(count: Counter[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in count.most_common())


def main(folder: Path, originals: int, workers: int) -> None:
    """Carry out all trials, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for job in [pool.submit(of_class, folder, without, originals) for without in range(CLASSES)]:
            job.result()
    print("\n".join(table(folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in (sys.argv[2:] + ["10", "2"][len(sys.argv) - 2 :])))
