"""Classifiers of other libraries, built without weights: torchvision's and timm's."""

import functools
import importlib.util
import re
from pathlib import Path
from typing import Any, Literal

from torch import nn

from forgetkit.errors import ForgetkitError, did_you_mean
from forgetkit.models.factory import Factory

Stem = Literal["usual", "small"]
_REGISTERED = re.compile(r"^@register_model\b.*\n(?:@.*\n)*def (\w+)", re.MULTILINE)


@functools.cache
def names_in(library: Literal["torchvision", "timm"]) -> list[str]:
    """Return the sorted names of a library's classifiers; none where it is not installed.

    They are read from its files: importing it takes seconds.
    """
    found = importlib.util.find_spec(library)
    files = Path(found.origin).parent.glob("models/*.py") if found and found.origin else []
    return sorted(name for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8")))


def torchvision_factory(name: str) -> Factory:
    """Return a factory of torchvision's classifier ``name``.

    Raises:
        ForgetkitError: ``model-unknown``.
    """
    known = names_in("torchvision")
    if name not in known:
        raise ForgetkitError("model-unknown", f"torchvision has no classifier '{name}'", did_you_mean(name, known))

    def build(*, in_channels: int, image_size: tuple[int, int], classes: int, stem: Stem = "usual") -> nn.Module:
        """Build the classifier."""
        from torchvision import models

        extra: dict[str, Any] = {}
        if name in {"googlenet", "inception_v3"}:
            extra = {"aux_logits": False, "init_weights": True}
        if name.startswith("vit_"):
            if image_size[0] != image_size[1]:
                raise ValueError("it needs square images")
            extra = {"image_size": image_size[0]}
        model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
        if in_channels != 3:
            _replace_first_conv(model, {"in_channels": in_channels})
        if stem == "small":
            _small_stem(model, name)
        return model

    return build


def timm_factory(name: str) -> Factory:
    """Return a factory of timm's model ``name``; one of a fixed image size is built for the size of the data.

    Raises:
        ForgetkitError: ``missing-extra``; ``model-unknown``, also for names that make timm download (``hf-hub:``).
    """
    takes_size = is_of_fixed_size(name)

    def build(
        *,
        in_channels: int,
        image_size: tuple[int, int],
        classes: int,
        drop_rate: float | None = None,
        drop_path_rate: float | None = None,
        patch_size: int | None = None,
        global_pool: str | None = None,
    ) -> nn.Module:
        """Build the model."""
        import timm

        given = {
            "drop_rate": drop_rate,
            "drop_path_rate": drop_path_rate,
            "patch_size": patch_size,
            "global_pool": global_pool,
            "img_size": image_size if takes_size else None,
        }
        set_ones: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        model: nn.Module = timm.create_model(name, in_chans=in_channels, num_classes=classes, **set_ones)
        return model

    return build


def is_of_fixed_size(name: str) -> bool:
    """Say whether timm's model ``name`` is built for images of one size.

    Raises:
        ForgetkitError: ``missing-extra`` or ``model-unknown``.
    """
    known = names_in("timm")
    if not known:
        hint = "pip install timm"
        raise ForgetkitError("missing-extra", f"timm:{name} needs timm, which is not installed", hint)
    if name not in known:
        raise ForgetkitError("model-unknown", f"timm has no model '{name}'", did_you_mean(name, known))
    import timm

    return bool(getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False))


def _replace_first_conv(model: nn.Module, changes: dict[str, Any]) -> None:
    """Replace the first convolution with one whose settings differ in ``changes``."""
    path, old = next((path, part) for path, part in model.named_modules() if isinstance(part, nn.Conv2d))
    settings: dict[str, Any] = {
        "in_channels": old.in_channels,
        "out_channels": old.out_channels,
        "kernel_size": old.kernel_size,
        "stride": old.stride,
        "padding": old.padding,
        "bias": old.bias is not None,
    }
    model.set_submodule(path, nn.Conv2d(**settings | changes))


def _small_stem(model: nn.Module, name: str) -> None:
    """Make the first convolution keep the image size (3×3, stride 1), and drop the pooling after it."""
    modules = dict(model.named_modules())
    pool = next((path for path in ("maxpool", "features.pool0") if path in modules), None)
    if pool is None:
        raise ValueError(f"the small stem exists for ResNets and DenseNets, not for {name}")
    _replace_first_conv(model, {"kernel_size": 3, "stride": 1, "padding": 1})
    model.set_submodule(pool, nn.Identity())
