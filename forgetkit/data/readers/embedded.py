"""Encoded images in a column of a parquet file, as data sets of the Hugging Face Hub have them."""

from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Embedded:
    """A column of encoded images, ``bytes`` or structs of ``bytes`` and ``path``; it is read once it is needed.

    Attributes:
        path: of the parquet file.
        name: of the column.
    """

    path: Path
    name: str

    def file(self, row: int) -> Path:
        """Return what stands for the file of the image in a row: the path of the table, then the row."""
        return self.path / str(row)

    def open(self, file: Path) -> BytesIO:
        """Return the encoded image for which ``file`` stands; raises ValueError where the table has only its name."""
        image = self._images[int(file.name)].as_py()
        if image is None:
            raise ValueError("the table holds no bytes of the image")
        return BytesIO(image)

    @cached_property
    def _images(self) -> Any:  # noqa: ANN401 - pyarrow has no types
        import pyarrow.compute
        import pyarrow.parquet

        column = pyarrow.parquet.ParquetFile(self.path).read(columns=[self.name]).column(self.name)
        return pyarrow.compute.struct_field(column, "bytes") if pyarrow.types.is_struct(column.type) else column


def image_columns(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the columns of a parquet file that hold images, and of the others; none of other files.

    A file that cannot be read has none: who reads all of it says why.
    """
    if path.suffix.lower() != ".parquet":
        return [], []
    try:
        import pyarrow.parquet
    except ImportError:
        return [], []
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError, ValueError):
        return [], []
    held = [field.name for field in schema if _holds_bytes(field.type)]
    return held, [name for name in schema.names if name not in held]


def _holds_bytes(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
    import pyarrow

    if pyarrow.types.is_struct(kind) and "bytes" in [field.name for field in kind]:
        kind = kind.field("bytes").type
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))
