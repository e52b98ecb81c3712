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
from forgetkit.statistics.hardness import compare_parts, memorised, never_memorised, surer, thirds
from tests.benchmarks.auditor_models import DIGITS, NOISE, Pool
from tests.benchmarks.rates import Rate
from tests.statistics.test_hardness import drawn

SEED = 0
SETTINGS = [(5, 30), (5, 150), (19, 150), (19, 600)]
TAILS = [(False, 0.3, "normal"), (True, 0.0, "t of 4 degrees"), (True, 0.5, "t of 4 degrees, models differ as a whole")]


def simulated(trials: int) -> Iterator[str]:
    """Yield a row for each setting: retrained models called remembered or over-forgotten, and memory that is found.

    The memory is 3 more of φ on the fifth of the samples that the original memorised most: a twentieth of a model's
    samples has as much again. The last column is the estimate of samples never memorised; two thirds are right.
    """
    for k, n in SETTINGS:
        for tails, together, name in TAILS:
            rng = default_rng([SEED, k, n, int(tails), int(10 * together)])
            up = down = found = missed = 0
            never = []
            for _ in range(trials):
                original, (model, *references) = drawn(rng, k, n, tails=tails, together=together)
                ends = _ends(original, model, references)
                up += any(low > 0.5 for low, _ in ends)
                down += any(high < 0.5 for _, high in ends)
                memory = memorised(original, references)
                kept = model + np.where(memory > np.quantile(memory, 0.8), 3.0, 0.0)
                lows = [low > 0.5 for low, _ in _ends(original, kept, references)]
                found, missed = found + lows[0], missed + lows[2]
                never.append(never_memorised(surer(original, references)) / n)
            shares = (f"{count / trials:.1%}" for count in (up, down, found, missed))
            middle, spread = np.mean(never), np.std(never)
            yield f"| {k} | {n} | {name} | {' | '.join(shares)} | {middle:.2f} ± {spread:.2f} |"


def _ends(original: np.ndarray, model: np.ndarray, references: list[np.ndarray]) -> list[tuple[float, float]]:  # type: ignore[type-arg]
    """Return the interval of each third."""
    parts = thirds(memorised(original, [*references, model]))
    return [one.wide for one in compare_parts(model, references, parts)]


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
    print("| references | ids | scores | remembered | over-forgotten | memory found | in the safe third | never |")
    print("|---|---|---|---|---|---|---|---|")
    for row in simulated(trials):
        print(row, flush=True)
    print("\n| offered | called | setting | rate |\n|---|---|---|---|")
    for source, size in ((DIGITS, models), (NOISE, models // 2)):
        for rate in real(Pool(source, size, SEED)):
            print(f"| {rate.check} | {rate.what} | {rate.setting} | {rate.hits} of {rate.trials} |", flush=True)


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] + ["2000", "200"][len(sys.argv) - 1 :])))
