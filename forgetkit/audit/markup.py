"""Elements of a page and of its drawings. Text goes in as it is: it is cleaned here, and escaped when written."""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

Content = str | Element | None


def tag(name: str, attributes: Mapping[str, object], *content: Content) -> Element:
    """Return an element around texts and elements in their order; None is left out.

    Args:
        name: of the element.
        attributes: numbers are written with one decimal at most.
        content: what stands in it.
    """
    element = Element(name, {key: _written(value) for key, value in attributes.items()})
    for part in content:
        if isinstance(part, Element):
            element.append(part)
        elif part and len(element):
            element[-1].tail = (element[-1].tail or "") + _shown(part)
        elif part:
            element.text = (element.text or "") + _shown(part)
    return element


def _shown(text: str) -> str:
    """Return ``text`` with a space for what no page can carry, or what would turn the reading direction."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)


def _written(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
