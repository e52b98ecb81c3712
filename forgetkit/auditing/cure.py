"""What would decide an inconclusive audit: the commands, and what they cost on this machine."""

import math
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from forgetkit.auditing.subject import Subject
from forgetkit.auditing.verdict import Judgement
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model
from forgetkit.training.classifier import on_machine, take
from forgetkit.training.cuda_graphs import take_step
from forgetkit.training.device import Machine
from forgetkit.training.optimizers import make_optimizer

REFERENCES = 19
"""References with which ``rank`` decides at a level of 5 %."""
TIMED = 5
"""Training steps that are timed; the fastest counts."""
MOST_FILES = 200
"""Most checkpoints that are searched for the original."""


@dataclass(frozen=True)
class Cure:
    """What would decide an inconclusive verdict.

    Attributes:
        commands: to be typed, one after another.
        seconds: estimate of what they take on this machine; None where it is a moment.
    """

    commands: tuple[str, ...]
    seconds: float | None = None

    @property
    def cost(self) -> str:
        """The cost in words, with a leading space; empty where it is a moment."""
        if self.seconds is None:
            return ""
        for unit, size in (("h", 3600), ("min", 60)):
            if self.seconds >= 1.5 * size:
                return f" (about {self.seconds / size:.0f} {unit} on this machine)"
        return f" (about {max(1, self.seconds):.0f} s on this machine)"


def cure_of(judgement: Judgement, subject: Subject, machine: Machine, *, original: bool, typed: str) -> Cure | None:
    """Return what would decide a verdict, if it is inconclusive and anything would.

    Args:
        judgement: of the audit.
        subject: what was judged.
        machine: on which a training step is timed.
        original: whether the original was given.
        typed: the command of this audit.
    """
    if judgement.verdict != "inconclusive":
        return None
    if not original:
        path = _original_beside(subject)
        return Cure((f"{typed} --original {shlex.quote(path or 'ORIGINAL.st')}",))
    recipe = subject.record.recipe or {}
    if not judgement.references_would_decide or not {"epochs", "batch_size"} <= recipe.keys():
        return None
    steps = recipe["epochs"] * math.ceil(len(subject.retain_rows) / recipe["batch_size"])
    seconds = REFERENCES * steps * _seconds_per_step(subject, machine, recipe["batch_size"])
    train = f"forgetkit train --like {shlex.quote(str(subject.path))} --seed 101 --replicas {REFERENCES}"
    return Cure((f"{train} -o refs/{{n}}.st", f"{typed} --reference refs"), seconds)


def _seconds_per_step(subject: Subject, machine: Machine, batch_size: int) -> float:
    """Return the time of a training step of the model on this machine."""
    learner = on_machine(load_model(subject.path, subject.record), subject.record, machine)
    images, labels = take(subject.dataset.train, subject.retain_rows[:batch_size], machine.device)
    optimizer = make_optimizer(learner, "sgd", rate=1e-6)
    times = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        take_step(optimizer, lambda rows: cross_entropy(learner(images[rows]), labels[rows]), torch.arange(len(labels)))
        times.append(time.perf_counter() - begun)
    return min(times)


def _original_beside(subject: Subject) -> str | None:
    """Return the path of the original if it lies beside the checkpoint."""
    wanted = subject.record.original
    for path in sorted(Path(subject.path).parent.glob("*.st"))[:MOST_FILES]:
        try:
            if wanted is not None and read_record(path).digest == wanted:
                return str(path)
        except ForgetkitError:
            continue
    return None
