"""Find the data set that a checkpoint was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from forgetkit.data.cache import recall
from forgetkit.data.dataset import Dataset
from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell, silent


def find_dataset(
    name: str,
    fingerprint: str,
    roots: list[Path],
    *,
    download: bool = False,
    options: Mapping[str, Any] = MappingProxyType({}),
    classes: Sequence[str] = (),
    tell: Tell = silent,
) -> Dataset:
    """Find the data set with this ``fingerprint`` in one of ``roots``, or where it was last seen.

    Args:
        name: as for ``--dataset``.
        fingerprint: of the data set.
        roots: folders to search.
        download: fetch the data set into the first of them if it is missing.
        options: settings needed to read the data set, as its record has them.
        classes: of the model, in order; the labels of the data set are numbered by them.
        tell: told the progress.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` if only another data set of that name was found, else what
            :func:`open_dataset` raises for the first root.
    """
    seen = recall().get("seen", {}).get(fingerprint)
    first: ForgetkitError | None = None
    other: Dataset | None = None
    for root in dict.fromkeys([*roots, *([Path(seen)] if seen else [])]):
        try:
            fetch = download and root == roots[0]
            dataset = open_dataset(name, root, download=fetch, **settings_of(options), tell=tell)
        except ForgetkitError as problem:
            first = first or problem
            continue
        if dataset.fingerprint == fingerprint:
            if other is not None:
                tell(Note(f"  {other.name} in {other.root} is a different data set; this model's is read from {root}"))
            return with_classes(dataset, classes)
        other = other or dataset
    if other is not None or first is None:
        found = f"{other.name} in {other.root}" if other else name
        message = f"{found} is not the data set that the checkpoint was trained on (its fingerprint differs)"
        hint = "name the folder of the right one: --data-root DIR"
        if other is not None and not other.numbered:
            hint += "; or, if forgotten rows were removed from it: --dataset-changed"
        raise ForgetkitError("checkpoint-mismatch", message, hint)
    raise first


def settings_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which :func:`open_dataset` reads a data set as its record says."""
    return {key: options[key] for key in ("unseen", "columns", "image_size") if key in options}


def with_classes(dataset: Dataset, classes: Sequence[str]) -> Dataset:
    """Return the data set with its labels numbered by ``classes``, if these contain all of its classes; else as it is.

    A class whose samples were all removed from the files is still a class of the model.
    """
    if tuple(classes) == dataset.classes or not set(dataset.classes) <= set(classes):
        return dataset
    index = np.array([list(classes).index(name) for name in dataset.classes], dtype=np.int64)
    train, test = (replace(split, labels=index[split.labels]) for split in (dataset.train, dataset.test))
    return replace(dataset, classes=tuple(classes), train=train, test=test)
