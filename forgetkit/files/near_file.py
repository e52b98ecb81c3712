"""The file that a mistyped name most likely means."""

from collections.abc import Iterable
from pathlib import Path

from forgetkit.errors import nearest


def near_file(path: Path, suffixes: Iterable[str], folders: Iterable[Path] = ()) -> Path | None:
    """Return a file of a similar name, with one of the ``suffixes``, in the folder of a ``path`` that is not there.

    Args:
        path: the name as it was given.
        suffixes: such as ``.csv``, in lower case.
        folders: where to look instead of in the folder of ``path``, in this order.
    """
    wanted = set(suffixes)
    for folder in [*folders] or [path.parent]:
        try:
            names = [one.name for one in folder.iterdir() if one.suffix.lower() in wanted]
        except (OSError, ValueError):  # no such folder; a name that no file can have
            continue
        if close := nearest(path.name, names):
            return folder / close
    return None
