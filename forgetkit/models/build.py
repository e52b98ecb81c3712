"""MODELS: the functions that build classifiers; a new model is one decorated function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from forgetkit.errors import ForgetkitError, shorten
from forgetkit.files.record import Record
from forgetkit.models.factory import Factory, call_factory, check_factory, resolve
from forgetkit.models.tensor_file import unfit
from forgetkit.models.zoo import Stem, names_in, timm_factory, torchvision_factory
from forgetkit.registry import FAILURES, Registry, place_of

MODELS: Registry[Factory] = Registry("model", check_factory)
register_model = MODELS.register
"""Make the factory below known to ``--model``: ``@register_model``, ``@register_model()``, ``@register_model("name")``.

A factory is called with keywords: ``classes`` (int), ``in_channels`` (int) and ``image_size`` (height, width), the last
two only where its signature names them; and its own options, each typed (bool, int, float, str, Literal, or one of them
or None). It returns a module that maps normalised float images ``(batch, channels, height, width)`` to logits ``(batch,
classes)``. The decorator raises ForgetkitError ``plugin-malformed`` for any other argument or factory.
"""


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
        hidden = nn.functional.max_pool2d(self.conv1(images), 2).relu_()
        hidden = nn.functional.max_pool2d(self.conv2(hidden), 2).relu_()
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
    return torchvision_factory("resnet50")(in_channels=in_channels, image_size=image_size, classes=classes, stem=stem)


def build_model(
    name: str, options: dict[str, Any], *, shape: tuple[int, int, int], classes: int, seed: int
) -> nn.Module:
    """Build the model ``name`` with weights drawn from ``seed``.

    Args:
        name: a registered name, ``torchvision:NAME`` or ``timm:NAME``.
        options: the factory's own options, as :func:`resolve_options` returns them.
        shape: channels, height and width of an image.
        classes: number of classes.
        seed: seed of the initial weights.

    Raises:
        ForgetkitError: ``model-unknown``, ``missing-extra``, or ``model-mismatch`` where it cannot take images of
            ``shape``.
    """
    factory = find_factory(name)
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU
        torch.default_generator.manual_seed(seed)
        try:
            model = call_factory(factory, options, shape=shape, classes=classes)
            _check_module(model)
            model = model.float()
            if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
                _answer(model, shape, training=False)  # lazy layers learn their size, and draw their weights
                model.train()
            _check_tensors(model)
        except FAILURES as problem:
            raise _mismatch(name, shape, problem) from problem
    return model


def build_recorded(record: Record, *, seed: int) -> nn.Module:
    """Build the model of a record with weights drawn from ``seed``.

    Raises:
        ForgetkitError: as :func:`build_model`; ``model-unknown`` names the plugin file that registered it.
    """
    name, plugin = record.model["name"], record.model.get("plugin")
    shape, classes = tuple(record.input["shape"]), len(record.classes)
    try:
        return build_model(name, record.model["options"], shape=shape, classes=classes, seed=seed)
    except ForgetkitError as problem:
        if problem.code != "model-unknown" or not isinstance(plugin, str):
            raise
        message = f"{problem.message}: the plugin file {shorten(plugin)}, which registers it, is not loaded"
        hint = f"name it: --plugin {shorten(plugin)}, or FORGETKIT_PLUGINS"
        raise ForgetkitError(problem.code, message, hint) from problem


def state_of(build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    """Return the ``state_dict`` of the model that ``build`` makes, if possible without memory for the weights."""
    try:
        with torch.device("meta"):
            return build().state_dict()
    except ForgetkitError:  # unknown, or one of the few models that cannot be built without memory
        return build().state_dict()


def model_entry(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the record's entry for the model ``name`` with the options ``given``; raises as :func:`resolve_options`.

    For a model that a plugin file registered, the entry has the base name of that file.
    """
    options, plugin = resolve_options(name, given), MODELS.plugin_of(name)
    return {"name": name, "options": options, **({"plugin": plugin} if plugin else {})}


def check_fit(model: nn.Module, name: str, *, shape: tuple[int, int, int], classes: int) -> None:
    """Refuse a model that does not map images of ``shape`` to ``classes`` logits; leave it in eval mode.

    It is called with one image, then in train mode, where some models return more than logits, with two. Weights and
    batch-norm statistics do not change.

    Raises:
        ForgetkitError: ``model-mismatch``.
    """
    kept = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for training, images in ((False, "for one image it"), (True, "while training, for two images it")):
        try:
            with torch.random.fork_rng(devices=[]):
                logits = _answer(model, shape, training=training)
        except FAILURES as problem:
            raise _mismatch(name, shape, problem) from problem
        if not isinstance(logits, Tensor) or logits.shape != (1 + training, classes):
            found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise _mismatch(name, shape, f"{images} returns {found}, not {classes} logits")
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            tensor.copy_(kept[key])
    model.eval()


def resolve_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Check ``given`` against the factory's signature and add its defaults.

    Raises:
        ForgetkitError: ``model-unknown``; ``usage`` for an option the factory does not have, or of the wrong type.
    """
    return resolve(name, find_factory(name), given)


def find_factory(name: str) -> Factory:
    """Return the factory of ``name``; ``torchvision:NAME`` and ``timm:NAME`` need no registration.

    A name is never imported as a module: one that is not registered is an error.

    Raises:
        ForgetkitError: ``model-unknown`` or ``missing-extra``.
    """
    library, colon, own = name.partition(":")
    if colon and library == "torchvision":
        return torchvision_factory(own)
    if colon and library == "timm":
        return timm_factory(own)
    try:
        return MODELS[name]
    except ForgetkitError as problem:
        if problem.code != "model-unknown":
            raise
        library, _, own = name.replace("/", ":").replace(".", ":").rpartition(":")
        for zoo in ("torchvision", "timm"):
            if library.split(":")[0] in {"", zoo} and own in names_in(zoo):
                raise ForgetkitError(problem.code, problem.message, f"did you mean {zoo}:{own}?") from problem
        hint = f"{problem.hint}; torchvision:NAME, timm:NAME, or your own: --plugin FILE.py with @register_model"
        raise ForgetkitError(problem.code, problem.message, hint) from problem


@torch.no_grad()
def _answer(model: nn.Module, shape: tuple[int, int, int], *, training: bool) -> object:
    """Return the output of ``model`` for one black image, or in train mode for two."""
    model.train(training)
    return model(torch.zeros(1 + training, *shape))


def _check_module(model: object) -> None:
    """Raise TypeError for anything but a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"its factory returned {type(model).__name__}, not a torch.nn.Module")


def _check_tensors(model: nn.Module) -> None:
    """Raise ValueError for a model that cannot be trained, or that a checkpoint cannot hold."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("it has no parameters to train")
    for name, tensor in model.state_dict(keep_vars=True).items():
        if is_lazy(tensor):
            raise ValueError(f"its lazy '{name}' has no shape: no image reaches it")
        why = unfit(name, tensor) if isinstance(tensor, Tensor) else f"is of type {type(tensor).__name__}, not a tensor"
        if why:
            raise ValueError(f"'{shorten(name)}' of its state_dict {why}")


def _mismatch(name: str, shape: tuple[int, int, int], why: str | Exception) -> ForgetkitError:
    channels, height, width = shape
    lines = str(why).strip().splitlines() or [type(why).__name__ if isinstance(why, Exception) else ""]
    place = place_of(why) if isinstance(why, Exception) else None
    reason = f"{type(why).__name__}: {lines[0]} ({place})" if place else lines[0]
    message = f"{name} cannot take {channels}×{height}×{width} images: {reason}"
    return ForgetkitError("model-mismatch", message, "choose another --model or --model-option")
