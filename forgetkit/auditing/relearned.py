"""How soon the models of an audit learn its ids again; checkpoints are loaded one at a time."""

import numpy as np
import torch
from torch import nn

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.relearn_like import (
    FEWEST,
    Lesson,
    compare_with_shadows,
    lesson_rows,
    losses_of,
    rank_of_relearning,
)
from forgetkit.auditing.subject import Opened, Rows, Subject
from forgetkit.statistics.relearning import Losses
from forgetkit.training.classifier import load_classifier, take
from forgetkit.training.device import Machine
from forgetkit.training.resume import Bookmark, Place
from forgetkit.training.shadows import Shadows


def relearned_by_references(
    classifier: nn.Module,
    original: nn.Module | None,
    references: list[Opened],
    subject: Subject,
    machine: Machine,
    *,
    level: float,
    bookmark: Bookmark,
) -> Check:
    """Teach the ids to the model under audit, to the original and to each reference, and compare.

    Args:
        classifier: the model under audit.
        original: the positive control, if it was given.
        references: paths and records of models trained without the ids.
        subject: what is judged.
        machine: where to compute.
        level: error rate of the check.
        bookmark: where the audit stands; the losses of a reference are kept when it is done.

    Raises:
        ForgetkitError: as loading a checkpoint.
    """
    lessons = _lessons(subject, subject.rows, machine)
    left = bookmark.open("relearn")
    found = [tensor.numpy() for _, tensor in sorted(left.tensors.items())] if left else []
    after = losses_of(classifier, lessons)
    before = None if original is None else losses_of(original, lessons)
    for reference in references[len(found) :]:
        found.append(losses_of(load_classifier(*reference, machine), lessons))
        bookmark.reached("relearn", lambda: Place({}, _pack(found)))
    return rank_of_relearning(after, before, found, level=level)


def relearned_by_shadows(classifier: nn.Module, shadows: Shadows, subject: Subject, machine: Machine) -> Check:
    """Teach ids to the model under audit and to each shadow model that never saw them, and compare.

    Raises:
        ForgetkitError: as loading a checkpoint.
    """
    never = shadows.never_saw(subject.dataset.train.ids_at(subject.rows))
    found: list[tuple[Losses, Losses]] = []
    for one, unknown in zip(shadows.members, never, strict=True):
        if np.count_nonzero(unknown) < FEWEST:
            continue
        lessons = _lessons(subject, subject.rows[unknown], machine, seed=one.number)
        other = losses_of(load_classifier(one.path, one.record, machine), lessons)
        found.append((losses_of(classifier, lessons), other))
    return compare_with_shadows(found, len(shadows))


def _lessons(subject: Subject, rows: Rows, machine: Machine, *, seed: int = 0) -> list[Lesson]:
    """Return what every model is taught of ``rows``: only these images are put on the machine."""
    train, retained = subject.dataset.train, subject.retain_rows
    drawn = lesson_rows(len(rows), len(retained), seed=seed)
    device = machine.device
    return [(take(train, rows[block], device), take(train, retained[kept], device)) for block, kept in drawn]


def _pack(found: list[Losses]) -> dict[str, torch.Tensor]:
    return {f"{number:06}": torch.from_numpy(losses) for number, losses in enumerate(found)}
