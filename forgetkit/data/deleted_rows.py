"""Data sets from which rows were removed after a model was trained on them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from forgetkit.data.cache import recall
from forgetkit.data.dataset import Dataset
from forgetkit.data.find import settings_of, with_classes
from forgetkit.data.open import open_dataset
from forgetkit.data.row_digests import Rows, copied_rows, id_digests, known_rows, rows_of
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.events import Note, Tell, Warned
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record


def find_changed(name: str, record: Record, roots: list[Path], *, options: Mapping[str, Any], tell: Tell) -> Dataset:
    """Return the rest of the data set of ``record``, from the first of ``roots`` that has one of its name.

    ``options`` are the settings needed to read it.

    Raises:
        ForgetkitError: as :func:`forgetkit.data.open.open_dataset` for the first root, and :func:`accept_changed`.
    """
    seen = recall().get("seen", {}).get(record.dataset["fingerprint"])
    places = list(dict.fromkeys([*roots, *([Path(seen)] if seen else [])]))
    missing = []
    for root in places:
        try:
            dataset = open_dataset(name, root, **settings_of(options), tell=tell)
        except ForgetkitError as problem:
            if problem.code != "dataset-missing":
                raise
            missing.append(problem)
        else:
            return accept_changed(dataset, record, tell)
    raise missing[0]


def accept_changed(dataset: Dataset, record: Record, tell: Tell) -> Dataset:
    """Return the rest of the recorded data set, and tell which ids are gone.

    Every id must be known: from the record, or from the cache, which also knows labels, images and splits.

    Raises:
        ForgetkitError: ``usage`` where ids are row numbers, or the model has canaries; ``checkpoint-mismatch`` for an
            unknown id, a changed row, another class or image size, or where neither record nor cache knows the ids.
    """
    if dataset.numbered:
        message = f"--dataset-changed: the ids of {dataset.name} are row numbers, which change when a row is removed"
        raise ForgetkitError("usage", message, "keep the rows, or train again on data with an id column")
    if "canaries" in record.recipe:
        message = "--dataset-changed does not go with canaries: the record commits to them in the unchanged data"
        raise ForgetkitError("usage", message, "keep the rows, or train again: forgetkit train --like")
    if strange := sorted(set(dataset.classes) - set(record.classes)):
        raise _mismatch(dataset, f"the model has no class '{shorten(strange[0])}'")
    if list(dataset.shape) != record.data_shape:
        raise _mismatch(dataset, "the images have another shape")
    dataset = with_classes(dataset, record.classes)
    before = known_rows(record.dataset["fingerprint"])
    if before is not None:
        _compare(dataset, before, record.dataset["fingerprint"])
        dataset = replace(dataset, copies=copied_rows(rows_of(dataset), trained=before))
    elif record.trained is None:
        raise _mismatch(dataset, "neither the record nor the cache says which ids it had")
    else:
        _check_known(dataset, record)
        tell(
            Note("  the cache does not know the data before the change: only ids were compared, not labels and images")
        )
    _tell(dataset, record, tell)
    return dataset


def same_data(record: Record, other: Record) -> bool:
    """Say whether two models know the same data, as they are or as they were at the first training."""
    salts = {record.forgotten.salt, record.dataset["fingerprint"]}
    return not salts.isdisjoint({other.forgotten.salt, other.dataset["fingerprint"]})


def check_same_data(path: Path, record: Record, other: Record, role: str) -> None:
    """Refuse the model at ``path`` beside one with the record ``other`` if both do not see the same images.

    Args:
        path: of the model.
        record: its own.
        other: of the model that the command is about.
        role: what the model at ``path`` is to the other one.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` for other data, or another image size.
    """
    if not same_data(record, other):
        raise ForgetkitError("checkpoint-mismatch", f"{path}: the {role} was trained on another data set")
    if record.input["shape"] != other.input["shape"]:
        own, its = ("×".join(map(str, one.input["shape"])) for one in (record, other))
        message = f"{path}: the {role} sees {own} images, the model {its} images"
        raise ForgetkitError("checkpoint-mismatch", message, "both must be trained with the same --image-size")


def on_data(record: Record, dataset: Dataset) -> Record:
    """Return the record of a model whose data are ``dataset`` from now on; the salt of its ids stays.

    For a model that was trained on the whole split, the record from now on lists which ids those were.
    """
    if dataset.fingerprint == record.dataset["fingerprint"]:
        return record
    trained = record.trained
    if trained is None:
        trained = KeySet.of(dataset.train.ids, record.forgotten.salt) | record.forgotten
    return replace(record, trained=trained, dataset={**record.dataset, "fingerprint": dataset.fingerprint})


def _compare(dataset: Dataset, before: Rows, fingerprint: str) -> None:
    """Refuse a row that is new or has changed."""
    ids = [*dataset.train.ids, *dataset.test.ids]
    keys, now = id_digests(ids, fingerprint), rows_of(dataset)
    labels = np.concatenate([dataset.train.labels, dataset.test.labels]).astype(np.uint64)
    order = np.argsort(before.ids)
    at = order[np.minimum(np.searchsorted(before.ids, keys, sorter=order), len(order) - 1)]
    for held, why in (
        (before.ids[at] == keys, "was not in the data before"),
        (before.unseen[at] == now.unseen, "was in the other split"),
        (before.labels[at] == labels, "had another label"),
        (before.pixels[at] == now.pixels, "had another image"),
    ):
        if not held.all():
            more = f" ({int((~held).sum())} in all)" if (~held).sum() > 1 else ""
            raise _mismatch(dataset, f"'{shorten(ids[int(np.argmin(held))])}' {why}{more}")


def _check_known(dataset: Dataset, record: Record) -> None:
    """Refuse more unknown ids than the data had untrained ones."""
    known = record.was_trained(dataset.train.ids) | record.forgotten.contains(dataset.train.ids)
    trained = 0 if record.trained is None else len(record.trained)
    if (~known).sum() > max(0, record.dataset["size"] - trained):
        strange = dataset.train.ids[int(np.argmin(known))]
        raise _mismatch(dataset, f"'{shorten(strange)}' was not in the data before")


def _tell(dataset: Dataset, record: Record, tell: Tell) -> None:
    """Tell how many forgotten ids are gone, and warn of those that the model was trained on and did not forget."""
    here = record.forgotten.contains(dataset.train.ids)
    gone = len(record.forgotten) - int(here.sum())
    tell(Note(f"  {gone} of {len(record.forgotten)} forgotten ids are no longer in the data"))
    left = int(record.retains(dataset.train.ids).sum())
    if missing := record.retained - left:
        text = f"{missing} ids that the model did not forget are no longer in the data, so it can no longer forget them"
        tell(Warned("ids-gone", text))


def _mismatch(dataset: Dataset, why: str) -> ForgetkitError:
    message = f"{dataset.name} in {dataset.root} is not the rest of the data that the checkpoint was trained on: {why}"
    return ForgetkitError("checkpoint-mismatch", message, "only remove rows; leave everything else unchanged")
