"""``folder:DIR``: a data set as folders of images, one per class."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from forgetkit.data.listing import Listing, Source, check_ids, local, malformed, numbered_labels, portable
from forgetkit.data.readers.images import SUFFIXES

SPLITS = ("train", "test")
LITTER = {"Thumbs.db", "desktop.ini"}
"""Files that file managers leave; they are ignored, as hidden files are."""


def read_folder(root: Path) -> Source:
    """Return the data set in ``root``: images ``CLASS/…/IMAGE``, or the same below ``train`` and ``test``.

    An id is the path below ``root``, with ``/`` and in UTF-8 whatever the locale. Rows are sorted by id.

    Raises:
        FileNotFoundError: no such folder.
        ForgetkitError: ``dataset-malformed``; names the file or folder.
    """
    if root.exists() and not root.is_dir():
        raise malformed(root, "not a folder", f"for a table: --dataset table:{root.name}")
    tops = _folders(root)
    if tops == ["train"] or set(SPLITS) <= {*tops}:
        if others := [name for name in tops if name not in SPLITS]:
            hint = "move it into one of them, or elsewhere"
            raise malformed(root / others[0], "a folder beside train and test", hint)
        parts = [(name, _files(root / name)) for name in SPLITS if name in tops]
    else:
        parts = [("", _files(root))]
    ids = [[f"{part}/{name}" if part else name for name in names] for part, names in parts]
    places = [[str(root)] * len(names) for names in ids]
    check_ids([id_ for names in ids for id_ in names], [place for names in places for place in names].__getitem__)
    classes, labels = numbered_labels([name.partition("/")[0] for _, names in parts for name in names])
    if len(classes) < 2:
        raise malformed(root, f"all images are in one class folder, '{classes[0]}'", "a classifier needs two or more")
    ends = np.cumsum([len(names) for names in ids])[:-1]
    listings = [
        Listing(names, numbers, [root / local(name) for name in names], where, root)
        for names, numbers, where in zip(ids, np.split(labels, ends), places, strict=True)
    ]
    return Source(classes, listings[0], listings[1] if len(listings) > 1 else None, numbered=False)


def _files(root: Path) -> list[str]:
    """Return the images in the class folders of ``root``: sorted paths below it."""
    if stray := next((name for name in sorted(os.listdir(root)) if Path(name).suffix.lower() in SUFFIXES), None):
        raise malformed(root / stray, "an image outside the class folders", "move it into one, or elsewhere")
    found: list[str] = []
    for name in _folders(root):
        images = [portable(path.relative_to(root).as_posix()) for path in _below(root / name)]
        if not images:
            raise malformed(root / name, "a class folder without an image", "add images, or remove it")
        found += images
    if not found:
        raise malformed(root, "there is no class folder", "make a folder of images for each class")
    return sorted(found)


def _folders(root: Path) -> list[str]:
    """Return the names of the folders in ``root``, except hidden ones."""
    found = sorted(name for name in os.listdir(root) if (root / name).is_dir() and not name.startswith("."))
    for name in found:
        _check_no_link(root / name)
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder``, at any depth, except litter."""
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in folders:
            _check_no_link(Path(place, name))
        yield from (Path(place, name) for name in files if not name.startswith(".") and name not in LITTER)


def _check_no_link(folder: Path) -> None:
    if folder.is_symlink():
        raise malformed(folder, "a link to a folder", "links to folders are not followed: move the folder here")
