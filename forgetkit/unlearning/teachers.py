"""Teachers: the original for the retain set; for the ids, models that never saw them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError, NotReached
from forgetkit.events import Tell, Warned
from forgetkit.files.header import checkpoint_files
from forgetkit.files.lineage import SHORT
from forgetkit.files.record import Record
from forgetkit.training.classifier import Classifier, load_classifier, predict
from forgetkit.training.device import Machine, generator_for
from forgetkit.training.shadows import Shadow
from forgetkit.unlearning.inputs import Request, open_teacher

Opened = tuple[Path, Record]
"""Path and record of a checkpoint."""


@dataclass(frozen=True)
class Teachers:
    """Models that never saw the forget set, or each a part of it.

    An output is the mean of the probabilities, as logits, over two of them, drawn for each sample. One model that saw
    half of the samples is less accurate than one that saw them all; the mean of many is more accurate, and varies less
    from sample to sample than the outputs of a single model do. Either gives the samples away.

    Attributes:
        models: map images to logits.
        never_saw: which models never saw which sample of the forget set, bool of shape ``(models, samples)``; for each
            sample there is one.
        voices: over how many models the mean is taken, at most.
        seed: of the draws.
    """

    models: Sequence[nn.Module]
    never_saw: NDArray[np.bool_]
    voices: int = 2
    seed: int = 0

    @classmethod
    def one(cls, model: nn.Module, samples: int) -> "Teachers":
        """Return a single model that saw none of so many samples."""
        return cls([model], np.ones((1, samples), dtype=bool))

    def on_forget(self, images: Tensor) -> Tensor:
        """Return the outputs on the forget set, ``(samples, classes)``."""
        return self._mean(images, torch.from_numpy(self.never_saw), "forget")

    def on_unseen(self, images: Tensor) -> Tensor:
        """Return the outputs on unseen samples, ``(samples, classes)``: of the models of a forgotten one, drawn too."""
        drawn = torch.randint(self.never_saw.shape[1], (len(images),), generator=generator_for(self.seed, "judge"))
        speaks = torch.from_numpy(self.never_saw)[:, drawn]
        return self._mean(images, speaks, "unseen")

    def _mean(self, images: Tensor, may_speak: Tensor, purpose: str) -> Tensor:
        """Return the mean over the models that are drawn from those that may speak for a sample."""
        total: Tensor | None = None
        lots = torch.rand(may_speak.shape, generator=generator_for(self.seed, "voices", purpose)) * may_speak
        drawn = torch.zeros_like(may_speak).scatter_(0, lots.topk(min(self.voices, len(lots)), dim=0).indices, True)
        speaks = (drawn & may_speak).to(images.device)
        for model, rows in zip(self.models, speaks, strict=True):
            found = predict(model, images[rows]).double().softmax(1)
            total = found.new_zeros(len(images), found.shape[1]) if total is None else total
            total[rows] += found
        if total is None:
            raise ValueError("there is no teacher")
        tiny = torch.finfo(torch.float32).tiny
        return (total / speaks.sum(0).clamp(min=1)[:, None]).clamp(min=tiny).log().float()


@dataclass(frozen=True)
class TeacherFiles:
    """Path and record of the teacher for the retain set, and of those for the forget set.

    Attributes:
        retain: the one for the retain set.
        forget: those for the forget set, if any.
        ids: of the forget set, if there are.
    """

    retain: Opened
    forget: list[Opened]
    ids: list[str]

    @cached_property
    def never_saw(self) -> NDArray[np.bool_]:
        """Which of those for the forget set never saw which id, bool of shape ``(teachers, ids)``.

        A single one may have forgotten them by steps: that is warned of.
        """
        if len(self.forget) == 1:
            return ~self.forget[0][1].retains(self.ids)[None]
        return np.stack([record.never_saw(self.ids) for _, record in self.forget])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are read."""
        return (self.retain[0], *(path for path, _ in self.forget))

    def options(self) -> dict[str, Any]:
        """Return what a step records of them."""
        others = [record.digest for _, record in self.forget]
        second = {"forget_teacher": others[0] if len(others) == 1 else others} if others else {}
        return {"teacher": self.retain[1].digest, **second}

    def load(self, machine: Machine, seed: int) -> tuple[Classifier, Teachers | None]:
        """Load all."""
        first, *others = (load_classifier(*one, machine) for one in (self.retain, *self.forget))
        if not others:
            return first, None
        return first, Teachers(others, self.never_saw, seed=seed)


def open_teachers(request: Request, teacher: str, forget_teacher: str | None, tell: Tell) -> TeacherFiles:
    """Read the records of the teachers, and warn of those that have themselves forgotten ids of the request.

    Raises:
        ForgetkitError: as :func:`open_teacher`; ``usage`` for a student that is to teach itself what it has lost;
            ``checkpoint-mismatch`` for a second teacher that was trained on some of the ids; ``ids-empty`` if there is
            nothing for it to teach.
    """
    first = open_teacher(teacher, request)
    _refuse_itself(first, request)
    if shown := _own_forgetting(first[1], request):
        why = "the paper's teacher is the original; this one also teaches what its own forgetting damaged"
        tell(Warned("teacher-unlearned", f"{first[0]}: the teacher itself {shown}; {why}"))
    if forget_teacher is None:
        return TeacherFiles(first, [], [])
    others = [open_teacher(str(path), request) for path in checkpoint_files(forget_teacher)]
    everything = request.with_all_forgotten
    if not len(everything.measured_rows):
        message = "--forget-teacher is given, but there is nothing to forget except canaries"
        raise ForgetkitError("ids-empty", message, "name the ids: --ids")
    files = TeacherFiles(first, others, everything.ids)
    if known := int((~files.never_saw).all(0).sum()):
        which = "the forget teacher was trained on" if len(others) == 1 else "no forget teacher is without"
        message = f"{forget_teacher}: {which} {known} of the {len(everything.ids)} ids"
        hint = "make one with: forgetkit train --like ORIGINAL.st --exclude IDS.txt --epochs 3 -o proxy.st"
        raise ForgetkitError("checkpoint-mismatch", message, hint)
    shown = _own_forgetting(others[0][1], request) if len(others) == 1 else ""
    if shown:
        text = f"the forget teacher {shown}; it should be a model that never saw them: train --like … --exclude …"
        tell(Warned("teacher-unlearned", f"{others[0][0]}: {text}"))
    return files


def _refuse_itself(teacher: tuple[Path, Record], request: Request) -> None:
    """Refuse the student as its own teacher, unless it has not forgotten the ids yet: ForgetkitError, ``usage``."""
    path, record = teacher
    original = record.original
    if record.digest != request.record.digest or original is None or request.ids:
        return
    message = f"{path}: this is the student itself, which forgot by {_commands(record)}: it cannot teach what it lost"
    hint = f"name the original, the model that it was before: sha256:{original[:SHORT]} in forgetkit inspect {path}"
    raise ForgetkitError("usage", message, hint, option="teacher")


def _own_forgetting(teacher: Record, request: Request) -> str:
    """Say how many ids that are to be left out a teacher has forgotten by steps like this one; nothing for none."""
    ids = request.with_all_forgotten.ids
    count = int(teacher.forgotten.contains(ids).sum()) if teacher.unlearning else 0
    return f"has forgotten {count} of the {len(ids)} ids, by {_commands(teacher)}" if count else ""


def _commands(record: Record) -> str:
    return ", ".join(dict.fromkeys(step.command for step in record.unlearning))


def shadow_teachers(members: Sequence[Shadow], ids: Sequence[str], machine: Machine, *, seed: int) -> Teachers:
    """Load those shadow models that never saw some of the ids.

    Args:
        members: shadow models.
        ids: of the forget set.
        machine: where to compute.
        seed: of the draws.

    Raises:
        NotReached: if an id was seen by all.
    """
    knows = np.stack([one.record.never_saw(ids) for one in members])
    if missing := int((~knows.any(0)).sum()):
        raise NotReached(f"every shadow model was trained on {missing} of the {len(ids)} ids")
    useful = [number for number, row in enumerate(knows) if row.any()]
    models = [load_classifier(members[k].path, members[k].record, machine) for k in useful]
    return Teachers(models, knows[useful], seed=seed)
