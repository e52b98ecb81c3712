"""Tables, CSV or parquet, as columns of text; each row has a name for messages."""

import csv
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.listing import malformed
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.id_formats import MOST_ROWS
from forgetkit.registry import did_you_mean

LARGEST_TABLE = 1 << 31
"""Most bytes that a table may have."""

_PIXEL = re.compile(r"pixel_?(\d{1,8})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        path: of the file.
        texts: the values of each column except pixels, one per row, without outer spaces; empty where there is none.
        pixels: of the columns ``pixel0``, ``pixel1``, …, uint8 of shape ``(rows, pixels)``; None without such columns.
        places: name of each row in messages: ``pets.csv:17``, ``pets.parquet row 16``.
    """

    path: Path
    texts: Mapping[str, list[str]]
    pixels: NDArray[np.uint8] | None
    places: list[str]

    def need(self, name: str, *, filled: bool = True) -> list[str]:
        """Return a column that must exist, and with ``filled`` have a value in every row.

        Raises:
            ForgetkitError: ``dataset-malformed``; names the existing columns, or the row.
        """
        if name not in self.texts:
            hint = did_you_mean(name, self.texts).replace("known:", "its columns:")
            raise malformed(f"{self.path}:1", f"there is no column '{name}'", f"{hint}; rename it, or add one")
        values = self.texts[name]
        empty = next((place for value, place in zip(values, self.places, strict=True) if not value), None)
        if filled and empty is not None:
            raise malformed(empty, f"'{name}' is empty", "fill it in, or remove the row")
        return values


def read_columns(path: Path) -> Columns:
    """Read a ``.csv`` or ``.parquet`` file.

    Raises:
        FileNotFoundError: no such file.
        ForgetkitError: ``dataset-malformed``; names the row. ``missing-extra`` for parquet without pyarrow.
    """
    state = path.stat()
    readers: dict[str, Callable[[Path], Columns]] = {".csv": _csv, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        hint = "a table is a .csv or .parquet file; for folders of images: --dataset folder:DIR"
        raise malformed(path, "not a table by its name", hint)
    if not stat.S_ISREG(state.st_mode):
        raise malformed(path, "not a regular file", "for folders of images: --dataset folder:DIR")
    if state.st_size > LARGEST_TABLE:
        raise malformed(path, f"has more than {LARGEST_TABLE >> 20:,} MiB", "save the pixels as image files")
    columns = readers[path.suffix.lower()](path)
    if not columns.places:
        raise malformed(path, "holds no rows", "a table has a header, then one row per sample")
    return columns


def _csv(path: Path) -> Columns:
    """Read a CSV file: UTF-8, a comma between fields; a byte order mark and CRLF are tolerated."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = [field.strip() for field in next(reader, [])]
            pixels_at = _check_header(header, path)
            texts_at = [at for at, name in enumerate(header) if name and at not in set(pixels_at)]
            texts: dict[str, list[str]] = {header[at]: [] for at in texts_at}
            pixels, places = bytearray(), []
            for row in reader:
                place = f"{path}:{reader.line_num}"
                if not row:
                    continue
                if len(row) != len(header):
                    hint = "give every row the columns of the header; a value with a comma in it needs quotes"
                    raise malformed(place, f"{len(row)} fields, but the header names {len(header)}", hint)
                for at in texts_at:
                    texts[header[at]].append(row[at].strip())
                pixels += _pixel_bytes([row[at] for at in pixels_at], place)
                places.append(place)
        except UnicodeDecodeError as problem:
            raise malformed(path, f"not UTF-8 text ({problem.reason})", "save the table as UTF-8 CSV") from problem
        except csv.Error as problem:
            raise malformed(f"{path}:{reader.line_num}", f"not CSV ({problem})", "check the quotes") from problem
    found = np.frombuffer(pixels, np.uint8).reshape(len(places), -1) if pixels_at else None
    return Columns(path, texts, found, places)


def _parquet(path: Path) -> Columns:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        hint = "pip install 'forgetkit[parquet]'"
        raise ForgetkitError("missing-extra", f"{path}: reading parquet needs pyarrow", hint) from problem
    try:
        file = pyarrow.parquet.ParquetFile(path)
        rows = file.metadata.num_rows
        if rows > MOST_ROWS:
            raise malformed(path, f"holds more than {MOST_ROWS:,} rows", "save fewer")
        header = [name.strip() for name in file.schema_arrow.names]
        pixels_at = _check_header(header, path)
        held: list[list[Any]] = [column.to_pylist() for column in file.read().columns]
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as problem:
        why = " ".join(str(problem).split())
        raise malformed(path, f"not a parquet file ({why})", "save the table again") from problem
    places = [f"{path} row {row}" for row in range(1, rows + 1)]
    texts = {
        name: [_text(value, name, place) for value, place in zip(held[at], places, strict=True)]
        for at, name in enumerate(header)
        if name and at not in set(pixels_at)
    }
    if not pixels_at:
        return Columns(path, texts, None, places)
    pixels = bytearray().join(
        _pixel_bytes(list(row), place) for *row, place in zip(*(held[at] for at in pixels_at), places, strict=True)
    )
    return Columns(path, texts, np.frombuffer(pixels, np.uint8).reshape(rows, -1), places)


def _check_header(header: Sequence[str], path: Path) -> list[int]:
    """Return the positions of the pixel columns, in order; refuse a header that repeats a name."""
    place = f"{path}:1"
    names = [name for name in header if name]
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise malformed(place, f"fields are separated by {other!r}", "separate them by commas")
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise malformed(place, f"two columns have the name '{shorten(twice)}'", "rename one of them")
    numbers = {int(match[1]): at for at, name in enumerate(header) if (match := _PIXEL.fullmatch(name))}
    if numbers and sorted(numbers) not in (list(range(len(numbers))), list(range(1, len(numbers) + 1))):
        raise malformed(place, "the pixel columns are not numbered without gaps", "name them pixel0, pixel1, …")
    return [numbers[number] for number in sorted(numbers)]


def _pixel_bytes(values: Iterable[Any], place: str) -> bytes:
    try:
        return bytes(_pixel(value) for value in values)
    except (ValueError, TypeError, OverflowError) as problem:
        raise malformed(place, "a pixel is not a whole number from 0 to 255", "save pixels as uint8") from problem


def _pixel(value: Any) -> int:  # noqa: ANN401 - text, or what a column of a parquet file holds
    """Return a whole number; raises ValueError for a fraction: pixels from 0 to 1 would all turn black."""
    whole = int(value)
    if isinstance(value, float) and value != whole:
        raise ValueError(value)
    return whole


def _text(value: object, column: str, place: str) -> str:
    """Return a value of a parquet file as text, whole numbers without a decimal point."""
    if value is None:
        return ""
    if isinstance(value, dict | list | bytes):
        hint = "save images as files, and their names in a column 'path'; attributes are text or numbers"
        raise malformed(place, f"'{column}' holds a {type(value).__name__}", hint)
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
