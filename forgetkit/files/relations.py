"""What a file that holds ids is to the others: a shadow model, a teacher, a copy, the original of an answer."""

from collections.abc import Callable, Sequence
from pathlib import Path

from forgetkit.files.holdings import Holding

SHORT = 8
"""Digits of a digest that name a checkpoint which is not among the files."""


class Relations:
    """How files belong together, by the digests in their records.

    Args:
        holdings: all files.
        name: returns what a path is called.
    """

    def __init__(self, holdings: Sequence[Holding], name: Callable[[Path], str]) -> None:
        self.name = name
        self.first: dict[str, Holding] = {}
        self.answers: dict[str, Holding] = {}
        self.pupils: dict[str, Holding] = {}
        for one in holdings:
            if one.digest is not None:
                self.first.setdefault(one.digest, one)
        for one in holdings:
            if one.state == "forgotten" and one.digest is not None and one.shadow_of is None:
                for digest in one.ancestors:
                    self.answers.setdefault(digest, one)
            for digest in one.teachers:
                self.pupils.setdefault(digest, one)

    def answer_to(self, one: Holding) -> Holding | None:
        """Return a model that was made from this one, or trained like it, and no longer holds any of the ids."""
        return self.answers.get(one.digest) if one.digest is not None else None

    def model_of(self, shadow: Holding) -> Path | None:
        """Return the model that a shadow model was trained like, if it is among the files."""
        found = self.first.get(shadow.shadow_of) if shadow.shadow_of is not None else None
        return found.path if found else None

    def note(self, one: Holding) -> str:
        """Return what an operator should know of a file."""
        parts = [one.why] if one.why else []
        if one.shadow_of is not None:
            parts.append(f"shadow model of {self._called(one.shadow_of)}")
        if one.state_of is not None:
            parts[:] = [f"optimizer state of {self._called(one.state_of)}"]
            if one.state == "unknown" and one.dataset is not None:
                parts.append("made while it forgot: it may show the ids")
        if one.digest is not None and (first := self.first[one.digest]) is not one:
            parts.append(f"copy of {self.name(first.path)}")
        if one.state == "held" and (answer := self.answer_to(one)):
            parts.append(f"forgotten in {self.name(answer.path)}")
        if one.state == "held" and one.digest in self.pupils and not self.answer_to(one):
            parts.append(f"teacher of {self.name(self.pupils[one.digest].path)}")
        return "; ".join(parts)

    def _called(self, digest: str) -> str:
        found = self.first.get(digest)
        return self.name(found.path) if found else f"sha256:{digest[:SHORT]}, not here"
