"""MODELS: the functions that build classifiers. A new model is one decorated function."""

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import torch
from torch import Tensor, nn

from forgetkit.errors import ForgetkitError
from forgetkit.registry import Registry, did_you_mean

Factory = Callable[..., nn.Module]
MODELS: Registry[Factory] = Registry("model")
Stem = Literal["usual", "small"]
_GIVEN = {"in_channels", "image_size", "classes"}


def register_model(name: str) -> Callable[[Factory], Factory]:
    """Return a decorator that makes a factory known to ``--model`` as ``name``.

    The factory is called with the keywords ``in_channels``, ``image_size`` (height, width) and
    ``classes``, and with its own typed options, each of which has a default.
    """
    return MODELS.register(name)


class ConvNet(nn.Module):
    """Two 3×3 convolutions and one linear layer.

    Source: Kim & Woo 2022, Table 1 ("2 Conv. layers followed by 1 FC layer").
    """

    def __init__(self, *, in_channels: int, image_size: tuple[int, int], classes: int) -> None:
        super().__init__()
        height, width = image_size
        self.conv1 = nn.Conv2d(in_channels, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(64 * (height // 4) * (width // 4), classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``(batch, classes)`` of images ``(batch, channels, height, width)``."""
        hidden = nn.functional.max_pool2d(self.conv1(images), 2).relu()
        hidden = nn.functional.max_pool2d(self.conv2(hidden), 2).relu()
        logits: Tensor = self.fc(hidden.flatten(1))
        return logits


@register_model("convnet")
def convnet(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    """Build the papers' network of two convolutions (32 and 64 channels) and one linear layer."""
    if min(image_size) < 4:
        raise ValueError("images must be at least 4×4")
    return ConvNet(in_channels=in_channels, image_size=image_size, classes=classes)


@register_model("resnet50")
def resnet50(*, in_channels: int, image_size: tuple[int, int], classes: int, stem: Stem = "usual") -> nn.Module:
    """Build torchvision's ResNet-50, the papers' larger network; ``stem=small`` suits images up to 64 pixels."""
    return _torchvision("resnet50")(in_channels=in_channels, image_size=image_size, classes=classes, stem=stem)


def build_model(
    name: str, options: dict[str, Any], *, shape: tuple[int, int, int], classes: int, seed: int
) -> nn.Module:
    """Build the model ``name`` with weights drawn from ``seed``.

    Args:
        name: a registered name, or ``torchvision:NAME``.
        options: the factory's own options, as :func:`resolve_options` returns them.
        shape: channels, height and width of an image.
        classes: number of classes.
        seed: seed of the initial weights.

    Raises:
        ForgetkitError: ``model-unknown``, or ``model-mismatch`` where it cannot take such images.
    """
    factory = find_factory(name)
    channels, *image_size = shape
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.default_generator.manual_seed(seed)
        try:
            model = factory(in_channels=channels, image_size=tuple(image_size), classes=classes, **options)
        except (ValueError, TypeError, AssertionError, RuntimeError) as problem:
            raise _mismatch(name, shape, str(problem)) from problem
    return model.float()


def check_fit(model: nn.Module, name: str, *, shape: tuple[int, int, int], classes: int) -> None:
    """Refuse a model that does not map one image of ``shape`` to ``classes`` logits.

    Raises:
        ForgetkitError: ``model-mismatch``.
    """
    model.eval()
    try:
        with torch.no_grad():
            logits = model(torch.zeros(1, *shape))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as problem:
        raise _mismatch(name, shape, str(problem)) from problem
    if not isinstance(logits, Tensor) or logits.shape != (1, classes):
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise _mismatch(name, shape, f"for one image it returns {found}, not {classes} logits")


def resolve_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Check ``given`` against the factory's signature and add its defaults.

    Raises:
        ForgetkitError: ``model-unknown``; ``usage`` for an option the factory does not have, or of the wrong type.
    """
    signature = inspect.signature(find_factory(name), eval_str=True)
    own = {key: parameter for key, parameter in signature.parameters.items() if key not in _GIVEN}
    for key, value in given.items():
        if key not in own:
            hint = did_you_mean(key, own) if own else f"{name} has no options"
            raise ForgetkitError("usage", f"{name} has no option '{key}'", hint)
        if not _is_of(value, own[key].annotation):
            raise ForgetkitError(
                "usage", f"--model-option {key}: {value!r} does not fit", f"it takes {_words(own[key].annotation)}"
            )
    return {key: given.get(key, parameter.default) for key, parameter in own.items()}


def find_factory(name: str) -> Factory:
    """Return the factory of ``name``; ``torchvision:NAME`` needs no registration."""
    if name.startswith("torchvision:"):
        return _torchvision(name.removeprefix("torchvision:"))
    try:
        return MODELS[name]
    except ForgetkitError as problem:
        hint = f"{problem.hint}; torchvision's models are torchvision:NAME; your own needs @register_model"
        raise ForgetkitError(problem.code, problem.message, hint) from problem


def _torchvision(name: str) -> Factory:
    """Return a factory for torchvision's classifier ``name``, without weights."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ForgetkitError("model-unknown", f"torchvision has no classifier '{name}'", did_you_mean(name, known))

    def build(*, in_channels: int, image_size: tuple[int, int], classes: int, stem: Stem = "usual") -> nn.Module:
        extra: dict[str, Any] = {}
        if name in {"googlenet", "inception_v3"}:
            extra = {"aux_logits": False, "init_weights": True}
        if name.startswith("vit_"):
            if image_size[0] != image_size[1]:
                raise ValueError("it takes square images")
            extra = {"image_size": image_size[0]}
        model: nn.Module = models.get_model(name, weights=None, num_classes=classes, **extra)
        if in_channels != 3:
            _replace_first_conv(model, in_channels=in_channels)
        if stem == "small":
            _small_stem(model, name)
        return model

    return build


def _replace_first_conv(model: nn.Module, **changes: Any) -> None:  # noqa: ANN401 - Conv2d's own arguments
    """Replace the first convolution by one that differs in ``changes``."""
    path, old = next((path, part) for path, part in model.named_modules() if isinstance(part, nn.Conv2d))
    settings = {
        "in_channels": old.in_channels,
        "out_channels": old.out_channels,
        "kernel_size": old.kernel_size,
        "stride": old.stride,
        "padding": old.padding,
        "bias": old.bias is not None,
    }
    model.set_submodule(path, nn.Conv2d(**{**settings, **changes}))


def _small_stem(model: nn.Module, name: str) -> None:
    """Let the first convolution keep the image's size (3×3, stride 1) and drop the pooling after it."""
    pool = next((path for path in ("maxpool", "features.pool0") if _has(model, path)), None)
    if pool is None:
        raise ValueError(f"the small stem is known for ResNets and DenseNets, not for {name}")
    _replace_first_conv(model, kernel_size=3, stride=1, padding=1)
    model.set_submodule(pool, nn.Identity())


def _has(model: nn.Module, path: str) -> bool:
    return any(found == path for found, _ in model.named_modules())


def _is_of(value: object, annotation: Any) -> bool:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is Literal:
        return value in get_args(annotation)
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return annotation is inspect.Parameter.empty or isinstance(value, annotation)


def _words(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    if get_origin(annotation) is Literal:
        return " or ".join(str(value) for value in get_args(annotation))
    return getattr(annotation, "__name__", str(annotation))


def _mismatch(name: str, shape: tuple[int, int, int], why: str) -> ForgetkitError:
    channels, height, width = shape
    image = f"{channels}×{height}×{width} images"
    first = why.strip().splitlines()[0] if why.strip() else "no reason given"
    return ForgetkitError(
        "model-mismatch", f"{name} cannot take {image}: {first}", "choose another --model or --model-option"
    )
