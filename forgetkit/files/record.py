"""The record: what a checkpoint says about itself. Read and written without importing torch."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from forgetkit.files.id_digests import KeySet

VERSION = 1
LARGEST_SIDE = 1 << 16
"""Most channels, rows or columns that an image may have."""


@dataclass(frozen=True)
class Step:
    """One command's change to a model.

    Attributes:
        command: that made the step; ``save`` for a change outside forgetkit.
        options: the resolved options; one that names a file has the digest of the content. ``searched`` names the
            options whose values the step found itself.
        seed: of everything random.
        parent: digest of the input checkpoint; None for a training from scratch.
        ids: ``count`` and ``digest`` of the ids in the order used, or None.
        metrics: what was measured; no times, so that the same step writes the same bytes.
    """

    command: str
    options: dict[str, Any]
    seed: int
    parent: str | None
    ids: dict[str, Any] | None
    metrics: dict[str, Any]

    @property
    def trains(self) -> bool:
        """Whether the step makes a model, rather than removing something from one."""
        return self.command in {"train", "adopt"}

    def same_work(self, other: "Step") -> bool:
        """Say whether both steps do the same; metrics, and options that the steps searched for, may differ."""
        return self._asked() == other._asked()

    def _asked(self) -> "Step":
        searched = self.options.get("searched")
        found = searched if isinstance(searched, list) else []
        asked = {name: value for name, value in self.options.items() if name not in found}
        return replace(self, metrics={}, options=asked)


@dataclass(frozen=True)
class Record:
    """What a checkpoint says about itself; the fields are those of docs/formats.md."""

    digest: str
    model: dict[str, Any]
    input: dict[str, Any]
    classes: list[str]
    dataset: dict[str, Any]
    recipe: dict[str, Any]
    trained: KeySet | None
    forgotten: KeySet
    steps: list[Step]
    software: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {
            **{name: getattr(self, name) for name in _PLAIN},
            "version": VERSION,
            "trained": None if self.trained is None else self.trained.to_json(),
            "forgotten": {**self.forgotten.to_json(), "salt": self.forgotten.salt},
            "steps": [asdict(step) for step in self.steps],
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Return the record that :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError, TypeError: where ``content`` is no record.
        """
        if content["version"] != VERSION:
            raise ValueError(f"record version {content['version']}, this forgetkit reads {VERSION}")
        check_shape(content, _SHAPE, "the record")
        options = content["dataset"]["options"]
        check_shape(options.get("unseen"), (None, int | float), "'unseen' of 'dataset'")
        columns = options.get("columns", {})
        check_shape(columns, dict.fromkeys(columns, str), "'columns' of 'dataset'")
        if len(content["input"]["shape"]) != 3 or not all(1 <= n <= LARGEST_SIDE for n in content["input"]["shape"]):
            raise ValueError("input.shape is not that of an image")
        resized_from = content["input"].get("resized_from", [1, 1])
        check_shape(resized_from, [int], "'resized_from' of 'input'")
        if len(resized_from) != 2 or not all(1 <= n <= LARGEST_SIDE for n in resized_from):
            raise ValueError("input.resized_from is no image size")
        if not len(content["input"]["mean"]) == len(content["input"]["std"]) == content["input"]["shape"][0]:
            raise ValueError("input.mean and input.std do not have one value per channel")
        if not all(abs(value) < 1e18 for value in content["input"]["mean"] + content["input"]["std"]):
            raise ValueError("input.mean or input.std is out of range")
        if not all(value > 0 for value in content["input"]["std"]):
            raise ValueError("input.std is not above 0")
        salt = content["forgotten"]["salt"]
        first = content["steps"][0] if content["steps"] else {"parent": None, "options": {}}
        made = first["options"].get("dataset", salt) if first["parent"] is None else salt
        if made != salt and first["options"].get("like") is None:  # with a wrong salt, no id would count as trained
            raise ValueError("forgotten.salt is not the data of the first training")
        return cls(
            **{name: content[name] for name in _PLAIN},
            trained=None if content["trained"] is None else KeySet.from_json(content["trained"], salt),
            forgotten=KeySet.from_json(content["forgotten"], salt),
            steps=[Step(**step) for step in content["steps"]],
        )

    @property
    def image_size(self) -> tuple[int, int] | None:
        """Height and width to which images are resized before the model sees them; None if it sees them as they are."""
        return (self.input["shape"][1], self.input["shape"][2]) if "resized_from" in self.input else None

    @property
    def data_shape(self) -> list[int]:
        """Channels, height and width of the images of the data set, which may be resized before the model sees them."""
        channels, *size = self.input["shape"]
        return [channels, *self.input.get("resized_from", size)]

    @property
    def retained(self) -> int:
        """Number of samples in the retain set."""
        if self.trained is None:
            return int(self.dataset["size"]) - len(self.forgotten)
        return len(self.trained) - int(np.isin(self.trained.keys, self.forgotten.keys).sum())

    @property
    def untrained(self) -> bool:
        """Whether the model was trained on none of the samples, as one with a new head."""
        return self.trained is not None and not len(self.trained)

    @property
    def new_head(self) -> str | None:
        """Digest of the checkpoint with a new head from which the training started; None if it started elsewhere."""
        adopted = len(self.steps) > 1 and "replace_head" in self.steps[0].options
        return self.steps[1].parent if adopted else None

    @property
    def unlearning(self) -> list[Step]:
        """The steps that removed ids from the model, first to last."""
        return [step for step in self.steps if step.ids and not step.trains]

    @property
    def original(self) -> str | None:
        """Digest of the model before ids were removed from it, since its last training; None if none were."""
        trained = max((number for number, step in enumerate(self.steps) if step.trains), default=-1)
        return next((step.parent for step in self.steps[trained + 1 :] if step.ids), None)

    def retains(self, ids: Collection[str]) -> NDArray[np.bool_]:
        """Say for each of ``ids`` whether it is in the retain set: trained and not forgotten."""
        return self.was_trained(ids) & ~self.forgotten.contains(ids)

    def was_trained(self, ids: Collection[str]) -> NDArray[np.bool_]:
        """Say for each of ``ids`` (of the training split) whether the model was trained on it."""
        return np.ones(len(ids), dtype=bool) if self.trained is None else self.trained.contains(ids)

    def never_saw(self, ids: Collection[str]) -> NDArray[np.bool_]:
        """Say for each of ``ids`` whether no training of these weights had it; a step that forgets is no such proof."""
        return ~(self.was_trained(ids) if self.unlearning else self.retains(ids))


_PLAIN = ("digest", "model", "input", "classes", "dataset", "recipe", "software")
_KEYS = {"count": int, "digest": str, "keys": str}
_SHAPE = {
    "version": int,
    "digest": str,
    "model": {"name": str, "options": dict},
    "input": {"shape": [int], "mean": [int | float], "std": [int | float]},
    "classes": [str],
    "dataset": {"name": str, "options": dict, "size": int, "fingerprint": str},
    "recipe": dict,
    "trained": (None, _KEYS),
    "forgotten": {**_KEYS, "salt": str},
    "steps": [
        {
            "command": str,
            "options": dict,
            "seed": int,
            "parent": (None, str),
            "ids": (None, {"count": int, "digest": str}),
            "metrics": dict,
        }
    ],
    "software": dict,
}


def check_shape(value: Any, shape: Any, name: str) -> None:  # noqa: ANN401 - any JSON value
    """Refuse a JSON ``value`` that does not have ``shape``.

    Args:
        value: the value.
        shape: a type; a list with the shape of each entry; a dictionary with the shapes of the keys
            that must be there; or a pair of None and the shape of what is not null.
        name: what the value is called in messages.

    Raises:
        TypeError: names the part that does not fit.
    """
    if isinstance(shape, tuple):
        if value is not None:
            check_shape(value, shape[1], name)
    elif isinstance(shape, list):
        check_shape(value, list, name)
        for entry in value:
            check_shape(entry, shape[0], f"an entry of {name}")
    elif isinstance(shape, dict):
        check_shape(value, dict, name)
        for key, part in shape.items():
            check_shape(value.get(key, ...), part, f"'{key}' of {name}")
    elif not isinstance(value, shape) or isinstance(value, bool):
        raise TypeError(f"{name} is missing or not of its type")
