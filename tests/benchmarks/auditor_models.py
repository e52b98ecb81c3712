"""Real models whose truth is known: trained without the samples in question, or with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from forgetkit.auditing.check import Check, with_control
from forgetkit.auditing.checks.one_model import membership, utility_check
from forgetkit.auditing.checks.with_references import compare_with_references
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import ModelPredictions, Predictions, predictions_of
from forgetkit.auditing.verdict import apply_policy, overall
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.models.build import build_model
from forgetkit.training.classifier import Classifier, predict, take
from forgetkit.training.device import seed_for
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.recipe import Recipe
from tests.auditing.test_audit_command import noise as noise  # registers itself
from tests.benchmarks.rates import Rate

BLOCKS = 20
GROUP = 20
"""Models of one repeat: nineteen references, and one that is offered as the model under audit."""
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """A data set and how models are trained on it."""

    name: str
    recipe: Recipe


DIGITS = Source("digits", Recipe())
NOISE = Source("noise", Recipe(epochs=60, rate=0.003))
"""Images of noise with random labels: models of it can only memorise."""


class Pool:
    """Models, each trained without a random half of the twenty blocks of training samples.

    Attributes:
        name: of the data set.
        blocks: training rows of each block.
        left_out: which blocks each model never saw, bool of shape ``(models, blocks)``.
        train: what each model says of the training samples.
        unseen: what each model says of the check half.
    """

    def __init__(self, source: Source, size: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        dataset = open_dataset(source.name, Path())
        everything = np.arange(len(dataset.train))
        self.name = source.name
        self.blocks: list[Rows] = np.array_split(draw.permutation(everything), BLOCKS)
        self.left_out = np.array([draw.permutation(BLOCKS) < BLOCKS // 2 for _ in range(size)])
        self.train: list[Predictions] = []
        self.unseen: list[Predictions] = []
        for number in range(size):
            kept = np.sort(np.concatenate([self.blocks[block] for block in np.flatnonzero(~self.left_out[number])]))
            model = trained(dataset, kept, source.recipe, seed_for(seed, "pool", number))
            for split, rows, found in (
                (dataset.train, everything, self.train),
                (dataset.test, dataset.check_rows, self.unseen),
            ):
                images, labels = take(split, rows, "cpu")
                found.append(predictions_of(predict(model, images), labels))

    def answers(self, model: int, block: int) -> ModelPredictions:
        """Return what a model says, with a block as the forget set."""
        mask = np.isin(np.arange(len(self.train[model])), self.blocks[block])
        nothing = self.unseen[model].take(np.zeros(len(self.unseen[model]), bool))
        return ModelPredictions(self.train[model].take(mask), self.unseen[model], nothing, nothing, {}, np.zeros(0))

    def repeats(self, seed: int) -> Iterator[tuple[int, int, list[int]]]:
        """Yield block, original and group of each repeat; the first of a group is offered as the model under audit.

        No model is offered twice, nor is it in two groups of a block. Groups of different blocks share references.
        """
        offered: set[int] = set()
        for block in range(BLOCKS):
            draw = np.random.default_rng([seed, block])
            without, within = (draw.permutation(np.flatnonzero(self.left_out[:, block] == out)) for out in (1, 0))
            for start, original in zip(range(0, len(without) - GROUP + 1, GROUP), within.tolist(), strict=False):
                group = sorted(without[start : start + GROUP].tolist(), key=offered.__contains__)
                if group[0] not in offered:
                    offered.add(group[0])
                    yield block, original, group


def trained(dataset: Dataset, rows: Rows, recipe: Recipe, seed: int) -> Classifier:
    """Train the papers' network on ``rows``."""
    pixels = dataset.train.images[rows]
    model = build_model("convnet", {}, shape=dataset.shape, classes=len(dataset.classes), seed=seed)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier = Classifier(model, mean=[float(pixels.mean())], std=[float(pixels.std())])
    images, labels = take(dataset.train, rows, "cpu")
    tune = images[:1], labels[:1]
    complete(
        train_steps(
            classifier, images, labels, recipe=recipe, optimizer=optimizer_of(classifier, recipe), tune=tune, seed=seed
        )
    )
    return classifier


def judged(after: ModelPredictions, before: ModelPredictions, references: list[ModelPredictions]) -> list[Check]:
    """Return the checks that may decide, as an audit with references counts them."""
    policy = Policy()
    level, margin = policy.level, policy.utility_margin
    ranks = [
        membership(said.forget, said.unseen, level=level, margin=policy.membership_margin) for said in (after, before)
    ]
    checks = [with_control(*ranks)]
    checks.append(utility_check(after.unseen, before.unseen, level=level, margin=margin))
    return apply_policy(
        [*checks, *compare_with_references(after, before, references, level=level).checks], policy, exchangeable=True
    )


def held_out(pool: Pool, seed: int) -> Iterator[Rate]:
    """Yield how often each check, and the verdict over them, fails a held-out reference and the original."""
    outcomes: dict[str, list[dict[str, bool]]] = {"a held-out reference": [], "the original": []}
    for block, original, group in pool.repeats(seed):
        before, after, *others = (pool.answers(number, block) for number in (original, *group))
        for who, said in (("a held-out reference", after), ("the original", before)):
            checks = judged(said, before, others)
            failed = {check.id for check in checks if check.verdict == "fail"}
            verdict = overall(checks, original=True)[0]
            found = {f"{name} fails": name in failed for name in ("membership", "utility", "closer", "rank")}
            found |= {"any of them fails": bool(failed), "the verdict is forgotten": verdict == "forgotten"}
            outcomes[who].append(found)
    ids = len(pool.blocks[-1])
    for who, seen in outcomes.items():
        for what in seen[0] if seen else ():
            hits = sum(outcome[what] for outcome in seen)
            yield Rate(who, what, f"{pool.name}, {ids} ids, {GROUP - 1} references", hits, len(seen))
