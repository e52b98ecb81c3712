"""Files of a few lines that people hand over: keys, reports, attestations, commitments."""

from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import strict_json

LARGEST = 64 << 20
"""Most bytes of a file that is read whole."""


def read_small(path: Path, kind: str, hint: str) -> bytes:
    """Return the content of a file, which may be a pipe.

    Args:
        path: the file.
        kind: what it should be, by which the codes of errors begin.
        hint: what to do if there is no such file.

    Raises:
        ForgetkitError: ``KIND-missing`` where it cannot be read, ``KIND-malformed`` where it is too large.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except (OSError, ValueError) as problem:  # a name with a NUL byte is a ValueError
        why = getattr(problem, "strerror", None) or problem
        raise ForgetkitError(f"{kind}-missing", f"{path}: {why}", hint) from problem
    if len(content) > LARGEST:
        raise ForgetkitError(f"{kind}-malformed", f"{path}: holds more than {LARGEST >> 20} MiB", hint)
    return content


def object_in(content: bytes, path: Path, kind: str, hint: str) -> dict[str, Any]:
    """Return the JSON object in the content of a file, which no two readers read differently.

    Raises:
        ForgetkitError: ``KIND-malformed`` for anything else.
    """
    try:
        found = strict_json(content)
    except (ValueError, RecursionError) as problem:
        why = f"not JSON ({problem})" if content.strip() else "the file is empty"
        raise ForgetkitError(f"{kind}-malformed", f"{path}: {why}", hint) from problem
    if not isinstance(found, dict):
        raise ForgetkitError(f"{kind}-malformed", f"{path}: not a JSON object", hint)
    return found
