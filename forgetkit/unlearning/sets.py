"""The samples that an unlearning step may use: forget set, retain set, and the tune half of the unseen split."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from forgetkit.data.dataset import Split
from forgetkit.errors import ForgetkitError
from forgetkit.files.id_digests import digests
from forgetkit.files.record import Record
from forgetkit.training.classifier import Samples, take
from forgetkit.training.draws import Keys, content_keys
from forgetkit.unlearning.inputs import Ids, Request

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Samples that are put on the device only when they are first needed.

    Attributes:
        labels: int64 of shape ``(samples,)``.
        gather: given row numbers, returns images and labels on the device.
        keys_at: given row numbers, returns the samples' keys, which their draws depend on.
    """

    labels: Rows
    gather: Callable[[Rows], Samples]
    keys_at: Callable[[Rows], Keys]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def rows(self) -> Rows:
        """All row numbers."""
        return np.arange(len(self.labels))

    @cached_property
    def samples(self) -> Samples:
        """All images and labels, on the device."""
        return self.gather(self.rows)

    @cached_property
    def keys(self) -> Keys:
        """All keys."""
        return self.keys_at(self.rows)

    def choose(self, rows: Rows) -> "Pool":
        """Return some of the samples as a pool."""
        return Pool(self.labels[rows], lambda some: self.gather(rows[some]), lambda some: self.keys_at(rows[some]))

    @classmethod
    def of_split(cls, split: Split, rows: Rows, device: str) -> "Pool":
        """Return some rows of a data set's split."""
        return cls(
            split.labels[rows],
            lambda chosen: take(split, rows[chosen], device),
            lambda chosen: digests(split.ids_at(rows[chosen])),
        )

    @classmethod
    def of_tensors(cls, samples: Samples) -> "Pool":
        """Return samples that are tensors on the device already."""
        images, labels = samples

        def gather(rows: Rows) -> Samples:
            """Return images and labels of some rows."""
            if len(rows) == len(labels) and bool((rows == np.arange(len(rows))).all()):
                return samples  # no copy of the whole
            chosen = torch.from_numpy(rows).to(labels.device)
            return images[chosen], labels[chosen]

        return cls(labels.cpu().numpy(), gather, lambda rows: content_keys(*gather(rows)))


@dataclass(frozen=True)
class Sets:
    """The samples that a step may use, and nothing else that it reads.

    Attributes:
        forget: the forget set, in the order of the request.
        retain: the retain set.
        tune: images and labels of the tune half: all that may choose a rate or a stopping point.
        classes: number of classes.
        measured: rows of ``forget`` on which membership is measured: all except canaries.
        eroded: accuracy on the tune half that steps since the last training have cost, as recorded; 0 if unknown.
    """

    forget: Pool
    retain: Pool
    tune: Samples
    classes: int
    measured: Rows
    eroded: float = 0.0

    @cached_property
    def kept_classes(self) -> torch.Tensor:
        """For each class whether samples of it are retained, bool of shape ``(classes,)``, on the device."""
        kept = np.bincount(self.retain.labels, minlength=self.classes) > 0
        return torch.from_numpy(kept).to(self.tune[1].device)

    @property
    def measured_labels(self) -> Rows:
        """Labels of the samples that membership is measured on."""
        return self.forget.labels[self.measured]

    @property
    def measured_samples(self) -> Samples:
        """Images and labels that membership is measured on."""
        return self.forget.samples if len(self.measured) == len(self.forget) else self.forget.gather(self.measured)

    @classmethod
    def of_request(cls, request: Request, device: str) -> "Sets":
        """Return the sets of a request on a checkpoint."""
        split, test = request.dataset.train, request.dataset.test
        sets = cls(
            forget=Pool.of_split(split, request.forget_rows, device),
            retain=Pool.of_split(split, request.retain_rows, device),
            tune=take(test, request.dataset.tune_rows, device),
            classes=len(request.dataset.classes),
            measured=np.flatnonzero(np.isin(request.forget_rows, request.measured_rows)),
        )
        return replace(sets, eroded=_eroded(request.record)) if bool(sets.kept_classes.all()) else sets

    @classmethod
    def of_tensors(cls, forget: Samples, retain: Samples, unseen: Samples, classes: int | None = None) -> "Sets":
        """Return the sets of tensors that are on the device of the model already.

        Args:
            forget: images and labels (int64) to forget.
            retain: images and labels to keep.
            unseen: images and labels that the model was not trained on; all of them may choose a setting.
            classes: number of classes; one more than the largest label if not given.
        """
        largest = max(int(labels.max()) for _, labels in (forget, retain, unseen) if len(labels))
        pools = Pool.of_tensors(forget), Pool.of_tensors(retain)
        return cls(*pools, unseen, classes or largest + 1, np.arange(len(forget[1])))


def _eroded(record: Record) -> float:
    """Return the accuracy on the tune half that steps since the last training cost, by what they measured."""
    trained = [step.metrics.get("tune_accuracy") for step in record.steps if step.trains]
    last = record.steps[-1].metrics.get("tune_accuracy") if record.steps else None
    if not trained or not isinstance(trained[-1], int | float) or not isinstance(last, int | float):
        return 0.0
    return max(0.0, trained[-1] - last)


def tensor_sets(
    forget: Samples | None, retain: Samples | None, unseen: Samples | None, ids: Ids | None, *others: object
) -> Sets:
    """Return the sets of a module.

    Raises:
        ForgetkitError: ``usage`` for ids and ``others``, which go with a checkpoint, or if a set is missing.
    """
    if ids is not None:
        raise ForgetkitError("usage", "a module is given samples, not ids", "give forget=, retain= and unseen=")
    if any(other is not None for other in others):
        raise ForgetkitError("usage", "limits and masks are for a checkpoint, not for a module", "leave them out")
    if forget is None or retain is None or unseen is None:
        hint = "give forget=, retain= and unseen=, each a pair of images and labels"
        raise ForgetkitError("usage", "a module needs the forget set, the retain set and unseen samples", hint)
    return Sets.of_tensors(forget, retain, unseen)


def no_samples(*samples: Samples | None) -> None:
    """Refuse samples beside a checkpoint, which has its own; raises ForgetkitError ``usage``."""
    if any(one is not None for one in samples):
        message = "forget=, retain= and unseen= are for a module; a checkpoint has its data set"
        raise ForgetkitError("usage", message, "name the ids")
