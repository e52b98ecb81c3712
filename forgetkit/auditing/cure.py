"""What would decide an inconclusive audit: the commands, and what they cost on this machine."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forgetkit.auditing.subject import Subject
from forgetkit.auditing.verdict import Judgement
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.training.classifier import load_classifier, take
from forgetkit.training.device import Machine
from forgetkit.training.evaluate import BATCH, pass_seconds

REFERENCES, FIRST_SEED = 19, 101
"""References with which ``rank`` decides at a level of 5 %; the seed of the first."""
SOURCE = ("--dataset", "--data-root", "--plugin", "--column")
"""Options that a training needs as well, if the audit needed them."""
MOST_FILES = 200
"""Most checkpoints that are searched for the original."""


@dataclass(frozen=True)
class Cure:
    """What would decide an inconclusive verdict.

    Attributes:
        commands: to be typed, one after another.
        seconds: estimate of what they take on this machine; None where it is a moment, or unknown.
    """

    commands: tuple[str, ...]
    seconds: float | None = None

    @property
    def cost(self) -> str:
        """The cost in words, with a leading space; empty without an estimate."""
        if self.seconds is None:
            return ""
        for unit, size in (("h", 3600), ("min", 60)):
            if self.seconds >= 1.5 * size:
                return f" (about {self.seconds / size:.0f} {unit} on this machine)"
        return f" (about {max(1, self.seconds):.0f} s on this machine)"


def cure_of(
    judgement: Judgement,
    subject: Subject,
    machine: Machine | None,
    *,
    original: bool,
    references: int,
    typed: Sequence[str],
) -> Cure | None:
    """Return what would decide a verdict, if it is inconclusive and anything would.

    Args:
        judgement: of the audit.
        subject: what was judged.
        machine: on which a pass over a few samples is timed, for the cost; None if nobody asks for the cost.
        original: whether the original was given.
        references: how many references were given.
        typed: the words of the command of this audit.
    """
    if judgement.verdict != "inconclusive":
        return None
    if not original:
        return Cure((_with(typed, "--original", _original_beside(subject) or "ORIGINAL.st"),))
    recipe = subject.record.recipe or {}
    if not judgement.references_would_decide or "epochs" not in recipe:
        return None
    each = None if machine is None else _seconds_of_a_training(subject, machine, recipe["epochs"])
    folder = _free(subject.path.with_suffix(".refs"))
    seed = FIRST_SEED if not references else FIRST_SEED + 200
    train = ["forgetkit", "train", "--like", str(subject.path), *_source(typed)]
    train += ["--seed", str(seed), "--replicas", str(REFERENCES), "-o", f"{folder}/{{n}}.st"]
    commands = shlex.join(train), _with(typed, "--reference", str(folder))
    return Cure(commands, None if each is None else REFERENCES * each)


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


def _seconds_of_a_training(subject: Subject, machine: Machine, epochs: int) -> float | None:
    """Estimate the time of a training without the ids; None where that fails: no verdict is lost for an estimate."""
    try:
        classifier = load_classifier(subject.path, subject.record, machine)
        samples = take(subject.dataset.train, subject.retain_rows[:BATCH], machine.device)
        return epochs * pass_seconds(classifier, samples, len(subject.retain_rows))
    except RuntimeError:  # torch's, such as for lack of memory
        return None


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
