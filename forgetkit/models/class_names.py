"""Names of a model's classes, in the order of its logits, as other libraries write them."""

import json
from collections.abc import Mapping
from contextlib import suppress

_LISTS = ("label_names", "classes", "class_names")
_BY_NUMBER = ("id2label", "idx_to_class")
_BY_NAME = ("label2id", "class_to_idx")
KEYS = (*_LISTS, *_BY_NUMBER, *_BY_NAME)
"""Keys of configs, of metadata and of training scripts: lists, numbers to names, names to numbers."""


def class_names(content: Mapping[str, object]) -> list[str]:
    """Return the names of the classes from the first of :data:`KEYS` that has any; empty if none has.

    ``LABEL_0``, ``LABEL_1`` …, which Hugging Face writes where nobody named the classes, are no names.
    """
    for key in KEYS:
        value = content.get(key)
        if isinstance(value, list | tuple) and key in _LISTS:
            names = [*value]
        elif isinstance(value, Mapping) and key not in _LISTS:
            names = _by_number([pair[::-1] if key in _BY_NAME else pair for pair in value.items()])
        else:
            continue
        if names and all(type(name) in (str, int) for name in names):
            texts = [str(name) for name in names]
            return [] if texts == [f"LABEL_{row}" for row in range(len(texts))] else texts
    return []


def names_in_metadata(metadata: Mapping[str, object]) -> list[str]:
    """Return the names of the classes from the metadata of a safetensors file, whose values are texts."""
    found: dict[str, object] = {}
    for key, text in metadata.items():
        with suppress(ValueError, RecursionError):
            found[key] = json.loads(text) if key in KEYS and isinstance(text, str) else None
    return class_names(found)


def _by_number(pairs: list[tuple[object, object]]) -> list[object]:
    """Return the names in pairs of number and name, by number; none if a number is missing, or is none."""
    try:
        numbered = {int(str(number)): name for number, name in pairs}
    except ValueError:
        return []
    return [numbered[number] for number in sorted(numbered)] if len(numbered) == len(pairs) else []
