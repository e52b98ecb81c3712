"""Tables, CSV or parquet, as columns of text: the one reader of data sets, attributes and ID lists."""

import csv
import io
import math
import re
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from forgetkit.errors import SHOWN, ForgetkitError, shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST_TABLE = 1 << 31
"""Most bytes that a table may have."""
MOST_ROWS = 1 << 24
"""Most rows that a parquet file may have: a few bytes of it can encode billions."""
_PIXEL = re.compile(r"pixel_?(\d{1,8})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Form:
    """What is to be read of a table.

    Attributes:
        name: of the file, for messages; parquet by its suffix, which ``.gz`` may follow, else CSV.
        code: of errors.
        only: names of the columns to read; None for all.
        pixels: whether ``pixel0``, ``pixel1``, … are pixels.
    """

    name: str
    code: str
    only: Collection[str] | None = None
    pixels: bool = False

    @property
    def is_parquet(self) -> bool:
        """Whether the file is parquet."""
        return Path(self.name.removesuffix(".gz")).suffix.lower() == ".parquet"

    def place(self, line: int | None) -> str:
        """Return the name of a line in messages, ``pets.csv:17`` or ``pets.parquet row 16``; 0 is the header."""
        if self.is_parquet:
            return f"{self.name} row {line}" if line else self.name
        return self.name if line is None else f"{self.name}:{line or 1}"

    def malformed(self, line: int | None, message: str, hint: str) -> ForgetkitError:
        """Return the error for a line, 0 for the header, or for the file."""
        return ForgetkitError(self.code, f"{self.place(line)}: {message}", hint)

    def positions(self, header: Sequence[str]) -> tuple[dict[str, int], list[int]]:
        """Return the positions of the columns to read, and those of pixels in order; refuse what is ambiguous."""
        numbers: dict[int, int] = {}
        if self.pixels:
            numbers = {int(match[1]): at for at, name in enumerate(header) if (match := _PIXEL.fullmatch(name))}
        if numbers and sorted(numbers) not in (list(range(len(numbers))), list(range(1, len(numbers) + 1))):
            raise self.malformed(0, "the pixel columns are not numbered without gaps", "name them pixel0, pixel1, …")
        texts: dict[str, int] = {}
        pixels_at = {*numbers.values()}
        for at, name in enumerate(header):
            if name and at not in pixels_at and (self.only is None or name in self.only):
                if name in texts:
                    raise self.malformed(0, f"two columns have the name '{shorten(name)}'", "rename one of them")
                texts[name] = at
        return texts, [numbers[number] for number in sorted(numbers)]


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    Attributes:
        form: what was read.
        header: names of all columns that are no pixels.
        texts: values of each column that was read, one per row, without outer spaces; empty where there is none.
        lines: line of each row, of a parquet file its number, counted from 1.
        pixels: of the columns ``pixel0``, ``pixel1``, …, uint8 of shape ``(rows, pixels)``; None without such columns.
    """

    form: Form
    header: list[str]
    texts: Mapping[str, list[str]]
    lines: Sequence[int]
    pixels: "NDArray[np.uint8] | None" = None

    def place(self, row: int) -> str:
        """Return the name of a row, counted from 0, in messages."""
        return self.form.place(self.lines[row])

    def need(self, names: Iterable[str], cure: str) -> None:
        """Refuse a table that lacks columns; the error names all of them, those there are, and a cure."""
        if missing := [f"'{shorten(name)}'" for name in names if name not in self.header]:
            *others, last = missing
            words = f"there are no columns {', '.join(others)} and {last}" if others else f"there is no column {last}"
            known = ", ".join(map(shorten, self.header[:SHOWN])) + ", …" * (len(self.header) > SHOWN)
            raise self.form.malformed(0, words, f"its columns: {known or 'none'}; {cure}")

    def filled(self, name: str) -> list[str]:
        """Return a column that must have a value in every row; raises ForgetkitError with the row."""
        if "" in (values := self.texts[name]):
            line = self.lines[values.index("")]
            raise self.form.malformed(line, f"'{shorten(name)}' is empty", "fill it in, or remove the row")
        return values


def read_columns(form: Form, stream: BinaryIO) -> Columns:
    """Read a table, unpacked, from a stream.

    CSV is UTF-8; fields are separated by commas, or by semicolons, tabs or bars where the header has no comma. A
    byte order mark, any line ends, outer spaces, blank rows and fields of any length are accepted; a row may lack its
    last fields if they are empty. In parquet, NaN is no value, and whole numbers are integers.

    Raises:
        ForgetkitError: the form's code; names the line. ``missing-extra`` for parquet without pyarrow.
    """
    return _parquet(form, stream) if form.is_parquet else _csv(form, stream)


def _csv(form: Form, stream: BinaryIO) -> Columns:
    lines, pixels, begun = list[int](), bytearray(), 1
    decoded, first = _decoded(form, stream), list[str]()
    for head in decoded:
        first.append(head)
        if head.strip():
            break
    mark = next((mark for mark in ",;\t|" if mark in "".join(first[-1:])), ",")
    reader = csv.reader(chain(first, decoded), delimiter=mark, skipinitialspace=True, strict=True)
    longest = csv.field_size_limit(LARGEST_TABLE)  # a setting of the process
    try:
        header = [name.strip() for name in next((row for row in reader if any(row)), [])]
        texts_at, pixels_at = form.positions(header)
        texts: dict[str, list[str]] = {name: [] for name in texts_at}
        begun = reader.line_num + 1
        for row in reader:
            line, begun = reader.line_num, reader.line_num + 1
            if fields := _fields(form, row, len(header), line):
                for name, at in texts_at.items():
                    texts[name].append(fields[at].strip())
                pixels += _pixel_bytes(form, [fields[at] for at in pixels_at], line)
                lines.append(line)
    except csv.Error as problem:
        raise form.malformed(begun, f"not CSV ({problem})", "check the quotes") from problem
    finally:
        csv.field_size_limit(longest)
    return _columns(form, header, texts, lines, pixels=pixels if pixels_at else None)


def _decoded(form: Form, stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of a stream in UTF-8."""
    for line, content in enumerate(stream, 1):
        try:
            text = content.removeprefix(BOM_UTF8 if line == 1 else b"").decode()
        except UnicodeDecodeError as problem:
            hint = "save the table as UTF-8 CSV"
            raise form.malformed(line, f"not UTF-8 text ({problem.reason})", hint) from problem
        if "\0" in text:
            raise form.malformed(line, "holds a NUL character", "save the table again, as UTF-8 CSV")
        if "\r" in text.removesuffix("\n")[:-1]:
            yield from io.StringIO(text, newline="")  # in which a carriage return ends a line, too
        else:
            yield text


def _fields(form: Form, row: list[str], count: int, line: int) -> list[str]:
    """Return the ``count`` fields of a row; nothing for a blank row."""
    if len(row) == count and row and row[0].strip():
        return row
    if not "".join(row).strip():
        return []
    if len(row) > count and "".join(row[count:]).strip():
        hint = "give every row the columns of the header; a value with a comma in it needs quotes"
        raise form.malformed(line, f"{len(row)} fields, but the header names {count}", hint)
    return row + [""] * (count - len(row))


def _parquet(form: Form, stream: BinaryIO) -> Columns:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        hint = "pip install pyarrow"
        raise ForgetkitError("missing-extra", f"{form.name}: reading parquet needs pyarrow", hint) from problem
    try:
        file = pyarrow.parquet.ParquetFile(stream)
        lines = range(1, file.metadata.num_rows + 1)
        if len(lines) > MOST_ROWS:
            raise form.malformed(None, f"holds more than {MOST_ROWS:,} rows", "save fewer")
        names = file.schema_arrow.names
        header = [name.strip() for name in names]
        texts_at, pixels_at = form.positions(header)
        wanted = [*texts_at.values(), *pixels_at]
        table = file.read(columns=[names[at] for at in wanted])
        held: dict[int, list[Any]] = {at: table.column(names[at]).to_pylist() for at in wanted}
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as problem:
        message = f"not a parquet file ({' '.join(str(problem).split())})"
        raise form.malformed(None, message, "save the table again") from problem
    texts = {name: list(map(partial(_text, form, name), held[at], lines)) for name, at in texts_at.items()}
    rows = zip(*(held[at] for at in pixels_at), strict=True) if pixels_at else ()
    pixels = bytearray().join(map(partial(_pixel_bytes, form), rows, lines))
    return _columns(form, header, texts, lines, pixels=pixels if pixels_at else None)


def _columns(
    form: Form, header: list[str], texts: dict[str, list[str]], lines: Sequence[int], *, pixels: bytearray | None
) -> Columns:
    """Return what was read; the ``pixels`` of all rows follow each other."""
    names = [name for name in header if name and (pixels is None or not _PIXEL.fullmatch(name))]
    if pixels is None:
        return Columns(form, names, texts, lines)
    import numpy as np  # here, so that help does not wait for it

    return Columns(form, names, texts, lines, np.frombuffer(pixels, np.uint8).reshape(len(lines), -1))


def _pixel_bytes(form: Form, values: Iterable[Any], line: int) -> bytes:
    try:
        return bytes(_pixel(value) for value in values)
    except (ValueError, TypeError, OverflowError) as problem:
        hint = "save whole numbers; multiply pixels from 0 to 1 by 255 first"
        raise form.malformed(line, "a pixel is not a whole number from 0 to 255", hint) from problem


def _pixel(value: Any) -> int:  # noqa: ANN401 - text, or what a column of a parquet file holds
    """Return a whole number; raises ValueError for a fraction: pixels from 0 to 1 would all turn black."""
    if not isinstance(value, str) and value != int(value):
        raise ValueError(value)
    return int(value)


def _text(form: Form, column: str, value: object, line: int) -> str:
    """Return a value of a parquet file as text: nothing for NaN, whole numbers without a decimal point."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Real) and not isinstance(value, Integral):
        number = float(value)
        return "" if math.isnan(number) else str(int(number) if number.is_integer() else number)
    if isinstance(value, dict | list | bytes):
        hint = "save images as files, and their names in a column 'path'; ids and attributes are text or numbers"
        raise form.malformed(line, f"'{shorten(column)}' holds a {type(value).__name__}", hint)
    return "" if value is None else str(value).strip()
