"""What would decide an inconclusive audit: the commands, and what they cost on this machine."""

import math
import shlex
import time
from collections.abc import Sequence
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

REFERENCES, FIRST_SEED = 19, 101
"""References with which ``rank`` decides at a level of 5 %; the seed of the first."""
SOURCE = ("--dataset", "--data-root", "--plugin", "--column")
"""Options that a training needs as well, if the audit needed them."""
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


def cure_of(
    judgement: Judgement, subject: Subject, machine: Machine, *, original: bool, references: int, typed: Sequence[str]
) -> Cure | None:
    """Return what would decide a verdict, if it is inconclusive and anything would.

    Args:
        judgement: of the audit.
        subject: what was judged.
        machine: on which a training step is timed.
        original: whether the original was given.
        references: how many references were given.
        typed: the words of the command of this audit.
    """
    if judgement.verdict != "inconclusive":
        return None
    if not original:
        return Cure((_with(typed, "--original", _original_beside(subject) or "ORIGINAL.st"),))
    recipe = subject.record.recipe or {}
    if not judgement.references_would_decide or not {"epochs", "batch_size"} <= recipe.keys():
        return None
    steps = recipe["epochs"] * math.ceil(len(subject.retain_rows) / recipe["batch_size"])
    each = _seconds_per_step(subject, machine, recipe["batch_size"])
    folder = _free(subject.path.with_suffix(".refs"))
    seed = FIRST_SEED if not references else FIRST_SEED + 200
    train = ["forgetkit", "train", "--like", str(subject.path), *_source(typed)]
    train += ["--seed", str(seed), "--replicas", str(REFERENCES), "-o", f"{folder}/{{n}}.st"]
    commands = shlex.join(train), _with(typed, "--reference", str(folder))
    return Cure(commands, None if each is None else REFERENCES * steps * each)


def _with(typed: Sequence[str], option: str, value: str) -> str:
    """Return a command with one more option; a list that was read from a pipe is to be named."""
    end = typed.index("--") if "--" in typed else len(typed)
    words = ["IDS.txt" if word == "-" else word for word in typed]
    return shlex.join([*words[:end], option, value, *words[end:]])


def _source(typed: Sequence[str]) -> list[str]:
    """Return the options of a command that say where data and models are found."""
    found = []
    for word, value in zip(typed, [*typed[1:], ""], strict=True):
        name, _, rest = word.partition("=")
        if name in SOURCE:
            found += [word] if rest else [word, value]
    return found


def _free(folder: Path) -> Path:
    """Return ``folder``, or that name with the first number that is not taken."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _seconds_per_step(subject: Subject, machine: Machine, batch_size: int) -> float | None:
    """Return the time of a training step of the model on this machine; None where it fails, as without memory."""
    learner = on_machine(load_model(subject.path, subject.record), subject.record, machine)
    images, labels = take(subject.dataset.train, subject.retain_rows[:batch_size], machine.device)
    optimizer, rows = make_optimizer(learner, "sgd", rate=1e-6), torch.arange(len(labels))
    times = []
    try:
        for _ in range(TIMED):
            begun = time.perf_counter()
            take_step(optimizer, lambda part: cross_entropy(learner(images[part]), labels[part]), rows)
            times.append(time.perf_counter() - begun)
    except RuntimeError:  # torch's, also where memory does not suffice; a verdict must not be lost for an estimate
        return None
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
