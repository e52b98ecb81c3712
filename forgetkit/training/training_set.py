"""What a training draws from, and what its checkpoint will say of that."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.canaries import Canaries, draw_canaries, entry_of, open_canaries, relabelled
from forgetkit.data.dataset import Dataset
from forgetkit.data.deleted_rows import on_data
from forgetkit.data.of_checkpoint import dataset_of, read_lists
from forgetkit.data.open import data_root, open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, Warned
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_digests import KeySet, forgotten_with
from forgetkit.files.record import Record
from forgetkit.models.build import model_entry
from forgetkit.options import ListForm, Source
from forgetkit.training.outputs import software

AT_ONCE = 4096
"""Images whose pixels are counted at once."""


@dataclass(frozen=True)
class Base:
    """A checkpoint to train ``like`` (from nothing, by its recipe), or else to go on from."""

    path: Path
    record: Record
    like: bool

    def first_seed(self) -> int:
        """Return the seed of a training if none is given: 0, or the recorded one + 1 where it begins from nothing."""
        last = max((step.seed for step in self.record.steps if step.command == "train"), default=-1)
        return last + 1 if self.like else 0


@dataclass(frozen=True)
class TrainingSet:
    """The samples to train on.

    Attributes:
        rows: training rows to draw from, sorted.
        trained: what the checkpoint will say it was trained on; None for the whole split.
        forgotten: what it will say it leaves out.
        excluded: the ids newly left out.
        only: the ids that the training was limited to, if any.
        canaries: what the recipe says of canaries, if there are any; ``dataset`` has their assigned labels then.
    """

    dataset: Dataset
    rows: NDArray[np.int64]
    trained: KeySet | None
    forgotten: KeySet
    excluded: list[str]
    only: list[str]
    canaries: dict[str, Any] | None = None

    def new_record(self, base: Base | None, model: tuple[str, dict[str, Any]], recipe: dict[str, Any]) -> Record:
        """Return the record of a training on these samples, with empty digest and no steps.

        ``recipe`` counts for a training from nothing or from a new head; one that goes on keeps the recorded recipe.
        Both of the latter keep the input's mean and standard deviation.
        """
        going_on = base is not None and not base.like
        recipe = base.record.recipe if base and going_on and not base.record.untrained else recipe
        return Record(
            digest="",
            model=base.record.model if base else model_entry(*model),
            input=base.record.input if base and going_on else input_of(self.dataset, self.rows),
            classes=list(self.dataset.classes),
            dataset=self.dataset.entry,
            recipe=recipe if self.canaries is None else {**recipe, "canaries": self.canaries},
            trained=self.trained,
            forgotten=self.forgotten,
            steps=[],
            software=software(),
        )


def open_base(like: str | None, from_: str | None) -> Base | None:
    """Return the checkpoint that ``--like`` or ``--from`` names, if one is given."""
    text = like if like is not None else from_
    return None if text is None else Base(*open_checkpoint(text), like=like is not None)


def choose(
    base: Base | None,
    source: Source,
    tell: Tell,
    *,
    exclude: list[str],
    only: str | None,
    form: ListForm,
) -> TrainingSet:
    """Return what to train on.

    Raises:
        ForgetkitError: ``usage`` without a data set, ``ids-forgotten`` for ``--only`` with a forgotten id,
            ``ids-empty`` where no samples are left; else what reading data set and lists raises.
    """
    if base is None and not source.dataset:
        raise ForgetkitError("usage", "no data set given", "name one: --dataset digits")
    dataset = (
        dataset_of(base.path, base.record, source, tell)
        if base
        else open_dataset(
            source.dataset or "",
            data_root(source.data_root),
            download=source.download,
            unseen=source.unseen,
            tell=tell,
        )
    )
    base = replace(base, record=on_data(base.record, dataset)) if base else None
    if base and base.like and base.record.new_head:
        text = f"{base.path} did not begin from nothing but from weights with a new head: a reference begins there, too"
        tell(Warned("other-start", f"{text}: forgetkit train --from THOSE.st --exclude ..."))
    salt = base.record.forgotten.salt if base else dataset.fingerprint
    excluded = read_lists(exclude, form, dataset, tell)
    canaries = open_canaries(base.record, dataset) if base else None
    limited = _limit(only, form, dataset, canaries, tell) if only is not None else []
    before = base.record.forgotten if base else KeySet.of([], salt)
    if base and (again := int(before.contains(limited).sum())):
        message = f"{only}: {again} of {len(limited)} ids are forgotten; a model does not learn them again"
        raise ForgetkitError("ids-forgotten", message, "take them out: forgetkit forget-ids --ids ... --minus ...")
    if known := int(before.contains(excluded).sum()):
        tell(Warned("ids-forgotten", f"{known} of {len(excluded)} ids are forgotten already"))
    seen = None if base is None or base.record.untrained else base.record
    if seen and (foreign := int((~seen.was_trained(excluded)).sum())):
        tell(Warned("ids-untrained", f"{foreign} of {len(excluded)} ids were never trained on"))
    forgotten = forgotten_with(before, excluded)
    trained = seen.trained if seen else None
    if seen is None and not dataset.numbered:
        trained = KeySet.of(dataset.train.ids, salt)  # so that it is known still when rows are taken out of the data
    mask = seen.was_trained(dataset.train.ids) if seen else np.ones(len(dataset.train), dtype=bool)
    if limited:
        limit = KeySet.of(limited, salt)
        mask = limit.contains(dataset.train.ids)
        if seen is None or (base and base.like):
            trained = limit
        elif trained is not None:
            trained = trained | limit
    rows = np.flatnonzero(mask & ~forgotten.contains(dataset.train.ids))
    if len(rows) == 0:
        raise ForgetkitError("ids-empty", "no training samples are left", "exclude fewer ids")
    entry = base.record.recipe.get("canaries") if base else None
    return TrainingSet(dataset, rows, trained, forgotten, excluded, limited, entry)


def with_canaries(chosen: TrainingSet, *, count: int, kind: str, seed: int) -> TrainingSet:
    """Return the training set with ``count`` of its samples as candidates; the withheld ones are no part of it.

    Raises:
        ForgetkitError: ``usage`` where it has canaries already, or as :func:`forgetkit.data.canaries.draw_canaries`.
    """
    if chosen.canaries is not None:
        hint = "without --canaries, its canaries are carried on"
        raise ForgetkitError("usage", "--canaries: the checkpoint has canaries of its own", hint)
    dataset, salt = chosen.dataset, chosen.forgotten.salt
    found = draw_canaries(dataset, chosen.rows, count=count, kind=kind, seed=seed)
    ids = dataset.train.ids
    known = np.ones(len(ids), dtype=bool) if chosen.trained is None else chosen.trained.contains(ids)
    known[found.withheld_rows] = False
    return replace(
        chosen,
        dataset=relabelled(dataset, found),
        rows=np.setdiff1d(chosen.rows, found.withheld_rows),
        trained=KeySet.of(dataset.train.ids_at(np.flatnonzero(known)), salt),
        canaries=entry_of(found, dataset, kind=kind, seed=seed, salt=salt),
    )


def _limit(only: str, form: ListForm, dataset: Dataset, canaries: Canaries | None, tell: Tell) -> list[str]:
    """Return the ids of ``--only``, less withheld canaries, which no training may read."""
    limited = read_lists([only], form, dataset, tell)
    if canaries is None:
        return limited
    withheld = set(dataset.train.ids_at(canaries.withheld_rows))
    left = [id_ for id_ in limited if id_ not in withheld]
    if len(left) < len(limited):
        text = f"{len(limited) - len(left)} of {len(limited)} ids are canaries that were withheld; they stay so"
        tell(Warned("canaries-withheld", text))
    if not left:
        raise ForgetkitError("ids-empty", f"{only}: every id is a canary that was withheld", "give others, too")
    return left


def input_of(dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return shape, and mean and standard deviation of each channel, over ``rows`` of the training split only."""
    values = np.arange(256)
    counts = np.zeros((dataset.shape[0], 256), dtype=np.int64)
    for some in np.array_split(rows, len(rows) // AT_ONCE + 1):
        for channel, pixels in enumerate(dataset.train.images[some].swapaxes(0, 1)):
            counts[channel] += np.bincount(pixels.reshape(-1), minlength=256)
    mean, std = [], []
    for found in counts:
        mean.append(float((found * values).sum() / found.sum()))
        std.append(float(np.sqrt((found * (values - mean[-1]) ** 2).sum() / found.sum())) or 1.0)
    return {"shape": list(dataset.shape), "mean": mean, "std": std}
