"""Predictions of a model on the samples that an audit is about. Each model is loaded and evaluated once."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from forgetkit.auditing.subject import Opened, Rows, Subject
from forgetkit.data.dataset import Split
from forgetkit.errors import ForgetkitError
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import Classifier, load_classifier, predict, take
from forgetkit.training.device import Machine, seed_for
from forgetkit.training.packing import part
from forgetkit.training.resume import Bookmark, Place

SETS = ("forget", "unseen", "retain", "earlier")
VIEWS = ("hflip", "vflip", "crop")
MOST_RETAINED = 1000
"""Retained samples on which controls are compared, at most: the cost does not grow with the data."""
_KEPT: ContextVar[dict[tuple[object, ...], "ModelPredictions"] | None] = ContextVar("kept", default=None)
"""The predictions of references that :func:`keeping_predictions` keeps, by model, samples and machine."""


@dataclass(frozen=True)
class Predictions:
    """Predictions on some samples, as arrays on the CPU.

    Attributes:
        phi: φ of each sample, float64 of shape ``(samples,)``.
        correct: whether the largest logit is the label's, bool of shape ``(samples,)``.
        labels: int64 of shape ``(samples,)``.
        softmax: float64 of shape ``(samples, classes)``.
    """

    phi: NDArray[np.float64]
    correct: NDArray[np.bool_]
    labels: NDArray[np.int64]
    softmax: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, mask: NDArray[np.bool_]) -> "Predictions":
        """Return the predictions on the samples of ``mask``, bool of shape ``(samples,)``."""
        return Predictions(self.phi[mask], self.correct[mask], self.labels[mask], self.softmax[mask])


@dataclass(frozen=True)
class ModelPredictions:
    """Predictions of one model on all samples that an audit is about.

    Attributes:
        forget: on the forget set.
        unseen: on the check half of the unseen split.
        retain: on the retain set; of a control, on a draw of it.
        earlier: on samples forgotten before, if the audit is about others; empty for a reference.
        views: on the forget set, flipped or magnified, by the name of the view.
        canaries: φ of each candidate for its assigned label, float64 of shape ``(candidates,)``.
    """

    forget: Predictions
    unseen: Predictions
    retain: Predictions
    earlier: Predictions
    views: dict[str, Predictions]
    canaries: NDArray[np.float64]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.unseen.softmax.shape[1])

    @property
    def finite(self) -> bool:
        """Whether every φ is finite."""
        parts = (self.forget.phi, self.unseen.phi, self.retain.phi, self.earlier.phi, self.canaries)
        return all(bool(np.isfinite(part).all()) for part in parts)

    @property
    def unseen_alike(self) -> Predictions:
        """Predictions on the unseen samples of the forget set's classes."""
        return self.unseen.take(np.isin(self.unseen.labels, self.forget.labels))


def predictions_of(logits: Tensor, labels: Tensor) -> Predictions:
    """Return the predictions that logits are.

    Args:
        logits: float of shape ``(samples, classes)``.
        labels: int64 of shape ``(samples,)``.
    """
    logits, labels = logits.cpu(), labels.cpu()
    correct, softmax = logits.argmax(1) == labels, logits.double().softmax(1)
    return Predictions(phi(logits, labels).numpy(), correct.numpy(), labels.numpy(), softmax.numpy())


def predict_subject(
    classifier: Classifier, subject: Subject, machine: Machine, *, control: bool = False, earlier: bool = True
) -> ModelPredictions:
    """Evaluate a model on every sample of an audit; a ``control`` on a draw of the retain set, and on no views.

    Args:
        classifier: the model.
        subject: the samples.
        machine: where to compute.
        control: whether the model is one to compare with.
        earlier: whether to evaluate it on samples forgotten before.
    """
    train, test, device = subject.dataset.train, subject.dataset.test, machine.device

    def on(split: Split, rows: Rows) -> Predictions:
        """Return the predictions on rows of a split."""
        images, labels = take(split, rows, device)
        return predictions_of(predict(classifier, images), labels)

    images, labels = take(train, subject.rows, device)
    views = () if control or len(labels) == 0 else VIEWS
    return ModelPredictions(
        forget=predictions_of(predict(classifier, images), labels),
        unseen=on(test, subject.dataset.check_rows),
        retain=on(train, _controlled(subject) if control else subject.retain_rows),
        earlier=on(train, subject.earlier if earlier else subject.earlier[:0]),
        views={view: predictions_of(predict(classifier, view_of(images, view)), labels) for view in views},
        canaries=_canaries(classifier, subject, device),
    )


def drawn_retained(count: int) -> Rows:
    """Draw the places of retained samples on which controls are compared: up to 1,000 of ``count``, in order."""
    return np.sort(np.random.default_rng(seed_for(0, "controls")).permutation(count)[:MOST_RETAINED])


def _controlled(subject: Subject) -> Rows:
    return subject.retain_rows[drawn_retained(len(subject.retain_rows))]


def _canaries(classifier: Classifier, subject: Subject, device: str) -> NDArray[np.float64]:
    if subject.canaries is None:
        return np.empty(0)
    images, _ = take(subject.dataset.train, subject.canaries.rows, device)
    return phi(predict(classifier, images).cpu(), torch.from_numpy(subject.canaries.labels)).numpy()


def predict_control(
    model: Opened, subject: Subject, machine: Machine, *, earlier: bool = False
) -> tuple[Classifier, ModelPredictions]:
    """Load the original, or a reference, and evaluate it on forgotten and unseen samples, and on ``earlier`` ones.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` where its outputs are not finite.
    """
    classifier = load_classifier(*model, machine)
    found = predict_subject(classifier, subject, machine, control=True, earlier=earlier)
    if not found.finite:
        raise ForgetkitError("checkpoint-malformed", f"{model[0]}: its outputs are not finite")
    return classifier, found


def predict_references(
    references: list[Opened], subject: Subject, machine: Machine, bookmark: Bookmark
) -> list[ModelPredictions]:
    """Evaluate each reference as a control; they are loaded one at a time.

    Raises:
        ForgetkitError: as :func:`predict_control`.
    """
    left = bookmark.open("references")
    found = [_unpack(part(left.tensors, f"{number}.")) for number in range(left.at["references"])] if left else []
    for reference in references[len(found) :]:
        found.append(_predict_reference(reference, subject, machine))
        bookmark.reached("references", lambda: Place({"references": len(found)}, _pack(found)))
    return found


@contextmanager
def keeping_predictions() -> Iterator[None]:
    """Keep, within this context, what references predict: the audits of several models may ask for the same."""
    token = _KEPT.set({})
    try:
        yield
    finally:
        _KEPT.reset(token)


def _predict_reference(reference: Opened, subject: Subject, machine: Machine) -> ModelPredictions:
    kept, canaries = _KEPT.get(), subject.canaries
    rows = subject.rows.tobytes(), canaries.rows.tobytes() if canaries else b"", _controlled(subject).tobytes()
    key = (reference[1].digest, subject.dataset.fingerprint, *rows, str(machine))
    if kept is not None and key in kept:
        return kept[key]
    found = predict_control(reference, subject, machine)[1]
    if kept is not None:
        kept[key] = found
    return found


def _pack(models: list[ModelPredictions]) -> dict[str, Tensor]:
    return {
        f"{number}.{name}.{field.name}": torch.from_numpy(getattr(getattr(model, name), field.name))
        for number, model in enumerate(models)
        for name in SETS
        for field in fields(Predictions)
    } | {f"{number}.canaries": torch.from_numpy(model.canaries) for number, model in enumerate(models)}


def _unpack(tensors: dict[str, Tensor]) -> ModelPredictions:
    parts = {
        name: Predictions(**{key: tensor.numpy() for key, tensor in part(tensors, f"{name}.").items()}) for name in SETS
    }
    return ModelPredictions(**parts, views={}, canaries=tensors["canaries"].numpy())


def view_of(images: Tensor, view: str) -> Tensor:
    """Return images flipped (``hflip``, ``vflip``) or with the middle 90 % magnified (``crop``).

    Args:
        images: of shape ``(samples, channels, height, width)``.
        view: which.

    Returns:
        float32 of the same shape.
    """
    if view in {"hflip", "vflip"}:
        return images.flip(3 if view == "hflip" else 2).float()
    height, width = images.shape[2:]
    rows, columns = round(0.9 * height), round(0.9 * width)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[:, :, top : top + rows, left : left + columns].float()
    return interpolate(middle, size=(height, width), mode="bilinear", align_corners=False)
