"""JSON as records and digests need it: the same value, the same bytes; and read so that all readers read the same."""

import json
from typing import Any


def compact_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces, no NaN: the same value, the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def strict_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of JSON that no two readers read differently.

    Raises:
        ValueError: for what is not JSON, a key that appears twice in an object, NaN, infinity or a lone surrogate.
        RecursionError: for nesting that is too deep.
    """
    value = json.loads(text.decode() if isinstance(text, bytes) else text, object_pairs_hook=unique_keys)
    compact_json(value).encode()
    return value


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object with these keys and values, for :func:`json.loads`; raises ValueError if a key is repeated."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found
