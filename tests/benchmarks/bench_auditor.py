"""Audit the auditor: how often each check errs where the truth is known, and how often it finds what is there.

usage: python tests/benchmarks/bench_auditor.py [TRIALS [MODELS]]     (2000 and 400 if not given; about 20 minutes)
Prints Markdown tables: simulated models that leak nothing or just as much as the margin allows, TRIALS times each;
simulated models that leak, TRIALS / 4 times each; and groups of real models, MODELS of digits and MODELS / 4 of noise
with random labels, which are all memory. Seeds are fixed: every run on one machine prints the same.
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.auditor_events import null_events, power_events
from tests.benchmarks.auditor_models import DIGITS, NOISE, Pool, held_out
from tests.benchmarks.rates import measure, null_table, power_table

SEED = 0


def main(trials: int, models: int) -> None:
    """Print all tables."""
    torch.set_num_threads(1)
    print("### What must be rare\n")
    for line in null_table(measure(event, trials, SEED) for event in null_events()):
        print(line, flush=True)
    print("\n### What should be frequent\n")
    for line in power_table(measure(event, max(trials // 4, 1), SEED) for event in power_events()):
        print(line, flush=True)
    print("\n### Real models\n")
    print("| offered | what | setting | rate | 95 % interval |\n|---|---|---|---|---|")
    for source, size in ((DIGITS, models), (NOISE, models // 4)):
        for rate in held_out(Pool(source, size, SEED), SEED):
            low, high = rate.interval
            cells = rate.check, rate.what, rate.setting, f"{rate.hits} of {rate.trials}", f"{low:.1%} to {high:.1%}"
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*(int(text) for text in (sys.argv[1:] + ["2000", "400"][len(sys.argv) - 1 :])))
