"""Data from which rows were taken out after a model was trained on them: is the rest what it was?"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from forgetkit.data.cache import recall
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset, with_classes
from forgetkit.data.row_digests import Rows, id_digests, known_rows, rows_of
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.events import Note, Tell, Warned
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record


def find_changed(name: str, record: Record, roots: list[Path], *, unseen: float | None, tell: Tell) -> Dataset:
    """Return what is left of the data set of ``record``: in the first of ``roots`` that has one of its name.

    Raises:
        ForgetkitError: as :func:`forgetkit.data.open.open_dataset` for the first one, and :func:`accept_changed`.
    """
    seen = recall().get("seen", {}).get(record.dataset["fingerprint"])
    places = list(dict.fromkeys([*roots, *([Path(seen)] if seen else [])]))
    missing = []
    for root in places:
        try:
            dataset = open_dataset(name, root, unseen=unseen, tell=tell)
        except ForgetkitError as problem:
            if problem.code != "dataset-missing":
                raise
            missing.append(problem)
        else:
            return accept_changed(dataset, record, tell)
    raise missing[0]


def accept_changed(dataset: Dataset, record: Record, tell: Tell) -> Dataset:
    """Return the data set that is left of the recorded one, and say what is gone.

    Every id must be known: by the record, or by what the cache remembers of the data as they were. With the latter,
    labels, images and splits are compared, too.

    Raises:
        ForgetkitError: ``usage`` where ids are row numbers, or the model has canaries; ``checkpoint-mismatch`` for
            an unknown id, a row that is not as it was, another class or image size, or where nothing can be told.
    """
    if dataset.numbered:
        message = f"--dataset-changed: the ids of {dataset.name} are row numbers, which change when a row goes"
        raise ForgetkitError("usage", message, "keep the rows, or train again on data with ids of their own")
    if "canaries" in record.recipe:
        message = "--dataset-changed does not go with canaries: the record commits to them in the data as they were"
        raise ForgetkitError("usage", message, "keep the rows, or train again: forgetkit train --like")
    if strange := sorted(set(dataset.classes) - set(record.classes)):
        raise _mismatch(dataset, f"the class '{shorten(strange[0])}' is not one of the model's")
    if list(dataset.shape) != record.input["shape"]:
        raise _mismatch(dataset, "the images have another shape")
    dataset = with_classes(dataset, record.classes)
    before = known_rows(record.dataset["fingerprint"])
    if before is not None:
        _compare(dataset, before, record.dataset["fingerprint"])
    elif record.trained is None:
        raise _mismatch(dataset, "neither record nor cache say which ids it had")
    else:
        _check_known(dataset, record)
        tell(Note("  nothing is remembered of the data as they were: ids were compared, labels and images not"))
    _tell(dataset, record, tell)
    return dataset


def same_data(record: Record, other: Record) -> bool:
    """Say whether two models know the same data: as they are, or as they were at their first training."""
    salts = {record.forgotten.salt, record.dataset["fingerprint"]}
    return not salts.isdisjoint({other.forgotten.salt, other.dataset["fingerprint"]})


def on_data(record: Record, dataset: Dataset) -> Record:
    """Return the record of a model whose data are now ``dataset``: other data, the same salt of ids.

    Where it was trained on the whole split, it says from now on which ids that were.
    """
    if dataset.fingerprint == record.dataset["fingerprint"]:
        return record
    trained = record.trained
    if trained is None:
        trained = KeySet.of(dataset.train.ids, record.forgotten.salt) | record.forgotten
    return replace(record, trained=trained, dataset={**record.dataset, "fingerprint": dataset.fingerprint})


def _compare(dataset: Dataset, before: Rows, fingerprint: str) -> None:
    """Refuse a row that was not there, or was another one."""
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
    """Refuse more unknown ids than the data had beside the trained ones."""
    known = record.was_trained(dataset.train.ids) | record.forgotten.contains(dataset.train.ids)
    trained = 0 if record.trained is None else len(record.trained)
    if (~known).sum() > max(0, record.dataset["size"] - trained):
        strange = dataset.train.ids[int(np.argmin(known))]
        raise _mismatch(dataset, f"'{shorten(strange)}' was not in the data before")


def _tell(dataset: Dataset, record: Record, tell: Tell) -> None:
    """Say how many samples are gone, and warn of those that the model still knows."""
    here = record.forgotten.contains(dataset.train.ids)
    gone = len(record.forgotten) - int(here.sum())
    tell(Note(f"  {gone} of {len(record.forgotten)} forgotten ids are no longer in the data"))
    left = int(record.retains(dataset.train.ids).sum())
    if missing := record.retained - left:
        text = f"{missing} ids that are not forgotten are no longer in the data: the model cannot forget them any more"
        tell(Warned("ids-gone", text))


def _mismatch(dataset: Dataset, why: str) -> ForgetkitError:
    message = f"{dataset.name} in {dataset.root} is not what is left of the data that the checkpoint knows: {why}"
    return ForgetkitError("checkpoint-mismatch", message, "only take rows out; everything else stays as it was")
