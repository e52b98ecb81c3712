"""Models for the known-answer table of the attacks: each trained without a random half of the blocks, kept on disk.

usage: python tests/benchmarks/attack_pool.py FOLDER [digits|cifar]     (both if not given)
Trains what FOLDER does not have yet: a run that was stopped goes on where it stood. Seeds are fixed.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))
from forgetkit.auditing.checks.attacks import Answers
from forgetkit.auditing.checks.rea import remind
from forgetkit.auditing.predictions import predictions_of
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.models.build import build_model
from forgetkit.registry import load_plugins
from forgetkit.training.classifier import Classifier, predict, take
from forgetkit.training.device import seed_for
from forgetkit.training.loop import complete, train_steps
from forgetkit.training.optimizers import optimizer_of
from forgetkit.training.recipe import Recipe

Rows = NDArray[np.int64]
NETWORKS = Path(__file__).parents[2] / "examples" / "compare" / "networks.py"


@dataclass(frozen=True)
class Kind:
    """A data set, how models are trained on it, and how many.

    Attributes:
        dataset: its name.
        model: name of the network.
        recipe: of each training.
        blocks: parts of the training samples, each of which is a forget set.
        size: models.
        options: of the network.
        reminded: whether the models are trained a little on what they were trained on, for the attack ``rea``.
    """

    dataset: str
    model: str
    recipe: Recipe
    blocks: int
    size: int
    options: dict[str, Any] = field(default_factory=dict)
    reminded: bool = True


KINDS = {
    "digits": Kind("digits", "convnet", Recipe(epochs=60), blocks=10, size=200),
    "cifar": Kind("arrays:cifar10-4000.npz", "small-resnet", Recipe(epochs=12), 20, 100, {"width": 8}, reminded=False),
}


class Pool:
    """Models of one kind, in a folder.

    Attributes:
        kind: what they are.
        dataset: the samples.
        blocks: training rows of each block.
        left_out: which blocks each model never saw, bool of shape ``(models, blocks)``.
    """

    def __init__(self, name: str, folder: Path, size: int | None = None) -> None:
        self.kind, self.folder = KINDS[name], folder / name
        self.dataset: Dataset = open_dataset(self.kind.dataset, Path(os.environ.get("FORGETKIT_DATA", ".")))
        draw = np.random.default_rng(0)
        rows, blocks = draw.permutation(len(self.dataset.train)), self.kind.blocks
        self.blocks: list[Rows] = [np.sort(block) for block in np.array_split(rows, blocks)]
        self.left_out = np.array([draw.permutation(blocks) < blocks // 2 for _ in range(self.kind.size)])[:size]

    def train(self) -> None:
        """Train the models that the folder does not have."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for number in range(len(self.left_out)):
            path = self.folder / f"{number}.pt"
            if not path.exists():
                torch.save(self._trained(number).state_dict(), path.with_suffix(".part"))
                path.with_suffix(".part").rename(path)

    def model(self, number: int) -> Classifier:
        """Return a trained model."""
        found = self._blank(number)
        found.load_state_dict(torch.load(self.folder / f"{number}.pt", weights_only=True))
        return found

    def logits(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the logits of a model on all training samples and on the check half."""
        path = self.folder / f"{number}.logits.pt"
        if not path.exists():
            model, test = self.model(number), self.dataset.test
            train = take(self.dataset.train, np.arange(len(self.dataset.train)), "cpu")
            torch.save(
                [predict(model, images) for images, _ in (train, take(test, self.dataset.check_rows, "cpu"))], path
            )
        train_logits, unseen_logits = torch.load(path, weights_only=True)
        return train_logits, unseen_logits

    def answers(self, number: int, rows: Rows) -> Answers:
        """Return what a model says of training rows, and of the check half."""
        train, unseen = self.logits(number)
        return self._predictions(train[rows], unseen, rows)

    def reminded(self, number: int, block: int) -> Answers:
        """Return the same of a block, after a little training on what the model was trained on, less the block."""
        path = self.folder / f"{number}.rea{block if not self.left_out[number, block] else ''}.pt"
        if not path.exists():
            train, test, rows = self.dataset.train, self.dataset.test, np.arange(len(self.dataset.train))
            learner = remind(
                self.model(number), take(train, np.setdiff1d(self._kept(number), self.blocks[block]), "cpu")
            )
            parts = take(train, rows, "cpu")[0], take(test, self.dataset.check_rows, "cpu")[0]
            with torch.no_grad():
                torch.save([predict(learner, images) for images in parts], path)
        found, unseen = torch.load(path, weights_only=True)
        return self._predictions(found[self.blocks[block]], unseen, self.blocks[block])

    def _predictions(self, train: Tensor, unseen: Tensor, rows: Rows) -> Answers:
        split, test = self.dataset.train, self.dataset.test
        labels = torch.from_numpy(split.labels[rows]), torch.from_numpy(test.labels[self.dataset.check_rows])
        return predictions_of(train, labels[0]), predictions_of(unseen, labels[1])

    def _kept(self, number: int) -> Rows:
        return np.sort(np.concatenate([self.blocks[block] for block in np.flatnonzero(~self.left_out[number])]))

    def _blank(self, number: int) -> Classifier:
        pixels, seed = self.dataset.train.images[self._kept(number)], seed_for(0, "attacks", number)
        shape, classes = self.dataset.shape, len(self.dataset.classes)
        if self.kind.model == "small-resnet":
            load_plugins([NETWORKS])
        model = build_model(self.kind.model, self.kind.options, shape=shape, classes=classes, seed=seed)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        channels = (0, 2, 3)
        return Classifier(model, mean=(pixels / 1.0).mean(channels).tolist(), std=pixels.std(channels).tolist())

    def _trained(self, number: int) -> Classifier:
        model, seed, recipe = self._blank(number), seed_for(0, "attacks", number), self.kind.recipe
        images, labels = take(self.dataset.train, self._kept(number), "cpu")
        steps = train_steps(
            *(model, images, labels),
            recipe=recipe,
            optimizer=optimizer_of(model, recipe),
            tune=(images[:1], labels[:1]),
            seed=seed,
        )
        complete(steps)
        return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[2:] or list(KINDS):
        Pool(chosen, Path(sys.argv[1])).train()
