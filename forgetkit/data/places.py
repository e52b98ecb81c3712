"""Where the data set of a name is."""

import os
from pathlib import Path

from forgetkit.data.listing import is_archive, packed_away
from forgetkit.data.sources import DATASETS, Reader
from forgetkit.errors import ForgetkitError, is_text

FORMS = {".csv": "table:", ".parquet": "table:", ".npz": "arrays:"}
"""What names a file of this suffix as a data set."""
EXAMPLES = {"folder": "DIR", "table": "FILE.csv", "arrays": "FILE.npz"}
"""What a name of each form leads to."""


def locate(name: str, root: Path) -> tuple[Reader, str, Path, str]:
    """Return the reader of a data set, its name without folders, its folder, and its file in there.

    Raises:
        ForgetkitError: ``dataset-unknown``; ``dataset-missing`` for a name without a file; ``dataset-malformed`` for an
            archive.
    """
    kind, colon, given = name.partition(":")
    try:
        reader = DATASETS[kind + colon]
    except ForgetkitError as problem:
        found = _found(name, root) if problem.code == "dataset-unknown" else None
        if found and found.is_file() and is_archive(found.name):
            raise packed_away(found) from problem
        if form := found and ("folder:" if found.is_dir() else FORMS.get(found.suffix)):
            raise ForgetkitError(problem.code, problem.message, f"did you mean {form}{name}?") from problem
        raise
    if not colon:
        return reader, name, root, ""
    path = os.path.expanduser(given).rstrip(os.sep)
    folder, file = os.path.split(os.path.abspath(path) if os.path.basename(path) in {".", ".."} else path)
    if folder:
        root = Path(folder)
    elif not (root / file).exists() and Path(file).exists():
        root = Path()
    if not file:
        hint = f"for example: --dataset {kind}:{EXAMPLES.get(kind, 'FILE')}"
        raise ForgetkitError("dataset-missing", f"'{name}' names no file", hint)
    if not is_text(file):
        hint = "rename it, or name a link to it: a checkpoint records this name"
        raise ForgetkitError("dataset-malformed", f"{kind}:{file}: the name is not UTF-8", hint)
    return reader, f"{kind}:{file}", root, file


def _found(name: str, root: Path) -> Path | None:
    """Return the file or folder ``name``, here or below ``root``; None where there is none."""
    try:
        return next((path for path in (Path(name), root / name) if path.exists()), None)
    except (OSError, ValueError):  # a name that is too long, or has a NUL
        return None
