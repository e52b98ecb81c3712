"""Models of digits that never saw a class, and models that saw all: trained once, kept in a folder, audited often."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from forgetkit.auditing.checks.relearn_like import Lesson, lessons_of, losses_of, rank_of_relearning
from forgetkit.auditing.evidence import Evidence
from forgetkit.auditing.in_memory import evidence_in_memory
from forgetkit.auditing.judge import judge
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.result import Audited
from forgetkit.data.open import open_dataset
from forgetkit.models.build import build_model
from forgetkit.statistics.relearning import Losses
from forgetkit.training.classifier import Classifier, Samples, take
from forgetkit.training.device import seed_for
from tests.benchmarks.auditor_models import DIGITS, trained

DATA = open_dataset("digits", Path())
UNSEEN = take(DATA.test, DATA.check_rows, "cpu")
REFERENCES = 19


def parts(without: int) -> dict[str, Samples]:
    """Return the samples of a request for a class: those of the class, the others, and the check half."""
    labels = DATA.train.labels
    forget, retain = (take(DATA.train, np.flatnonzero(mask), "cpu") for mask in (labels == without, labels != without))
    return {"forget": forget, "retain": retain, "unseen": UNSEEN}


def model_of(folder: Path, without: int | None, number: int) -> Classifier:
    """Return a model that never saw a class, or one that saw all; train it if it is not in the folder."""
    path = folder / f"{'all' if without is None else f'no{without}'}-{number}.st"
    labels = DATA.train.labels
    rows = np.flatnonzero(labels != without) if without is not None else np.arange(len(labels))
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        seed = seed_for(9, "class", -1 if without is None else without, number)
        state = trained(DATA, rows, DIGITS.recipe, seed).model.state_dict()
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    model = build_model("convnet", {}, shape=DATA.shape, classes=len(DATA.classes), seed=0)
    model.load_state_dict(load_file(path))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = DATA.train.images[rows]
    return Classifier(model, mean=[float(pixels.mean())], std=[float(pixels.std())]).eval()


@dataclass(frozen=True)
class Asked:
    """What an audit gathers of one model: what it says of all samples, and its losses while it learns the ids."""

    evidence: Evidence
    losses: Losses


class Request:
    """Samples to forget, and what an audit asks of a model about them.

    Attributes:
        samples: those to forget, the others, and the check half.
        lessons: what every model is taught.
    """

    def __init__(self, samples: dict[str, Samples]) -> None:
        self.samples = samples
        self.lessons: list[Lesson] = lessons_of(self.samples["forget"], self.samples["retain"])

    def ask(self, model: nn.Module, original: nn.Module | None = None) -> Asked:
        """Ask a model what an audit asks; with the original, also whether it is that."""
        evidence = evidence_in_memory(model, original, [], self.samples, policy=Policy())
        return Asked(evidence, losses_of(model, self.lessons))


def judged(one: Asked, original: Asked, references: list[Asked], *, relearn: bool = True) -> Audited:
    """Judge a model as ``audit`` does that is given all these models; each was asked once."""
    others, before = list(one.evidence.others), original.evidence.after
    if relearn and references:
        losses = [reference.losses for reference in references]
        others.append(rank_of_relearning(one.losses, original.losses, losses, level=Policy().level))
    said = [reference.evidence.after for reference in references if reference.evidence.after]
    inputs = {**one.evidence.inputs, "original": "", "references": [""] * len(said)}
    return judge(replace(one.evidence, inputs=inputs, before=before, references=said, others=others), Policy())
