"""What the reader of a data set returns: samples as arrays, or with images that are still to be read."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Split
from forgetkit.data.readers.embedded import Embedded
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_list import LONGEST_ID, UNFIT

Decode = Callable[[NDArray[np.int64]], Iterator[NDArray[np.uint8]]]
"""Yields the images of rows, uint8 of shape ``(channels, height, width)``."""
TRAIN = {"train", "training"}
UNSEEN = {"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation"}
"""Names of splits, in lower case."""
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")


@dataclass(frozen=True)
class Listing:
    """Samples whose images are files; they are decoded once, in parallel, and kept in the cache as a pack.

    Attributes:
        ids: one per row, unique.
        labels: int64 of shape ``(rows,)``, values in ``[0, classes)``.
        files: the image of each row.
        places: name of each row in messages: ``pets.csv:17``.
        root: folder that must contain all images; names in messages are relative to it.
        size: height and width of all images, once their shorter side is resized to it and the rest cropped from the
            middle; None for images that have one size already.
        embedded: the column of a table that holds the images, for whose rows the files stand; None for real files.
    """

    ids: Sequence[str]
    labels: NDArray[np.int64]
    files: Sequence[Path]
    places: Sequence[str]
    root: Path
    size: int | None = None
    embedded: Embedded | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rows: NDArray[np.int64]) -> "Listing":
        """Return the samples in ``rows``."""
        at = rows.tolist()
        ids, places = ([column[row] for row in at] for column in (self.ids, self.places))
        files = [self.files[row] for row in at]
        return replace(self, ids=ids, labels=self.labels[rows], files=files, places=places)

    def __add__(self, other: "Listing") -> "Listing":
        labels = np.concatenate([self.labels, other.labels])
        ids, places = [*self.ids, *other.ids], [*self.places, *other.places]
        return replace(self, ids=ids, labels=labels, files=[*self.files, *other.files], places=places)


@dataclass(frozen=True)
class Stored:
    """Samples whose images stand in one large file, such as an ``.npz``, and are kept in the cache as a pack.

    Attributes:
        ids: one per row, unique.
        labels: int64 of shape ``(rows,)``, values in ``[0, classes)``.
        rows: row of each image in the file, int64 of shape ``(rows,)``.
        shape: channels, height and width of an image.
        decode: yields the images of rows of the file; raises ForgetkitError.
    """

    ids: Sequence[str]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    shape: tuple[int, int, int]
    decode: Decode

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rows: NDArray[np.int64]) -> "Stored":
        """Return the samples in ``rows``."""
        ids = [self.ids[row] for row in rows.tolist()]
        return replace(self, ids=ids, labels=self.labels[rows], rows=self.rows[rows])

    def __add__(self, other: "Stored") -> "Stored":
        labels, rows = (np.concatenate(pair) for pair in ((self.labels, other.labels), (self.rows, other.rows)))
        return replace(self, ids=[*self.ids, *other.ids], labels=labels, rows=rows)


@dataclass(frozen=True)
class Source:
    """A data set as its files hold it.

    Attributes:
        classes: names, in the order of the labels.
        train: the training split; the whole data set if ``test`` is None.
        test: the test split; None if a share of ``train`` is to be held out by a hash of the id.
        files: the files that were read, except the images of a listing; while they are unchanged, the cached
            fingerprint is valid.
        attributes: further columns of ``train`` by name, one value per row.
        test_attributes: the same of ``test``.
        groups: a name for each row of ``train``; samples of one group are held out together.
        numbered: whether the ids are row numbers, so that removing a row renames others.
    """

    classes: tuple[str, ...]
    train: Split | Listing | Stored
    test: Split | Listing | Stored | None = None
    files: Sequence[Path] = field(default_factory=tuple)
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    test_attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    groups: Sequence[str] | None = None
    numbered: bool = True

    def divided(self, unseen: NDArray[np.bool_]) -> "Source":
        """Return the source with the ``unseen`` rows of ``train``, bool of shape ``(rows,)``, as its test split."""
        (kept, of_train), (aside, of_test) = self._part(~unseen), self._part(unseen)
        return replace(self, train=kept, test=aside, attributes=of_train, test_attributes=of_test, groups=None)

    def _part(self, wanted: NDArray[np.bool_]) -> tuple[Split | Listing | Stored, dict[str, list[str]]]:
        """Return the ``wanted`` rows of ``train``, and their attributes."""
        rows = np.flatnonzero(wanted)
        attributes = {name: [values[row] for row in rows.tolist()] for name, values in self.attributes.items()}
        return self.train.at(rows), attributes

    def at_size(self, size: int) -> "Source":
        """Return the source with all images in files resized and cropped to ``size``; see :class:`Listing`."""
        train = replace(self.train, size=size) if isinstance(self.train, Listing) else self.train
        test = replace(self.test, size=size) if isinstance(self.test, Listing) else self.test
        return replace(self, train=train, test=test)


class SizesDiffer(ForgetkitError):
    """Images in files have different sizes, and none to resize them to was given."""


def malformed(place: object, message: str, hint: str) -> ForgetkitError:
    """Return the error for malformed data: where, what, and what to do."""
    return ForgetkitError("dataset-malformed", f"{place}: {message}", hint)


def is_archive(name: str) -> bool:
    """Say whether a file is an archive by its name."""
    return name.lower().endswith(ARCHIVES)


def packed_away(path: Path) -> ForgetkitError:
    """Return the error for an archive where a folder of images, or a table, is to be."""
    ending = next(filter(path.name.lower().endswith, ARCHIVES))
    file, folder = (shlex.quote(str(name)) for name in (path, path.with_name(path.name[: -len(ending)])))
    known = {
        ".zip": f"unzip {file} -d {folder}",
        ".7z": f"7z x {file} -o{folder}",
        ".rar": f"unrar x {file} {folder}/",
    }
    command = known.get(ending, f"mkdir {folder} && tar -xf {file} -C {folder}")
    return malformed(path, "an archive, not a folder of images", f"unpack it: {command}")


def no_permission(problem: PermissionError, place: object) -> ForgetkitError:
    """Return the error for a file or folder that exists, but may not be read."""
    name = problem.filename or place
    hint = f"let this user read it, for example: chmod -R u+rX {name}"
    return malformed(name, "no permission to read it", hint)


def check_ids(ids: list[str], place: Callable[[int], str]) -> None:
    """Refuse ids that no ID list can hold, and repeated ids.

    Args:
        ids: one per row.
        place: returns the name of a row, counted from 0, in messages.

    Raises:
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    if _plain(ids):
        return
    for row, id_ in enumerate(ids):
        if not id_ or id_ != id_.strip() or len(id_) > LONGEST_ID or UNFIT.search(id_):
            hint = f"an id is a line of an ID list: 1 to {LONGEST_ID} characters (UTF-8), no line feed or outer spaces"
            raise malformed(place(row), f"'{shorten(id_)}' cannot be an id", hint)
        if id_.startswith("#"):
            hint = "in an ID list, # begins a comment: rename it"
            raise malformed(place(row), f"'{shorten(id_)}' cannot be an id", hint)
    if len(set(ids)) < len(ids):
        (twice, _), *_ = Counter(ids).most_common(1)
        first, second, *_ = (place(row) for row, id_ in enumerate(ids) if id_ == twice)
        hint = "give each sample its own id"
        raise malformed(second, f"the id '{shorten(twice)}' is in {first} too", hint)


def _plain(ids: list[str]) -> bool:
    """Say whether ids are surely right; this quick check takes 0.4 s for a million ids."""
    printable = "".join(ids).isprintable() and "\n#" not in "\n".join(["", *ids])
    fit = printable and "" not in ids and [id_.strip() for id_ in ids] == ids and len(set(ids)) == len(ids)
    return fit and max(map(len, ids), default=0) <= LONGEST_ID


def check_labels(names: Sequence[str], place: Callable[[int], str]) -> None:
    """Refuse names of classes that are no line of text; arguments and exceptions are those of :func:`check_ids`."""
    if unfit := next((name for name in dict.fromkeys(names) if UNFIT.search(name)), None):
        hint = "the name of a class is one line of text, without control characters"
        raise malformed(place(names.index(unfit)), f"'{shorten(unfit)}' cannot be the name of a class", hint)


def numbered_labels(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the sorted classes (whole numbers by value), and the label of each row, int64 of shape ``(rows,)``."""
    found = set(names)
    whole = all(name.isascii() and name.isdecimal() and len(name) < 19 for name in found)
    classes = sorted(found, key=lambda name: (int(name) if whole else 0, name))
    index = {name: row for row, name in enumerate(classes)}
    return tuple(classes), np.array([index[name] for name in names], dtype=np.int64)


def local(name: str) -> str:
    """Return a path that is text, as an id or in a table, as the system has it, whatever the locale."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def portable(path: str) -> str:
    """Return a path of the system as text, whatever the locale; bytes that are not UTF-8 become surrogates."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")
