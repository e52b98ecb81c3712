"""What a model says of the samples in question: each model is asked once."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from forgetkit.auditing.subject import Opened, Rows, Subject
from forgetkit.data.dataset import Split
from forgetkit.errors import ForgetkitError
from forgetkit.models.checkpoint import load_model
from forgetkit.statistics.scores import phi
from forgetkit.training.classifier import Classifier, on_machine, predict, take
from forgetkit.training.device import Machine
from forgetkit.training.resume import Bookmark, Place, part

SCORED = ("forget", "unseen", "retain", "earlier")
VIEWS = ("hflip", "vflip", "crop")


@dataclass(frozen=True)
class Scored:
    """What a model says of some samples, as arrays on the CPU.

    Attributes:
        phi: φ of each sample, float64 of shape ``(samples,)``.
        right: whether its largest logit is its label's, bool of shape ``(samples,)``.
        labels: int64 of shape ``(samples,)``.
        softmax: float64 of shape ``(samples, classes)``.
    """

    phi: NDArray[np.float64]
    right: NDArray[np.bool_]
    labels: NDArray[np.int64]
    softmax: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, mask: NDArray[np.bool_]) -> "Scored":
        """Return the samples of ``mask``."""
        return Scored(self.phi[mask], self.right[mask], self.labels[mask], self.softmax[mask])


@dataclass(frozen=True)
class Answers:
    """What one model says of all samples in question.

    Attributes:
        forget: of the forget set.
        unseen: of the check half of the unseen split.
        retain: of the retain set.
        earlier: of what was forgotten before.
        views: of the forget set, flipped or magnified, by the name of the view.
        canaries: φ of each candidate for its assigned label, float64 of shape ``(candidates,)``.
    """

    forget: Scored
    unseen: Scored
    retain: Scored
    earlier: Scored
    views: dict[str, Scored]
    canaries: NDArray[np.float64]

    @property
    def finite(self) -> bool:
        """Whether every φ is a number."""
        parts = (self.forget.phi, self.unseen.phi, self.retain.phi, self.earlier.phi, self.canaries)
        return all(bool(np.isfinite(part).all()) for part in parts)

    @property
    def alike(self) -> Scored:
        """What it says of the unseen samples of the forget set's classes."""
        return self.unseen.take(np.isin(self.unseen.labels, self.forget.labels))


def scored(logits: Tensor, labels: Tensor) -> Scored:
    """Return φ and correctness of each row of ``logits``, of shape ``(samples, classes)``."""
    logits, labels = logits.cpu(), labels.cpu()
    right, softmax = logits.argmax(1) == labels, logits.double().softmax(1)
    return Scored(phi(logits, labels).numpy(), right.numpy(), labels.numpy(), softmax.numpy())


def answers(classifier: Classifier, subject: Subject, machine: Machine, *, control: bool = False) -> Answers:
    """Ask a model about every sample in question; a ``control`` about forgotten and unseen samples only."""
    train, test, device = subject.dataset.train, subject.dataset.test, machine.device

    def said(split: Split, rows: Rows) -> Scored:
        images, labels = take(split, rows, device)
        return scored(predict(classifier, images), labels)

    images, labels = take(train, subject.rows, device)
    views = () if control or len(labels) == 0 else VIEWS
    return Answers(
        forget=scored(predict(classifier, images), labels),
        unseen=said(test, subject.dataset.check_rows),
        retain=said(train, subject.retain_rows[:0] if control else subject.retain_rows),
        earlier=said(train, subject.earlier[:0] if control else subject.earlier),
        views={view: scored(predict(classifier, view_of(images, view)), labels) for view in views},
        canaries=_canaries(classifier, subject, device),
    )


def _canaries(classifier: Classifier, subject: Subject, device: str) -> NDArray[np.float64]:
    if subject.canaries is None:
        return np.empty(0)
    images, _ = take(subject.dataset.train, subject.canaries.rows, device)
    return phi(predict(classifier, images).cpu(), torch.from_numpy(subject.canaries.labels)).numpy()


def control(model: Opened, subject: Subject, machine: Machine) -> Answers:
    """Return what the original, or a reference, says.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` where it does not answer in numbers.
    """
    said = answers(on_machine(load_model(*model), model[1], machine), subject, machine, control=True)
    if not said.finite:
        raise ForgetkitError("checkpoint-malformed", f"{model[0]}: its outputs are not finite")
    return said


def answers_of(references: list[Opened], subject: Subject, machine: Machine, bookmark: Bookmark) -> list[Answers]:
    """Return what each reference says; they are loaded one at a time.

    Raises:
        ForgetkitError: as :func:`control`.
    """
    left = bookmark.open("references")
    said = [_unpacked(part(left.tensors, f"{number}.")) for number in range(left.at["references"])] if left else []
    for reference in references[len(said) :]:
        said.append(control(reference, subject, machine))
        bookmark.reached("references", lambda: Place({"references": len(said)}, _packed(said)))
    return said


def _packed(said: list[Answers]) -> dict[str, Tensor]:
    return {
        f"{number}.{name}.{kind}": torch.from_numpy(getattr(getattr(one, name), kind))
        for number, one in enumerate(said)
        for name in SCORED
        for kind in ("phi", "right", "labels", "softmax")
    } | {f"{number}.canaries": torch.from_numpy(one.canaries) for number, one in enumerate(said)}


def _unpacked(tensors: dict[str, Tensor]) -> Answers:
    parts = {
        name: Scored(**{kind: tensor.numpy() for kind, tensor in part(tensors, f"{name}.").items()}) for name in SCORED
    }
    return Answers(**parts, views={}, canaries=tensors["canaries"].numpy())


def view_of(images: Tensor, view: str) -> Tensor:
    """Return images flipped (``hflip``, ``vflip``) or with the middle 90 % magnified (``crop``), as float32."""
    if view in {"hflip", "vflip"}:
        return images.flip(3 if view == "hflip" else 2).float()
    height, width = images.shape[2:]
    rows, columns = round(0.9 * height), round(0.9 * width)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[:, :, top : top + rows, left : left + columns].float()
    return interpolate(middle, size=(height, width), mode="bilinear", align_corners=False)
