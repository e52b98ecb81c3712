"""What a caller hands to an audit in Python: whether modules, tensors and paths fit together."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from forgetkit.errors import ForgetkitError
from forgetkit.training.classifier import Samples


def compared(original: object, references: Iterable[object], *, modules: bool) -> tuple[Any, list[Any]]:
    """Return the original and the references if all are modules, or none is.

    Raises:
        ForgetkitError: ``usage`` if one is not what the model under audit is.
    """
    others = list(references)
    for one in (original, *others):
        if one is not None and isinstance(one, nn.Module) is not modules:
            message = f"a {'module' if modules else 'checkpoint'} cannot be compared with {type(one).__name__} {one!r}"
            hint = "compare modules with modules, and paths of checkpoints with paths; checkpoint.load makes a module"
            raise ForgetkitError("usage", " ".join(message.split()), hint)
    return original, others


def whole(samples: dict[str, Samples | None], ids: object) -> dict[str, Samples]:
    """Return the samples of a module, if all are there.

    Raises:
        ForgetkitError: ``usage`` if one of the three sets is missing, or ids were given.
    """
    found = {name: part for name, part in samples.items() if part is not None}
    if ids is not None or len(found) < len(samples):
        hint = "audit(model, forget=(images, labels), retain=(images, labels), unseen=(images, labels))"
        raise ForgetkitError("usage", "a module is audited on forget, retain and unseen samples, not on ids", hint)
    return found


def refuse_samples(samples: dict[str, Samples | None]) -> None:
    """Refuse samples beside a checkpoint, which has a data set; raises ForgetkitError, ``usage``."""
    if any(part is not None for part in samples.values()):
        message = "forget, retain and unseen are for a module; a checkpoint has its data set and ids"
        raise ForgetkitError("usage", message, "name the ids: audit(checkpoint, ids, original=...)")


def check_samples(name: str, images: object, labels: object) -> None:
    """Refuse what are no images and their labels; raises ForgetkitError, ``usage``."""
    hint = "give two tensors: images, and one class number for each"
    if not isinstance(images, Tensor) or not isinstance(labels, Tensor):
        found = f"{type(images).__name__} and {type(labels).__name__}"
        raise ForgetkitError("usage", f"{name}: {found}, not two tensors", hint)
    if labels.shape != images.shape[:1] or not len(labels):
        found = f"images of shape {tuple(images.shape)}, labels of shape {tuple(labels.shape)}"
        raise ForgetkitError("usage", f"{name}: {found}", hint)
    if labels.is_floating_point():
        raise ForgetkitError("usage", f"{name}: labels are {labels.dtype}, not class numbers", hint)
