"""Git LFS pointers: small texts that stand in a repository for files that were not fetched."""

from pathlib import Path

POINTER = b"version https://git-lfs.github.com/spec/"
POINTER_HINT = "fetch the file itself: git lfs pull"


def is_pointer(path: Path) -> bool:
    """Say whether a file is a Git LFS pointer; False where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(POINTER)) == POINTER
    except OSError:
        return False
