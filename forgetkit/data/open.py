"""Read a data set by its name."""

import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.cache import recall, remember, settled, user_folder
from forgetkit.data.dataset import Dataset, Split, fingerprint_of
from forgetkit.data.holdout import UNSEEN_SHARE, put_aside
from forgetkit.data.listing import Listing, Source, Stored, check_labels, malformed, no_permission
from forgetkit.data.pack import Origin, packed
from forgetkit.data.places import FORMS, locate
from forgetkit.data.readers.images import check_files
from forgetkit.data.row_digests import copied_rows, rows_of
from forgetkit.data.sources import call_reader
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.events import Tell, silent
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.id_digests import know
from forgetkit.files.lfs import refuse_pointer
from forgetkit.files.near_file import near_file
from forgetkit.registry import FAILURES, malformed_plugin, place_of


def default_root() -> Path:
    """Return the default folder of the data sets.

    It is ``FORGETKIT_DATA``, else one in the user's data folder, else the working folder.
    """
    if given := os.environ.get("FORGETKIT_DATA"):
        return Path(os.path.expanduser(given))
    return user_folder("XDG_DATA_HOME", ".local/share") or Path()


def open_dataset(
    name: str,
    root: Path,
    *,
    download: bool = False,
    unseen: float | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    image_size: int | None = None,
    tell: Tell = silent,
) -> Dataset:
    """Read the data set ``name`` below ``root``.

    The file of ``arrays:FILE``, ``table:FILE`` or ``folder:DIR`` is searched for in the folder that it names, else in
    ``root``, else in the working folder; the name of the data set does not contain the folder.

    Args:
        name: as for ``--dataset``.
        root: folder of the data sets.
        download: fetch the data set if it is missing.
        unseen: share to hold out if there is no test split; ``UNSEEN_SHARE`` if not given.
        columns: the names that a table has for ``id``, ``path``, ``label`` or ``split``, where they are others.
        image_size: height and width to which images in files are resized and cropped as they are read.
        tell: told the progress.

    Raises:
        ForgetkitError: ``dataset-unknown``, ``dataset-missing`` or ``dataset-malformed``; ``usage`` for ``unseen``
            where the data set has a test split, and for ``columns`` where it is no table.
    """
    source, note, place = find_source(
        name, root, download=download, unseen=unseen, columns=columns, image_size=image_size
    )
    dataset = _loaded(source, tell, note, place)
    _check_classes(dataset)
    remember({"seen": {dataset.fingerprint: note.root}})
    return dataset


@contextmanager
def _permitted() -> Iterator[None]:
    """Turn PermissionError into an error for the user."""
    try:
        yield
    except PermissionError as problem:
        raise no_permission(problem, "the data set") from problem


@_permitted()
def find_source(
    name: str,
    root: Path,
    *,
    download: bool = False,
    unseen: float | None = None,
    columns: Mapping[str, str] = MappingProxyType({}),
    image_size: int | None = None,
) -> tuple[Source, Origin, Path]:
    """Read a data set without images in files; return it, the description of its pack, and its place.

    Arguments and exceptions are those of :func:`open_dataset`.
    """
    reader, name, root, file = locate(name, root)
    given = {"columns": dict(columns) or None, "image_size": image_size}
    options: dict[str, object] = {key: value for key, value in given.items() if value is not None}

    def read() -> tuple[Source, list[Path]]:
        """Read the source; return it with all files that it depends on."""
        source = _read(partial(call_reader, reader, root / file, download=download, columns=columns), name, root, file)
        if source.test is None:
            options["unseen"] = share = UNSEEN_SHARE if unseen is None else unseen
            source = put_aside(source, share, str(root / file) if file else name)
        elif unseen is not None:
            raise ForgetkitError("usage", f"--unseen: {name} has a test split of its own", "leave the option out")
        source = source if image_size is None else source.at_size(image_size)
        unread = unread_of(source)
        if not isinstance(unread, Listing):
            return source, [*source.files]
        check_files(unread)
        return source, [*source.files, *(() if unread.embedded else unread.files)]

    settings = [value for value in given.values() if value is not None]
    source, found = settled(read)
    state = compact_json([name, len(source.train), found, *settings])
    key = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest() if found else ""
    return source, Origin(name, str(root.absolute()), options, key, []), root / (file or name)


def unread_of(source: Source) -> Listing | Stored | None:
    """Return the samples of both splits, training split first, if their images are still to be read, else None."""
    train, test = source.train, source.test
    if isinstance(train, Listing) and isinstance(test, Listing):
        return train + test
    return train + test if isinstance(train, Stored) and isinstance(test, Stored) else None


def _read(read: Callable[[], object], name: str, root: Path, file: str) -> Source:
    """Return what a reader reads; its exceptions become errors for the user."""
    if (root / file).is_file():
        refuse_pointer(root / file, code="dataset-malformed")
    try:
        source = read()
    except PermissionError as problem:
        raise no_permission(problem, root / (file or name)) from problem
    except FileNotFoundError as problem:
        kind = name.removesuffix(file)
        suffixes = [suffix for suffix, form in FORMS.items() if form == kind]
        if near := near_file(root / file, suffixes, [Path(), root]):
            hint = f"did you mean {kind}{near}?"
            raise ForgetkitError("dataset-missing", f"{name} is not in {root}", hint) from problem
        where = f"name its folder: --dataset {kind}FOLDER/{file}, or the folder of the data sets"
        fetch = f"fetch it with --dataset {name} --download, or name the folder of the data sets"
        hint = f"{where if file else fetch}: --data-root DIR or FORGETKIT_DATA"
        raise ForgetkitError("dataset-missing", f"{name} is not in {root}", hint) from problem
    except (OSError, ValueError, EOFError, zlib.error) as problem:
        raise ForgetkitError("dataset-malformed", f"{name} in {root} cannot be read: {problem}") from problem
    except FAILURES as problem:
        if (place := place_of(problem)) is None:  # a bug of forgetkit, not of a plugin
            raise
        raise malformed_plugin(
            "reader", name, f"{type(problem).__name__}: {problem} ({place})", "correct it"
        ) from problem
    if not isinstance(source, Source):
        found = type(source).__name__
        raise malformed_plugin("reader", name, f"it returned {found}, not a Source", "return Source(classes, train)")
    check_labels(source.classes, lambda _: name)
    return source


def _loaded(source: Source, tell: Tell, note: Origin, place: Path) -> Dataset:
    """Return the data set with images and fingerprint, both from the cache while the files are unchanged."""
    known = recall().get("fingerprints", {}).get(note.key, "") if note.key else ""
    unread = unread_of(source)
    images, fresh = packed(unread, place, note, tell) if unread else (None, False)
    train, test = _splits(source, images)
    dataset = Dataset(note.name, source.classes, train, test, known, options=note.options, root=place.parent)
    dataset = replace(dataset, attributes=source.attributes, test_attributes=source.test_attributes)
    dataset = replace(dataset, numbered=source.numbered)
    if fresh or not re.fullmatch("[0-9a-f]{64}", known):
        dataset = replace(dataset, fingerprint=fingerprint_of(dataset.classes, train, test))
    rows = rows_of(dataset)  # first: whoever knows the fingerprint relies on the rows in the cache
    know(train.ids, dataset.fingerprint, rows.ids[: len(train)])
    if note.key and dataset.fingerprint != known:
        remember({"fingerprints": {note.key: dataset.fingerprint}})
    if (rows.pixels == rows.pixels[0]).all():
        hint = "look at one of them; if pixels from 0 to 1 were saved as uint8, all are black: multiply by 255 first"
        raise malformed(place, f"all {len(rows.pixels)} images are equal", hint)
    return replace(dataset, copies=copied_rows(rows))


def _splits(source: Source, images: NDArray[np.uint8] | None) -> tuple[Split, Split]:
    """Return both splits as arrays; ``images`` are those that were still to be read, training split first."""
    first = 0
    splits = []
    for part in (source.train, source.test):
        if isinstance(part, Listing | Stored) and images is not None:
            part, first = Split(part.ids, images[first : first + len(part)], part.labels), first + len(part)
        if not isinstance(part, Split):
            raise TypeError("a source has two splits, two listings, or rows of one array")
        splits.append(part)
    return splits[0], splits[1]


def _check_classes(dataset: Dataset) -> None:
    """Refuse a label in the test split that no training sample has."""
    strange = np.flatnonzero(~np.isin(dataset.test.labels, dataset.train.labels))
    if len(strange):
        row = int(strange[0])
        message = f"no training sample is of the class '{shorten(dataset.classes[dataset.test.labels[row]])}'"
        hint = f"'{shorten(dataset.test.ids[row])}' of the test split is: remove it, or move some to the training split"
        raise malformed(dataset.name, message, hint)


def data_root(folder: str | None) -> Path:
    """Return the folder of the data sets: ``folder`` if given, else the default."""
    return Path(os.path.expanduser(folder)) if folder else default_root()
