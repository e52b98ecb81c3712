"""Audit the thirds of an audit: how often honest retraining is called remembered in one, and how often memory is found.

usage: python tests/benchmarks/bench_hardness.py [TRIALS [MODELS]]     (2000 and 200 if not given)
Prints Markdown tables: TRIALS simulated models each, then MODELS real ones of digits and half as many of noise with
random labels, each offered as the model under audit among nineteen references. Seeds are fixed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.random import default_rng

sys.path.insert(0, str(Path(__file__).parents[2]))

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.hardness import hardness_checks
from forgetkit.statistics.hardness import compare_parts, never_memorised, surer
from tests.benchmarks.auditor_models import DIGITS, NOISE, Pool
from tests.benchmarks.rates import Rate
from tests.statistics.test_hardness import Drawn, drawn

SEED = 0
SETTINGS = [(5, 30), (5, 150), (19, 150), (19, 600)]
TAILS = [(False, 0.3, "normal"), (True, 0.0, "t of 4 degrees"), (True, 0.5, "t of 4 degrees, models differ as a whole")]


def simulated(trials: int) -> Iterator[str]:
    """Yield a row for each setting: retrained models called remembered or over-forgotten, and memory that is found.

    The copy is an original that memorised nothing, offered as the model: the order is its own. The memory is 3 more of
    φ on the fifth of the ids that the original memorised most. The last column is the estimated share of ids that were
    never memorised; two thirds are right.
    """
    for k, n in SETTINGS:
        for tails, together, name in TAILS:
            rng = default_rng([SEED, k, n, int(tails), int(10 * together)])
            up = down = copy = found = missed = 0
            never = []
            for _ in range(trials):
                one = drawn(rng, k, n, tails=tails, together=together)
                honest, kept = (compare_parts(*groups) for groups in (one.groups(), one.groups(one.remembering())))
                up += any(part.wide[0] > right for part, right in honest)
                down += any(part.wide[1] < right for part, right in honest)
                clean = compare_parts(*Drawn(one.models[0], one.models).groups())
                copy += any(part.wide[0] > right for part, right in clean)
                lows = [part.wide[0] > right for part, right in kept]
                found, missed = found + lows[0], missed + lows[2]
                never.append(never_memorised(surer(one.original[:n], list(one.models[1:, :n]))) / n)
            shares = (f"{count / trials:.1%}" for count in (up, down, copy, found, missed))
            middle, spread = np.mean(never), np.std(never)
            yield f"| {k} | {n} | {name} | {' | '.join(shares)} | {middle:.2f} ± {spread:.2f} |"


def real(pool: Pool) -> Iterator[Rate]:
    """Yield how often real models that never saw a block are called remembered, and how often the original is."""
    seen: dict[str, list[list[Check]]] = {"a held-out reference": [], "the original": []}
    for block, original, group in pool.repeats(SEED):
        before, *others = (pool.answers(number, block) for number in (original, *group))
        for at, after in enumerate(others):
            rest = [*others[:at], *others[at + 1 :]]
            seen["a held-out reference"].append(hardness_checks(after, before, rest, None, level=0.05))
        seen["the original"].append(hardness_checks(before, before, others[1:], None, level=0.05))
    setting = f"{pool.name}, {len(pool.blocks[-1])} ids, 19 references"
    for who, found in seen.items():
        for word in ("remembered", "over-forgotten"):
            hit = [[f": {word} (" in check.note for check in checks] for checks in found]
            yield Rate(who, f"{word} in some third", setting, sum(map(any, hit)), len(hit))
            for part, name in enumerate(("memorised", "vulnerable", "safe")):
                yield Rate(who, f"{word} in the third {name}", setting, sum(one[part] for one in hit), len(hit))


def main(trials: int, models: int) -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    print("| references | ids | scores | remembered | over-forgotten | copy | memory | in the safe third | never |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in simulated(trials):
        print(row, flush=True)
    print("\n| offered | called | setting | rate |\n|---|---|---|---|")
    for source, size in ((DIGITS, models), (NOISE, models // 2)):
        for rate in real(Pool(source, size, SEED)):
            print(f"| {rate.check} | {rate.what} | {rate.setting} | {rate.hits} of {rate.trials} |", flush=True)


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] + ["2000", "200"][len(sys.argv) - 1 :])))
