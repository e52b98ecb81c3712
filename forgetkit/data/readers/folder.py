"""``folder:DIR``: a data set as folders of images, one per class."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from forgetkit.data.listing import (
    TRAIN,
    UNSEEN,
    Listing,
    Source,
    check_ids,
    is_archive,
    local,
    malformed,
    numbered_labels,
    packed_away,
    portable,
)
from forgetkit.data.readers.images import SUFFIXES

SPLIT_LIKE = re.compile(
    rf"({'|'.join(sorted(TRAIN | UNSEEN, reverse=True))}|fold|split|part|set|subset|extra|holdout)s?(?![a-z])"
)
"""Beginnings of names that a folder of a split may have."""
WHOLE = [[""]]
"""The only split of a folder without folders of splits: the folder itself."""
LITTER = {"Thumbs.db", "desktop.ini"}
"""Files that file managers leave; they are ignored, as hidden files are."""


def read_folder(root: Path) -> Source:
    """Return the data set in ``root``: images ``CLASS/…/IMAGE``, or the same below folders of splits.

    A folder ``train`` or ``training`` is the training split; ``test``, ``val``, ``valid`` and the like are unseen, all
    together, in any case. An id is the path below ``root``, with ``/`` and in UTF-8 whatever the locale. Rows are
    sorted by id.

    Raises:
        FileNotFoundError: no such folder.
        PermissionError: it, or a folder in it, may not be read.
        ForgetkitError: ``dataset-malformed``; names the file or folder.
    """
    if root.exists() and not root.is_dir():
        if is_archive(root.name):
            raise packed_away(root)
        raise malformed(root, "not a folder", f"for a table: --dataset table:{root.name}")
    splits = _splits(root)
    ids = [sorted(id_ for top in tops for id_ in _images(root, top)) for tops in splits]
    every = [id_ for part in ids for id_ in part]
    check_ids(every, lambda _: str(root))
    classes, labels = numbered_labels([id_.split("/")[splits != WHOLE] for id_ in every])
    if len(classes) < 2:
        inner = _folders(root / classes[0]) if splits == WHOLE else []
        hint = f"are the classes one folder below? --dataset folder:{root / classes[0]}" if len(inner) > 1 else ""
        message = f"all images are in one class folder, '{classes[0]}'"
        raise malformed(root, message, hint or "a classifier needs two or more")
    listings = [
        Listing(names, numbers, [root / local(name) for name in names], [str(root)] * len(names), root)
        for names, numbers in zip(ids, np.split(labels, [len(ids[0])]), strict=False)
    ]
    return Source(classes, listings[0], listings[1] if len(listings) > 1 else None, numbered=False)


def _splits(root: Path) -> list[list[str]]:
    """Return the folders of the training split, and of the test split if there is one; ``""`` for ``root`` itself.

    Raises:
        ForgetkitError: ``dataset-malformed`` for folders that are neither splits nor classes.
    """
    tops = _folders(root)
    train, unseen = ([name for name in tops if name.lower() in known] for known in (TRAIN, UNSEEN))
    if not train or (not unseen and len(train) < len(tops)):
        _check_no_splits(root, tops)
        return WHOLE
    if others := [name for name in tops if name not in {*train, *unseen}]:
        hint = "move it into one of them, or elsewhere"
        raise malformed(root / others[0], f"a folder beside {' and '.join([*train, *unseen])}", hint)
    return [train, unseen] if unseen else [train]


def _check_no_splits(root: Path, tops: list[str]) -> None:
    """Refuse top folders that are called like splits and hold the same classes: a model would tell splits apart."""
    if len(tops) < 2 or not all(SPLIT_LIKE.match(name.lower()) for name in tops):
        return
    if len(shared := sorted(set.intersection(*({*_folders(root / name)} for name in tops)))) > 1:
        message = f"{', '.join(tops)} hold the same folders {shared[0]}, {shared[1]}, …: splits, or classes?"
        raise malformed(root, message, "name splits train and test; for classes, rename them")


def _images(root: Path, top: str) -> list[str]:
    """Return the paths below ``root``, with ``/``, of the images in the class folders of its folder ``top``."""
    folder = root / top
    names = sorted(os.listdir(folder))
    if stray := next((name for name in names if Path(name).suffix.lower() in SUFFIXES), None):
        raise malformed(folder / stray, "an image outside the class folders", "move it into one, or elsewhere")
    found: list[str] = []
    for name in _folders(folder):
        images = [portable(path.relative_to(root).as_posix()) for path in _below(folder / name)]
        if not images:
            raise malformed(folder / name, "a class folder without an image", "add images, or remove it")
        found += images
    if not found:
        if archive := next(filter(is_archive, names), None):
            raise packed_away(folder / archive)
        raise malformed(folder, "there is no class folder", "make a folder of images for each class")
    return found


def _folders(root: Path) -> list[str]:
    """Return the names of the folders in ``root``, except hidden ones."""
    found = sorted(name for name in os.listdir(root) if (root / name).is_dir() and not name.startswith("."))
    for name in found:
        _check_no_link(root / name)
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder``, at any depth, except litter."""
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            _check_no_link(Path(place, name))
        yield from (Path(place, name) for name in files if not name.startswith(".") and name not in LITTER)


def _raise(problem: OSError) -> None:
    raise problem


def _check_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise malformed(folder, "a link to a folder", "links to folders are not followed: move the folder here")
