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
    """The differences between two sets of tensors.

    Attributes:
        changed: tensors that are in both sets and differ, in the order of ``after``.
        same: number of tensors that are equal.
        added: names that are only in ``after``, or there in another shape.
        removed: names that are only in ``before``, or there in another shape.
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
    """Return lines that say which tensors differ from those of ``other``, and by how much."""
    same = "" if found.changed or found.added or found.removed else ": the weights are equal"
    lines = [f"  compared with {other}: {len(found.changed)} tensors changed, {found.same} unchanged{same}"]
    width = max((len(one.name) for one in found.changed), default=0)
    for one in found.changed:
        relative = "from 0" if one.relative is None else f"by {one.relative:.2%} of its norm"
        lines.append(f"    {one.name:<{width}}  changed {relative}, each entry by at most {one.largest:.2g}")
    lines += [f"    {name}  new" for name in found.added]
    return [*lines, *(f"    {name}  missing" for name in found.removed)]
