"""Model factories: what is passed to them, and their own typed options."""

import inspect
import json
import math
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from torch import nn

from forgetkit.errors import ForgetkitError, did_you_mean
from forgetkit.registry import malformed_plugin, parameters_of

Factory = Callable[..., nn.Module]
GIVEN = ("in_channels", "image_size", "classes")
_SCALARS = (bool, int, float, str)


def check_factory(name: str, factory: Factory) -> None:
    """Refuse a factory that could not be called, or whose options could not be checked.

    Raises:
        ForgetkitError: ``plugin-malformed``; names the parameter.
    """
    parameters = parameters_of("factory", name, factory, typed=True)
    for key, parameter in parameters.items():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise _malformed(name, f"'{key}' cannot be passed by name", "remove the '/' from its signature")
        if key not in GIVEN:
            _check_own(name, parameter)
    if "classes" not in parameters:
        hint = "def factory(*, in_channels: int, image_size: tuple[int, int], classes: int, ...)"
        raise _malformed(name, "it does not take 'classes'", hint)


def call_factory(
    factory: Factory, options: Mapping[str, Any], *, shape: tuple[int, int, int], classes: int
) -> nn.Module:
    """Return the factory's model for images of ``shape`` (channels, height, width); pass only what it names."""
    given = dict(zip(GIVEN, (shape[0], shape[1:], classes), strict=True))
    named = inspect.signature(factory).parameters
    return factory(**{key: value for key, value in given.items() if key in named}, **options)


def resolve(name: str, factory: Factory, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the factory's own options: those ``given``, checked, and the defaults of the others.

    Raises:
        ForgetkitError: ``usage`` for an option that it does not have, that is of the wrong type, or that is missing.
    """
    parameters = inspect.signature(factory, eval_str=True).parameters
    own = {key: parameter for key, parameter in parameters.items() if key not in GIVEN}
    for key, value in given.items():
        if key not in own:
            hint = did_you_mean(key, own) if own else f"{name} has no options"
            raise ForgetkitError("usage", f"{name} has no option '{key}'", hint)
        if not _is_of(value, own[key].annotation):
            hint = f"it takes {_words(own[key].annotation)}"
            if _is_of("", own[key].annotation):  # what looks like a number was read as one
                hint += f"; as text: --model-option '{key}=\"{value}\"'"
            raise ForgetkitError("usage", f"--model-option {key}: {value!r} does not fit", hint)
    for key, parameter in own.items():
        if key not in given and parameter.default is parameter.empty:
            hint = f"--model-option {key}=...: {_words(parameter.annotation)}"
            raise ForgetkitError("usage", f"{name} needs a value for '{key}'", hint)
    return {key: given.get(key, parameter.default) for key, parameter in own.items()}


def parse_options(texts: list[str]) -> dict[str, Any]:
    """Return keys and values of texts ``KEY=VALUE``; a value that is no JSON scalar is text.

    Raises:
        ForgetkitError: ``usage``.
    """
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            message, hint = f"--model-option: '{text}' is not KEY=VALUE", "for example: --model-option stem=small"
            raise ForgetkitError("usage", message, hint)
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = value
        found[key] = value if isinstance(parsed, dict | list) else parsed
    return found


def _check_own(name: str, parameter: inspect.Parameter) -> None:
    kind = parameter.annotation
    if not all(_is_scalar(part) for part in _parts(kind)):
        found = "has no type" if kind is parameter.empty else f"is of {_words(kind)}"
        hint = "the type of an option is bool, int, float, str, Literal, or one of them or None"
        raise _malformed(name, f"its option '{parameter.name}' {found}", hint)
    if parameter.default is not parameter.empty and not _is_of(parameter.default, kind):
        message = f"the default of '{parameter.name}', {parameter.default!r}, does not fit"
        raise _malformed(name, message, f"it takes {_words(kind)}")


def _parts(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401 - any annotation
    """Return the alternatives of a union; of any other annotation, itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_scalar(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    if get_origin(kind) is Literal:
        return all(isinstance(value, (*_SCALARS, NoneType)) for value in get_args(kind))
    return kind in (*_SCALARS, NoneType)


def _is_of(value: object, kind: Any) -> bool:  # noqa: ANN401 - any annotation
    """Say whether ``value`` is of a type; a bool is no number, and NaN and infinity are no float."""
    if get_origin(kind) is Literal:
        return any(value == known and type(value) is type(known) for known in get_args(kind))
    if (parts := _parts(kind)) != (kind,):
        return any(_is_of(value, part) for part in parts)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def _words(kind: Any) -> str:  # noqa: ANN401 - any annotation
    if get_origin(kind) is Literal:
        return " or ".join(str(value) for value in get_args(kind))
    if (parts := _parts(kind)) != (kind,):
        return " or ".join(_words(part) for part in parts)
    return "null" if kind is NoneType else getattr(kind, "__name__", str(kind)) if kind in _SCALARS else str(kind)


def _malformed(name: str, why: str, hint: str) -> ForgetkitError:
    return malformed_plugin("factory", name, why, hint)
