"""Git LFS pointers: small texts that stand in a repository for files that were not fetched."""

from contextlib import suppress
from pathlib import Path

from forgetkit.errors import ForgetkitError

POINTER = b"version https://git-lfs"


def refuse_pointer(path: Path, start: bytes | None = None, *, code: str = "checkpoint-malformed") -> None:
    """Refuse a file that is a pointer which Git LFS left in its place; a file that cannot be read is none.

    Args:
        path: of the file.
        start: its first bytes, if they were read already.
        code: of the error.

    Raises:
        ForgetkitError: ``code``.
    """
    with suppress(OSError):
        if start is None:
            with path.open("rb") as stream:
                start = stream.read(len(POINTER))
    if start is not None and start.startswith(POINTER):
        hint = f"fetch the file, in its repository: git lfs pull --include '{path.name}'; or download it again"
        raise ForgetkitError(code, f"{path}: a Git LFS pointer, not the file that it names", hint)
