"""Audit models that pretend to have forgotten a class of digits: how many are caught, and by what.

usage: python tests/benchmarks/bench_fakes.py [FOLDER [TRIALS]]     (a folder for the models; 100 trials if not given)

A trial is one of ten originals and one of ten classes. Each fake is audited with the original and 19 references and
``--relearn``, with these references alone, and without references. *caught*: the verdict is not forgotten,
over-forgotten or utility lost. The last row is an honest model: a reference that is not among the 19. Prints a
Markdown table.
"""

import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.class_models import REFERENCES, Asked, Request, judged, model_of
from tests.benchmarks.fakes import FAKES

CLASSES = 10
CAUGHT = {"not-forgotten", "over-forgotten", "utility-lost"}
HONEST = "(an honest model)"


def main(folder: Path, trials: int) -> None:
    """Make and audit all fakes, and print what became of them."""
    torch.set_num_threads(1)
    verdicts: dict[str, list[Counter[str]]] = {name: [Counter(), Counter(), Counter()] for name in (*FAKES, HONEST)}
    caught_by: dict[str, Counter[str]] = {name: Counter() for name in verdicts}
    requests = [Request(one) for one in range(min(CLASSES, trials))]
    references: dict[int, list[Asked]] = {}
    for trial in range(trials):
        without, number = trial % CLASSES, trial // CLASSES
        request = requests[without]
        if without not in references:
            never = (model_of(folder, without, other) for other in range(REFERENCES))
            references[without] = [request.ask(one) for one in never]
        original, honest = model_of(folder, None, number), model_of(folder, without, REFERENCES)
        known = request.ask(original)
        made = {name: fake(original, honest, request.samples, trial) for name, fake in FAKES.items()}
        made[HONEST] = model_of(folder, without, REFERENCES + 1 + number)
        for name, model in made.items():
            asked = request.ask(model, original)
            beside = references[without]
            for place, (others, relearn) in enumerate([(beside, True), (beside, False), ([], False)]):
                found = judged(asked, known, others, relearn=relearn)
                verdicts[name][place][found.verdict] += 1
                if not place:
                    caught_by[name].update(check.id for check in found.checks if check.verdict == "fail")
        print(f"{trial + 1} of {trials}", file=sys.stderr, flush=True)
    print("| fake | caught, with references and --relearn | with references | without references | failed |")
    print("|---|---|---|---|---|")
    for name, counts in verdicts.items():
        cells = [f"{sum(count[word] for word in CAUGHT)} ({_words(count)})" for count in counts]
        by = ", ".join(f"{check} {times}" for check, times in caught_by[name].most_common())
        print(f"| {name} | {' | '.join(cells)} | {by} |")


def _words(count: Counter[str]) -> str:
    return ", ".join(f"{word} {times}" for word, times in count.most_common())


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else place), int(sys.argv[2]) if len(sys.argv) > 2 else 100)
