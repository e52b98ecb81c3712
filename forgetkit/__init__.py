"""Machine unlearning of image classifiers: forget named samples, then audit that they are forgotten.

The functions and settings below are imported when they are first used, so that ``import forgetkit`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from forgetkit.data.sources import register_dataset as register_dataset
    from forgetkit.errors import ForgetkitError as ForgetkitError
    from forgetkit.errors import NotReached as NotReached
    from forgetkit.methods.register import register_method as register_method
    from forgetkit.models.build import register_model as register_model
    from forgetkit.options import Compute as Compute
    from forgetkit.options import MethodOptions as MethodOptions
    from forgetkit.options import ResumableOutput as ResumableOutput
    from forgetkit.options import Source as Source
    from forgetkit.options import StepOptions as StepOptions
    from forgetkit.options import Training as Training
    from forgetkit.unlearning.distill import distill as distill
    from forgetkit.unlearning.forget import forget as forget
    from forgetkit.unlearning.method_options import Distill as Distill
    from forgetkit.unlearning.method_options import Forget as Forget
    from forgetkit.unlearning.method_options import Neutralize as Neutralize
    from forgetkit.unlearning.neutralize import neutralize as neutralize
    from forgetkit.unlearning.relabel import relabel as relabel
    from forgetkit.unlearning.relabel_options import Relabel as Relabel

_HOMES = {
    "data.sources": ("register_dataset",),
    "errors": ("ForgetkitError", "NotReached"),
    "methods.register": ("register_method",),
    "models.build": ("register_model",),
    "options": ("Compute", "MethodOptions", "ResumableOutput", "Source", "StepOptions", "Training"),
    "unlearning.distill": ("distill",),
    "unlearning.forget": ("forget",),
    "unlearning.method_options": ("Distill", "Forget", "Neutralize"),
    "unlearning.neutralize": ("neutralize",),
    "unlearning.relabel": ("relabel",),
    "unlearning.relabel_options": ("Relabel",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'forgetkit' has no attribute '{name}'")
    return getattr(import_module(f"forgetkit.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
