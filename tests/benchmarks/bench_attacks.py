"""The known-answer table of the attacks: how often each tells honest retrainings apart, and how often the original.

usage: python tests/benchmarks/bench_attacks.py FOLDER [digits|cifar [MODELS]]     (both, with all models, if not given)

Each model is offered once as the model under audit, with a block of samples that it never saw as the forget set, and
with it an original, which saw the block. 19 other models that never saw it are the references; for
U-LiRA and RULI, eight models that saw it and eight that did not are the shadow models (they took no step). The second
table has no references: 16 other models are the shadow models, the forget set are drawn samples that the model never
saw (or, as an original, that it saw), and p is by the normal approximation at AUC ½. Models are trained and kept in
FOLDER; cifar needs FORGETKIT_DATA. Seeds are fixed.
"""

import sys
from collections.abc import Iterator
from math import nan
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from scipy.special import ndtri

sys.path.insert(0, str(Path(__file__).parents[2]))

from forgetkit.auditing.check import ATTACKS, Check
from forgetkit.auditing.checks.attack_checks import Attacked, attack_checks
from forgetkit.auditing.checks.attacks import Reading, family_of, read
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.shadow_predictions import OnSamples, ShadowPredictions
from tests.benchmarks.attack_pool import KINDS, Pool
from tests.benchmarks.rates import Rate

REFERENCES, SHADOWS = 19, 8
LEVEL = 0.05
OFFERED = ("an honest retraining", "the original")
ON_PHI = ("loss", "phi", "label", "rmia", "lira", "bavaria")
Found = dict[str, list[tuple[float, float, float, float]]]
"""By attack, of each repeat: AUC, its null, p, and the rate at 1 % false alarms."""


def shadows_of(pool: Pool, block: int, seen: list[int], unseen: list[int]) -> ShadowPredictions:
    """Return shadow models of a block: of each pair, the first saw it."""
    rows, pairs = pool.blocks[block], range(len(seen))
    numbers = [number for pair in pairs for number in (seen[pair], unseen[pair])]
    said = [pool.answers(number, rows) for number in numbers]
    sides = np.ones((len(seen), len(said[0][1])), bool)
    forget = OnSamples(np.stack([one[0].phi for one in said]), ~sides[:, :1].repeat(len(rows), 1), np.arange(len(rows)))
    others = OnSamples(np.stack([one[1].phi for one in said]), sides, np.arange(len(said[0][1])))
    return ShadowPredictions(forget, others, forget, np.ones((len(seen), len(rows)), bool), "")


def with_references(pool: Pool, number: int, draw: Generator) -> list[list[Check]]:
    """Return the checks of one repeat: of the model, and of an original."""
    block = int(draw.choice(np.flatnonzero(pool.left_out[number])))
    out = draw.permutation([one for one in np.flatnonzero(pool.left_out[:, block]) if one != number]).tolist()
    within = draw.permutation(np.flatnonzero(~pool.left_out[:, block])).tolist()
    references, rows = out[:REFERENCES], pool.blocks[block]
    shadows = shadows_of(pool, block, within[1 : SHADOWS + 1], out[REFERENCES : REFERENCES + SHADOWS])
    offered = number, within[0]
    said = {one: pool.answers(one, rows) for one in (*offered, *references)}
    names = ATTACKS if pool.kind.reminded else ATTACKS[:-1]
    again = {one: pool.reminded(one, block) for one in said} if pool.kind.reminded else {}
    checks = []
    for one in offered:
        models = Attacked(said[one], None, [said[other] for other in references], shadows)
        reminded = Attacked(again[one], None, [again[other] for other in references]) if again else None
        checks.append(attack_checks(names, models, reminded, Policy(), drawn=True))
    return checks


def by_references(pool: Pool, seed: int) -> list[Found]:
    """Return what each attack finds with references: on honest retrainings, and on originals."""
    found: list[Found] = [{}, {}]
    for number in range(len(pool.left_out)):
        checks = with_references(pool, number, np.random.default_rng([seed, number]))
        for one, by_attack in zip(checks, found, strict=True):
            for check in one:
                rate = check.note.partition("finds ")[2].partition("%")[0]
                value, null, p = (nan if one is None else one for one in (check.statistic, check.null, check.p))
                by_attack.setdefault(check.id, []).append((value, null, p, float(rate or nan) / 100))
    return found


def by_shadows(pool: Pool, seed: int) -> list[Found]:
    """Return the same with shadow models alone, on drawn samples."""
    found: list[Found] = [{}, {}]
    for number in range(len(pool.left_out)):
        draw = np.random.default_rng([seed, number])
        size, others = len(pool.blocks[0]), np.delete(np.arange(len(pool.left_out)), number)
        chosen = draw.choice(others, 2 * SHADOWS, replace=False).tolist()
        block_of = np.zeros(len(pool.dataset.train), np.int64)
        for block, rows in enumerate(pool.blocks):
            block_of[rows] = block
        for offered, by_attack in enumerate(found):
            known = np.flatnonzero(pool.left_out[number][block_of] != bool(offered))
            rows = np.sort(draw.choice(known, size, replace=False))
            never = pool.left_out[chosen][:, block_of[rows]]
            drawn = draw.integers(0, size, len(pool.dataset.check_rows))
            said = [pool.answers(one, rows) for one in chosen]
            ids, unseen = (np.stack([one[side].phi for one in said]) for side in (0, 1))
            outside = np.hstack([np.where(never, ids, np.nan), np.where(never[:, drawn], unseen, np.nan)])
            family = family_of(pool.answers(number, rows))
            for name in ON_PHI:
                reading = read(name, family, outside, level=LEVEL, drawn=True)
                if isinstance(reading, Reading) and reading.p is not None and reading.few is not None:
                    entry = reading.estimate.value, reading.null, reading.p, reading.few.tpr.value
                    by_attack.setdefault(f"attack-{name}", []).append(entry)
    return found


def table(found: list[Found]) -> Iterator[str]:
    """Yield a Markdown table, a line at a time."""
    yield (
        "| attack | honest retrainings told apart | mean AUC of them (null) | … found at 1 % false alarms "
        "| originals told apart | mean AUC of them (null) | … found at 1 % false alarms |"
    )
    yield "|---|---|---|---|---|---|---|"
    for name, honest in found[0].items():
        cells = [name]
        for entries in (honest, found[1][name]):
            values, nulls, p, rates = np.array(entries).T
            rate = Rate(name, "", "", int((p <= LEVEL).sum()), len(p))
            low, high = rate.interval
            cells.append(f"{rate.hits} of {rate.trials} ({low:.1%} to {high:.1%})")
            spread = float(ndtri(0.975)) * values.std(ddof=1) / np.sqrt(len(values))
            cells.append("" if np.isnan(values).any() else f"{values.mean():.3f} ± {spread:.3f} ({nulls.mean():.3f})")
            cells.append("" if np.isnan(rates).any() else f"{rates.mean():.1%}")
        yield f"| {' | '.join(cells)} |"


def main(folder: Path, kinds: list[str], size: int | None) -> None:
    """Train what is missing, and print both tables of each kind."""
    torch.set_num_threads(1)
    for name in kinds:
        pool = Pool(name, folder, size)
        pool.train()
        kind, ids = pool.kind, len(pool.blocks[0])
        made = f"{len(pool.left_out)} models ({kind.model}, {kind.recipe.epochs} epochs)"
        print(f"### {name}: {made}, {ids} ids, {len(pool.dataset.check_rows)} unseen samples\n\nwith references\n")
        print("\n".join(table(by_references(pool, 1))), flush=True)
        print("\nwith shadow models alone\n")
        print("\n".join(table(by_shadows(pool, 2))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:3] or list(KINDS), int(sys.argv[3]) if sys.argv[3:] else None)
