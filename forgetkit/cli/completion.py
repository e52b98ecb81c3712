"""Shell completion: known names, and checkpoints. Without torch."""

from collections.abc import Callable
from pathlib import Path

from forgetkit.options import OPTIMIZERS, PRECISIONS
from forgetkit.training.adopt_options import CLASS_ORDERS
from forgetkit.training.recipe import AUGMENTS, SCHEDULES

MODELS = ("convnet", "resnet50", "torchvision:", "timm:")
"""The names of ``forgetkit.models``, which would import torch."""
OFFERS: dict[str, tuple[str, ...]] = {
    "model": MODELS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": AUGMENTS,
    "device": ("auto", "cpu", "cuda", "mps"),
    "precision": PRECISIONS,
    "class_order": CLASS_ORDERS,
}
"""Known values of options, by the option's name."""
CHECKPOINTS = ("checkpoint", "original", "teacher", "forget_teacher", "like", "from_", "reference")
"""Options and arguments that name a checkpoint."""

Offer = Callable[[str], list[str]]


def offer_of(name: str) -> Offer | None:
    """Return what completes the option or argument ``name``; None if any file may be meant."""
    if name in CHECKPOINTS:
        return checkpoints
    if name == "dataset":
        return lambda incomplete: _begun(_datasets(), incomplete)
    return (lambda incomplete: _begun(OFFERS[name], incomplete)) if name in OFFERS else None


def checkpoints(incomplete: str) -> list[str]:
    """Return the checkpoints, and the folders, whose paths begin with ``incomplete``."""
    head, slash, tail = incomplete.rpartition("/")
    try:
        found = sorted(Path(head + slash or ".").iterdir())
    except OSError:
        return []
    shown = [path for path in found if path.name.startswith(tail) and path.name.startswith(".") == tail.startswith(".")]
    folders = [f"{head}{slash}{path.name}/" for path in shown if path.is_dir()]
    return [f"{head}{slash}{path.name}" for path in shown if path.suffix == ".st" and path.is_file()] + folders


def _begun(names: tuple[str, ...], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _datasets() -> tuple[str, ...]:
    from forgetkit.data.sources import DATASETS

    return tuple(sorted(DATASETS))
