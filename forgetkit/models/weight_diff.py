"""How two sets of weights differ, tensor by tensor."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, linalg


@dataclass(frozen=True)
class Changed:
    """How much one tensor changed.

    Attributes:
        name: the tensor's.
        relative: ‖after − before‖ / ‖before‖; None where the tensor was all 0.
        largest: the largest change of an entry.
    """

    name: str
    relative: float | None
    largest: float


@dataclass(frozen=True)
class Difference:
    """How two sets of tensors differ.

    Attributes:
        changed: tensors that both have and that are not equal, in the order of ``after``.
        same: how many are equal.
        added: names that only ``after`` has, or has in another shape.
        removed: names that only ``before`` has, or has in another shape.
    """

    changed: list[Changed]
    same: int
    added: list[str]
    removed: list[str]


def difference(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> Difference:
    """Compare two sets of tensors by name."""
    shared = [name for name, tensor in after.items() if name in before and before[name].shape == tensor.shape]
    found = [_changed(name, before[name].double(), after[name].double()) for name in shared]
    changed = [one for one in found if one.largest > 0]
    added, removed = ([name for name in names if name not in shared] for names in (after, before))
    return Difference(changed, len(shared) - len(changed), added, removed)


def _changed(name: str, before: Tensor, after: Tensor) -> Changed:
    moved, length = after - before, float(linalg.vector_norm(before))
    largest = float(moved.abs().max()) if moved.numel() else 0.0
    return Changed(name, float(linalg.vector_norm(moved)) / length if length else None, largest)


def differing(other: str, found: Difference) -> list[str]:
    """Return how the weights differ from those of ``other``: the tensors that changed, and by how much."""
    same = "" if found.changed or found.added or found.removed else "; nothing differs"
    lines = [f"  weights, from {other}: {len(found.changed)} tensors changed, {found.same} are equal{same}"]
    width = max((len(one.name) for one in found.changed), default=0)
    for one in found.changed:
        relative = "was all 0" if one.relative is None else f"{one.relative:.2%} of its norm"
        lines.append(f"    {one.name:<{width}}  moved {relative}, an entry by {one.largest:.2g} at most")
    lines += [f"    {name}  only here" for name in found.added]
    return [*lines, *(f"    {name}  only there" for name in found.removed)]
