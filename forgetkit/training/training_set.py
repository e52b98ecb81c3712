"""The samples of a training, and what its checkpoint will say of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.canaries import draw_canaries, entry_of, open_canaries, relabelled
from forgetkit.data.dataset import Dataset
from forgetkit.data.deleted_rows import on_data
from forgetkit.data.of_checkpoint import dataset_named, dataset_of, listed, nothing_left, read_lists
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, Warned
from forgetkit.files.header import open_checkpoint
from forgetkit.files.id_digests import KeySet, forgotten_with
from forgetkit.files.id_list import IdList
from forgetkit.files.record import Record
from forgetkit.models.build import model_entry
from forgetkit.options import ListForm, Source
from forgetkit.training.outputs import software

AT_ONCE = 4096
"""Images whose pixels are counted at a time."""


@dataclass(frozen=True)
class Base:
    """A checkpoint to train ``like`` (from scratch, by its recipe), or else to continue from."""

    path: Path
    record: Record
    like: bool

    @property
    def next_seed(self) -> int:
        """The default seed: 0, or the recorded one + 1 where the training begins from scratch."""
        last = max((step.seed for step in self.record.steps if step.command == "train"), default=-1)
        return last + 1 if self.like else 0


@dataclass(frozen=True)
class TrainingSet:
    """The samples to train on.

    Attributes:
        base: the checkpoint to train like or to continue from, if any.
        dataset: the data set; included canaries have their assigned labels.
        rows: training rows to draw from, int64, sorted.
        trained: what the checkpoint will say it was trained on; None for the whole split.
        forgotten: what it will say it leaves out.
        excluded: the ids newly left out.
        only: the ids that the training was limited to, if any.
        canaries: what the recipe says of canaries, if there are any.
        shadow: what the training says of the shadow model that it makes, if it does.
    """

    base: Base | None
    dataset: Dataset
    rows: NDArray[np.int64]
    trained: KeySet | None
    forgotten: KeySet
    excluded: list[str]
    only: list[str]
    canaries: dict[str, Any] | None = None
    shadow: dict[str, Any] | None = None

    def new_record(self, model: str, options: dict[str, Any], recipe: dict[str, Any]) -> Record:
        """Return the record of a training on these samples, with empty digest and no steps.

        Args:
            model: name of the model, if there is no checkpoint to say it.
            options: options of that model.
            recipe: the recipe of a training from scratch or from a new head. A training that continues keeps the
                recorded one. Both of the latter keep the input's mean and standard deviation.
        """
        base = self.base
        continues = base is not None and not base.like
        if base and continues and not base.record.untrained:
            recipe = base.record.recipe
        return Record(
            digest="",
            model=base.record.model if base else model_entry(model, options),
            input=base.record.input if base and continues else input_of(self.dataset, self.rows),
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


def select_samples(
    base: Base | None,
    source: Source,
    tell: Tell,
    *,
    exclude: Sequence[str | IdList] = (),
    only: str | IdList | None = None,
    form: ListForm,
    image_size: int | None = None,
) -> TrainingSet:
    """Select the samples to train on.

    Args:
        base: the checkpoint to train like or to continue from, if any.
        source: where the data set is.
        tell: gets warnings.
        exclude: lists of ids to leave out, or their paths.
        only: list of the only ids to train on, or its path.
        form: how the lists are read.
        image_size: height and width to which images are resized, without ``base``, which says it itself.

    Raises:
        ForgetkitError: ``usage`` without a data set, ``ids-forgotten`` for ``only`` with a forgotten id,
            ``ids-empty`` where no samples are left; as reading data set and lists.
    """
    dataset = _dataset(base, source, image_size, tell)
    base = replace(base, record=on_data(base.record, dataset)) if base else None
    if base and base.like and base.record.new_head:
        text = f"{base.path} was trained from weights with a new head, not from scratch"
        tell(Warned("other-start", f"{text}; so must a reference be: forgetkit train --from THOSE.st --exclude ..."))
    before = base.record.forgotten if base else KeySet.of([], dataset.fingerprint)
    excluded = read_lists(exclude, form, dataset, tell)
    limited = _limited(base, dataset, only, form, tell) if only is not None else []
    if again := int(before.contains(limited).sum()):
        message = f"{again} of the {len(limited)} ids of --only are forgotten; a model must not learn them again"
        raise ForgetkitError("ids-forgotten", message, "take them out: forgetkit forget-ids --ids ... --minus ...")
    if known := int(before.contains(excluded).sum()):
        tell(Warned("ids-forgotten", f"{known} of {len(excluded)} ids are forgotten already"))
        excluded = [id_ for id_, gone in zip(excluded, before.contains(excluded), strict=True) if not gone]
    seen = base.record if base and not base.record.untrained else None
    if seen and (foreign := int((~seen.was_trained(excluded)).sum())):
        tell(Warned("ids-untrained", f"{foreign} of {len(excluded)} ids were never trained on"))
    forgotten = forgotten_with(before, excluded)
    ids = dataset.train.ids
    wanted = seen.was_trained(ids) if seen else np.ones(len(ids), dtype=bool)
    # ids of their own stay known when rows are taken out of the data; row numbers do not
    trained = seen.trained if seen else None if dataset.numbered else KeySet.of(ids, before.salt)
    if limited:
        limit = KeySet.of(limited, before.salt)
        wanted = limit.contains(ids)
        if seen is None or (base and base.like):
            trained = limit
        elif trained is not None:
            trained = trained | limit
    rows = np.flatnonzero(wanted & ~forgotten.contains(ids))
    if len(rows) == 0:
        few = ForgetkitError("ids-empty", "no training samples remain", "exclude fewer ids")
        raise nothing_left(base.path, seen, dataset) if base and seen and not limited else few
    canaries = base.record.recipe.get("canaries") if base else None
    return TrainingSet(base, dataset, rows, trained, forgotten, excluded, limited, canaries)


def with_canaries(chosen: TrainingSet, *, count: int, kind: str, seed: int) -> TrainingSet:
    """Return the training set with ``count`` of its samples as canaries, of which the withheld ones are taken out.

    Raises:
        ForgetkitError: ``usage`` where it has canaries already; as :func:`forgetkit.data.canaries.draw_canaries`.
    """
    if chosen.canaries is not None:
        hint = "leave --canaries out: the training keeps those canaries"
        raise ForgetkitError("usage", "--canaries: the checkpoint already has canaries", hint)
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


def _dataset(base: Base | None, source: Source, image_size: int | None, tell: Tell) -> Dataset:
    if base:
        return dataset_of(base.path, base.record, source, tell)
    if not source.dataset:
        raise ForgetkitError("usage", "no data set given", "name one: --dataset digits")
    return dataset_named(source.dataset, source, tell, image_size=image_size)


def _limited(base: Base | None, dataset: Dataset, only: str | IdList, form: ListForm, tell: Tell) -> list[str]:
    """Return the ids of ``only``, less withheld canaries, which no training may read.

    Raises:
        ForgetkitError: ``ids-unknown`` for ids of the test split.
    """
    limited = listed([only], form, dataset, tell)
    if unseen := sum(id_ not in dataset.train.row_of for id_ in limited):
        message = f"{unseen} of the {len(limited)} ids of --only are in the test split of {dataset.name}"
        raise ForgetkitError("ids-unknown", message, "take them out: no model is trained on the samples that judge it")
    canaries = open_canaries(base.record, dataset) if base else None
    if canaries is None:
        return limited
    withheld = set(dataset.train.ids_at(canaries.withheld_rows))
    remaining = [id_ for id_ in limited if id_ not in withheld]
    if len(remaining) < len(limited):
        text = f"{len(limited) - len(remaining)} of {len(limited)} ids are withheld canaries and remain withheld"
        tell(Warned("canaries-withheld", text))
    if not remaining:
        raise ForgetkitError("ids-empty", "every id of --only is a withheld canary", "give other ids, too")
    return remaining


def input_of(dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return a record's ``input``: what a model sees, and mean and standard deviation of each channel over ``rows``."""
    values = np.arange(256)
    counts = np.zeros((dataset.shape[0], 256), dtype=np.int64)
    for some in np.array_split(rows, len(rows) // AT_ONCE + 1):
        for channel, pixels in enumerate(dataset.train.seen[some].swapaxes(0, 1)):
            counts[channel] += np.bincount(pixels.reshape(-1), minlength=256)
    mean, std = [], []
    for found in counts:
        mean.append(float((found * values).sum() / found.sum()))
        std.append(float(np.sqrt((found * (values - mean[-1]) ** 2).sum() / found.sum())) or 1.0)
    return {**dataset.input_entry, "mean": mean, "std": std}


def image_size_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what a step says of an ``input`` whose images are resized: their new size; else nothing."""
    return {"image_size": entry["shape"][1]} if "resized_from" in entry else {}
