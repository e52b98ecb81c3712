"""``table:FILE.csv`` and ``table:FILE.parquet``: a data set as a table with one row per sample."""

import os
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.dataset import Split
from forgetkit.data.listing import Listing, Source, check_ids, malformed, numbered_labels
from forgetkit.data.readers.columns import Columns, read_columns
from forgetkit.errors import shorten

OWN = ("id", "path", "label", "split")
"""Columns with a meaning; all others are attributes."""


def read_table(path: Path) -> Source:
    """Return the data set in a table: images that ``path`` names, relative to the table, or pixels in ``pixel0``, ….

    ``id`` is unique, ``label`` a name or a number. ``split``, ``train`` or ``test``, is optional. All other columns are
    attributes.

    Raises:
        FileNotFoundError: no such table.
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    columns = read_columns(path)
    ids, labels = columns.need("id"), columns.need("label")
    check_ids(ids, columns.places.__getitem__)
    classes, numbers = numbered_labels(labels)
    if len(classes) < 2:
        raise malformed(path, f"all rows are of one class, '{shorten(classes[0])}'", "a classifier needs two or more")
    samples: Listing | Split
    if columns.pixels is None:
        samples = Listing(ids, numbers, _files(columns), columns.places, path.parent)
    elif "path" in columns.texts:
        raise malformed(f"{path}:1", "there are both a column 'path' and pixel columns", "remove one of them")
    else:
        samples = Split(ids, _images(columns.pixels, path), numbers)
    unseen = _unseen(columns)
    attributes = {name: values for name, values in columns.texts.items() if name not in OWN}
    source = Source(classes, samples, files=[path], attributes=attributes, numbered=False)
    return source if unseen is None else source.divided(unseen)


def _files(columns: Columns) -> list[Path]:
    """Return the image file of each row; whether it exists is checked later."""
    folder = columns.path.parent
    names = columns.need("path")
    for name, place in zip(names, columns.places, strict=True):
        if os.path.isabs(name):
            raise malformed(place, f"'{shorten(name)}' is an absolute path", "name images relative to the table")
        if not name.isprintable():
            raise malformed(place, f"'{shorten(name)}' is no path", "name an image file")
    return [folder / name for name in names]


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


def _unseen(columns: Columns) -> NDArray[np.bool_] | None:
    """Say which rows are of the test split, bool of shape ``(rows,)``; None where the table does not say."""
    if "split" not in columns.texts:
        return None
    values = columns.texts["split"]
    for value, place in zip(values, columns.places, strict=True):
        if value not in {"train", "test"}:
            hint = "write train or test in every row, or remove the column to hold out a share"
            raise malformed(place, f"the split '{shorten(value)}' is neither train nor test", hint)
    unseen = np.array([value == "test" for value in values])
    if unseen.all() or not unseen.any():
        empty, hint = ("train", "mark some") if unseen.all() else ("test", "mark some, or remove the column 'split'")
        raise malformed(columns.path, f"no row has the split '{empty}'", hint)
    return unseen
