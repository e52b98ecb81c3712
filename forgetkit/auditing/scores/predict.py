"""Scores of checkpoints: the samples of an audit, chosen by the first model, and what each model says of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from forgetkit.auditing.scores.table import ScoreTable
from forgetkit.auditing.shadow_predictions import OWN
from forgetkit.auditing.subject import Opened, Rows, subject_of
from forgetkit.data.attributes import column_of
from forgetkit.data.dataset import Dataset
from forgetkit.data.deleted_rows import check_same_data
from forgetkit.data.of_checkpoint import dataset_of
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_list import draw
from forgetkit.files.record import Record
from forgetkit.options import ListForm, Source
from forgetkit.training.classifier import load_classifier, predict, take
from forgetkit.training.device import Machine


@dataclass(frozen=True)
class Samples:
    """The samples that scores are of.

    Attributes:
        dataset: of the models.
        rows: training rows by group, ``forget``, ``retain`` and ``earlier``.
        unseen: rows of the test split: its check half, or none.
        owners: the owner of each training sample; None if nobody asked.
    """

    dataset: Dataset
    rows: dict[str, Rows]
    unseen: Rows
    owners: list[str] | None = None

    def __len__(self) -> int:
        return sum(map(len, self.rows.values())) + len(self.unseen)


@dataclass(frozen=True)
class Wanted:
    """What to predict.

    Attributes:
        lists: ID lists of the samples in question; none for all that the record calls forgotten.
        form: how lists are to be read.
        unseen: whether to add the check half of the unseen samples.
        retain: how many retained samples to add; None for all.
        owner: the attribute column that names the person, if it is to be written.
        attributes: table that has the column, if the data set has not.
    """

    lists: Sequence[str] = ()
    form: ListForm = field(default_factory=ListForm)
    unseen: bool = False
    retain: int | None = 0
    owner: str | None = None
    attributes: str | None = None


def samples_of(model: Opened, wanted: Wanted, source: Source, tell: Tell) -> Samples:
    """Choose the samples, as an audit of the model does.

    Args:
        model: path and record of the model under audit.
        wanted: which samples.
        source: where the data is.
        tell: told what is left out.

    Raises:
        ForgetkitError: ``ids-empty`` where no sample is chosen; and as :func:`forgetkit.auditing.subject.subject_of`.
    """
    path, record = model
    if wanted.lists or len(record.forgotten):
        subject = subject_of(str(path), wanted.lists, wanted.form, source=source, tell=tell)
        dataset, forget, earlier, kept = subject.dataset, subject.rows, subject.earlier, subject.retain_rows
    else:
        dataset = dataset_of(path, record, source, tell)
        forget = earlier = np.empty(0, dtype=np.int64)
        kept = np.flatnonzero(record.retains(dataset.train.ids))
    rows = {"forget": forget, "retain": _drawn(kept, dataset, wanted.retain), "earlier": earlier}
    owners = column_of(dataset, wanted.owner, wanted.attributes, tell) if wanted.owner else None
    found = Samples(dataset, rows, dataset.check_rows if wanted.unseen else dataset.check_rows[:0], owners)
    if not len(found):
        hint = "choose with --ids FILE, --unseen or --retain N"
        raise ForgetkitError("ids-empty", f"{path}: nothing says which samples to predict", hint)
    return found


def _drawn(rows: Rows, dataset: Dataset, count: int | None) -> Rows:
    """Draw ``count`` rows, or as many as there are: the same samples whatever else is retained."""
    if count is None or count >= len(rows):
        return rows
    ids = set(draw(dataset.train.ids_at(rows), count, 0))
    return np.array([row for row in rows.tolist() if dataset.train.ids[row] in ids], dtype=np.int64)


def open_models(first: Opened, names: Sequence[str]) -> list[Opened]:
    """Return path and record of each further model.

    Raises:
        ForgetkitError: ``checkpoint-missing``, ``checkpoint-malformed``; ``checkpoint-mismatch`` for other data.
    """
    opened = [open_checkpoint(name) for name in names]
    for path, record in opened:
        check_same_data(path, record, first[1], "model")
    return opened


def score(model: Opened, samples: Samples, machine: Machine) -> ScoreTable:
    """Return what a model says of the samples, in eval mode, without augmentation.

    Args:
        model: path and record.
        samples: of which data set, and which.
        machine: where to compute.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for a damaged file, or scores that are not finite.
    """
    path, record = model
    train, test = samples.dataset.train, samples.dataset.test
    classifier = load_classifier(path, record, machine, finite=False)
    parts = [(train, rows, name) for name, rows in samples.rows.items()] + [(test, samples.unseen, "unseen")]
    parts = [part for part in parts if len(part[1])]
    logits = [predict(classifier, take(split, rows, machine.device)[0]).cpu().numpy() for split, rows, _ in parts]
    ids = [id_ for split, rows, _ in parts for id_ in split.ids_at(rows)]
    known = [train.ids_at(rows) for split, rows, _ in parts if split is train]
    unseen = np.zeros(len(samples.unseen), dtype=bool)
    found = ScoreTable(
        name=str(path),
        ids=_apart(ids, samples),
        labels=np.concatenate([split.labels[rows] for split, rows, _ in parts]),
        groups=[name for _, rows, name in parts for _ in rows],
        logits=np.concatenate(logits),
        owners=_owners(samples, parts),
        saw=np.concatenate([*(record.was_trained(some) for some in known), unseen]),
        forgot=np.concatenate([*(record.forgotten.contains(some) for some in known), unseen]),
        classes=tuple(samples.dataset.classes),
        model=_about(record),
    )
    if not np.isfinite(found.logits).all():
        message = f"{path}: its outputs are not finite"
        raise ForgetkitError("checkpoint-malformed", message, f"an audit with weights says so: forgetkit audit {path}")
    return found


def _apart(ids: list[str], samples: Samples) -> list[str]:
    """Return ids that differ between the splits, which may both number their rows from 0."""
    trained = len(ids) - len(samples.unseen)
    if set(ids[:trained]).isdisjoint(ids[trained:]):
        return ids
    return [*ids[:trained], *(f"unseen:{id_}" for id_ in ids[trained:])]


def _owners(samples: Samples, parts: Sequence[tuple[Any, Rows, str]]) -> list[str] | None:
    """Return the owner of each sample; those of unseen ones are not known."""
    if (owners := samples.owners) is None:
        return None
    return ["" if name == "unseen" else owners[row] for _, rows, name in parts for row in rows.tolist()]


def _about(record: Record) -> dict[str, Any]:
    """Return what an audit needs to know of a model: its digest, its last step, and what its halves go by."""
    last = next(iter(record.unlearning[::-1]), None)
    trainings = [step for step in record.steps if step.trains]
    shadow = trainings[-1].options.get("shadow") if trainings else None
    options = {} if last is None else {name: value for name, value in last.options.items() if name not in OWN}
    return {
        "digest": record.digest,
        "step": None if last is None else {"command": last.command, "options": options},
        "group": shadow.get("group") if isinstance(shadow, dict) else None,
    }


def default_target(path: Path) -> Path:
    """Return the name of the scores of a checkpoint: ``model.st`` → ``model.scores.npz``."""
    return path.with_name(f"{path.stem}.scores.npz")
