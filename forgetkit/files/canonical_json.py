"""JSON as records and digests need it: the same value, the same bytes."""

import json


def compact_json(value: object) -> str:
    """Return ``value`` as JSON with sorted keys, no spaces, no NaN: the same value, the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
