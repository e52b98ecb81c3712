"""Model factories, and checkpoints in and out. The three public names are imported on first use: they need torch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forgetkit.models.build import MODELS, build_model, register_model

__all__ = ["MODELS", "build_model", "register_model"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from forgetkit.models import build

    return getattr(build, name)
