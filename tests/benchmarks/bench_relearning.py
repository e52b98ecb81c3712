"""Measure how often ``--relearn`` beside 19 references errs, and how often it catches a model that knows the ids.

usage: python tests/benchmarks/bench_relearning.py [FOLDER [MODELS]]     (a folder for the models; 100 if not given)

MODELS networks are trained on ``digits`` without class 3, and ten on everything. Each of the former is audited once, as
a model to be judged, with 19 others drawn at random as references, and then the original with the same references.
Prints a Markdown table.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from forgetkit.auditing.result import Audited
from tests.benchmarks.class_models import REFERENCES, Request, judged, model_of, parts
from tests.benchmarks.rates import Rate

WITHOUT = 3
ORIGINALS = 10
CHECKS = ("relearn-rank", "rank", "lookup", "membership", "closer")


def failed(found: Audited) -> set[str]:
    """Return the ids of the checks that fail."""
    return {check.id for check in found.checks if check.verdict == "fail"}


def main(folder: Path, models: int) -> None:
    """Audit every model, and print how often what happened."""
    torch.set_num_threads(1)
    request = Request(parts(WITHOUT))
    never = [request.ask(model_of(folder, WITHOUT, number)) for number in range(models)]
    known = [request.ask(model_of(folder, None, number)) for number in range(ORIGINALS)]
    outcomes: dict[str, list[Audited]] = {"a held-out reference": [], "the original": []}
    for number, one in enumerate(never):
        others = np.random.default_rng(number).permutation(np.delete(np.arange(models), number))[:REFERENCES]
        original, references = known[number % ORIGINALS], [never[other] for other in others]
        outcomes["a held-out reference"].append(judged(one, original, references))
        outcomes["the original"].append(judged(original, original, references))
    print("| audited model | what | how often | 95 % interval |\n|---|---|---|---|")
    for who, audits in outcomes.items():
        fails = [failed(audit) for audit in audits]
        rows = {f"{check} fails": [check in one for one in fails] for check in CHECKS}
        rows["rank or relearn-rank fails"] = [bool(one & {"rank", "relearn-rank"}) for one in fails]
        rows["the verdict is forgotten"] = [audit.verdict == "forgotten" for audit in audits]
        for what, hits in rows.items():
            low, high = Rate(who, what, "", sum(hits), len(hits)).interval
            print(f"| {who} | {what} | {sum(hits)} of {len(hits)} | {low:.1%} to {high:.1%} |")


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else place), int(sys.argv[2]) if len(sys.argv) > 2 else 100)
