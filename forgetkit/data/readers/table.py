"""``table:FILE.csv`` and ``table:FILE.parquet``: a data set as a table with one row per sample."""

import os
import stat
from collections.abc import Iterable, Mapping
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Split, row_numbers
from forgetkit.data.listing import (
    TRAIN,
    UNSEEN,
    Listing,
    Source,
    check_ids,
    check_labels,
    is_archive,
    local,
    malformed,
    numbered_labels,
    packed_away,
)
from forgetkit.data.readers.embedded import Embedded, image_columns
from forgetkit.errors import ForgetkitError, nearest, shorten
from forgetkit.files.columns import LARGEST_TABLE, Columns, Form, read_columns
from forgetkit.options import choice

OWN = ("id", "path", "label", "split")
"""Columns with a meaning; all others are attributes."""


def columns_of(texts: Iterable[str] | None) -> dict[str, str]:
    """Return the columns that a table has instead of those of :data:`OWN`, from texts as ``label=class``.

    Raises:
        ForgetkitError: ``usage``.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        column, equals, name = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise ForgetkitError("usage", f"'{text}' is not COLUMN=NAME", "as in label=class", option="column")
        if choice("column", column, OWN) in found:
            raise ForgetkitError("usage", f"'{column}' is given twice", "name one column for it", option="column")
        found[column] = name
    return found


def read_table(path: Path, names: Mapping[str, str]) -> Source:
    """Return the data set in a table: images that ``path`` names, relative to the table, or pixels in ``pixel0``, ….

    A parquet file may also have a column of encoded images; its rows then need no id but their number from 0.
    ``id`` is unique, ``label`` a name or a number. ``split``, ``train`` or ``test``, is optional. All other columns are
    attributes. ``names`` has the names of these columns in the table where they are others.

    Raises:
        FileNotFoundError: no such table.
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    columns = dataset_columns(path)
    own = {column: names.get(column, column) for column in OWN}
    embedded = _embedded(columns, own, path)
    _check_columns(columns, own, names, embedded=embedded is not None)
    numbered = own["id"] not in columns.header
    ids = row_numbers(len(columns.lines)) if numbered else columns.filled(own["id"])
    check_ids(ids, columns.place)
    check_labels(labels := columns.filled(own["label"]), columns.place)
    classes, numbers = numbered_labels(labels)
    if len(classes) < 2:
        raise malformed(path, f"all rows are of one class, '{shorten(classes[0])}'", "a classifier needs two or more")
    samples: Listing | Split
    if columns.pixels is None:
        places = [columns.place(row) for row in range(len(ids))]
        rows = range(len(ids))
        files = list(map(embedded.file, rows)) if embedded else _files(columns, own["path"], path.parent)
        samples = Listing(ids, numbers, files, places, path.parent, embedded=embedded)
    else:
        samples = Split(ids, _images(columns.pixels, path), numbers)
    unseen = _unseen(columns, own["split"])
    attributes = {name: values for name, values in columns.texts.items() if name not in own.values()}
    source = Source(classes, samples, files=[path], attributes=attributes, numbered=numbered)
    return source if unseen is None else source.divided(unseen)


def dataset_columns(path: Path) -> Columns:
    """Read the table of a data set; raises as :func:`read_table`."""
    state = path.stat()
    hint = "a table is a .csv or .parquet file; for folders of images: --dataset folder:DIR"
    if is_archive(path.name):
        raise packed_away(path)
    if path.suffix.lower() not in {".csv", ".parquet"}:
        raise malformed(path, "not a table by its name", hint)
    if not stat.S_ISREG(state.st_mode):
        raise malformed(path, "not a regular file", hint)
    if state.st_size > LARGEST_TABLE:
        raise malformed(path, f"has more than {LARGEST_TABLE >> 20:,} MiB", "save the pixels as image files")
    held, texts = image_columns(path)
    with path.open("rb") as stream:
        only = texts if held else None
        columns = read_columns(Form(str(path), "dataset-malformed", only, pixels=True), stream)
    if not columns.lines:
        raise malformed(path, "holds no rows", "a table has a header, then one row per sample")
    return columns


def _embedded(columns: Columns, own: Mapping[str, str], path: Path) -> Embedded | None:
    """Return the column of encoded images, if there is one; ``path`` may name it, else it must be the only one."""
    held, _ = image_columns(path)
    if own["path"] in held:
        return Embedded(path, own["path"])
    if held and (columns.pixels is not None or own["path"] in columns.header):
        message = f"'{shorten(held[0])}' holds images, and there are pixels, or a column '{own['path']}', too"
        raise columns.form.malformed(0, message, "remove one of them")
    if len(held) > 1:
        first, second = map(shorten, held[:2])
        raise columns.form.malformed(0, f"'{first}' and '{second}' hold images", f"choose: --column path={first}")
    return Embedded(path, held[0]) if held else None


def _check_columns(columns: Columns, own: Mapping[str, str], names: Mapping[str, str], *, embedded: bool) -> None:
    """Refuse a table without the columns of a data set, or with two kinds of images."""
    wanted = [column for column in OWN if column in {"label", *(() if embedded else ("id",)), *names}]
    if columns.pixels is None and not embedded and "path" not in wanted:
        wanted.append("path")
    missing = [column for column in wanted if own[column] not in columns.header]
    free = [name for name in columns.header if name not in own.values()]
    flags = " ".join(f"--column {column}={nearest(own[column], free) or 'NAME'}" for column in missing)
    columns.need([own[column] for column in wanted], f"rename them, or say which they are: {flags}")
    if columns.pixels is not None and own["path"] in columns.header:
        message = f"there are both a column '{own['path']}' and pixel columns"
        raise columns.form.malformed(0, message, "remove one of them")


def _files(columns: Columns, column: str, folder: Path) -> list[Path]:
    """Return the image file of each row; whether it exists is checked later."""
    names = columns.filled(column)
    for row, name in enumerate(names):
        if os.path.isabs(name):
            hint = "name images relative to the table"
            raise malformed(columns.place(row), f"'{shorten(name)}' is an absolute path", hint)
        if not name.isprintable():
            raise malformed(columns.place(row), f"'{shorten(name)}' is no path", "name an image file")
    return [folder / local(name) for name in names]


def _images(pixels: NDArray[np.uint8], path: Path) -> NDArray[np.uint8]:
    """Return square images, grey or with red, green and blue for each pixel, as ``(rows, channels, side, side)``."""
    rows, count = pixels.shape
    side = isqrt(count)
    if side * side == count:
        return pixels.reshape(rows, 1, side, side)
    side = isqrt(count // 3)
    if 3 * side * side == count:
        return np.ascontiguousarray(pixels.reshape(rows, side, side, 3).transpose(0, 3, 1, 2))
    hint = "name image files in 'path', or save arrays: --dataset arrays:FILE.npz"
    raise malformed(f"{path}:1", f"{count} pixel columns are no square image, grey or in three colours", hint)


def _unseen(columns: Columns, column: str) -> NDArray[np.bool_] | None:
    """Say which rows are of the test split, bool of shape ``(rows,)``; None where the table does not say."""
    if column not in columns.texts:
        return None
    values = columns.texts[column]
    for row, value in enumerate(values):
        if value.lower() not in TRAIN | UNSEEN:
            hint = "write train or test in every row, or remove the column to hold out a share"
            raise malformed(columns.place(row), f"the split '{shorten(value)}' is neither train nor test", hint)
    unseen = np.array([value.lower() in UNSEEN for value in values])
    if unseen.all() or not unseen.any():
        empty, hint = ("train", "mark some") if unseen.all() else ("test", "mark some, or remove the column 'split'")
        raise malformed(columns.form.name, f"no row has the split '{empty}'", hint)
    return unseen
