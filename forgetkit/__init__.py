"""Machine unlearning of image classifiers: forget named samples, then audit that they are forgotten.

The names below are imported when they are first used, so that ``import forgetkit`` costs nothing. The functions take
the path of a checkpoint, or a ``torch.nn.Module`` and tensors.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forgetkit.auditing.check import register_check as register_check
    from forgetkit.auditing.run import audit as audit
    from forgetkit.auditing.scores.run import audit_scores as audit_scores
    from forgetkit.data.select import forget_ids as forget_ids
    from forgetkit.data.sources import register_dataset as register_dataset
    from forgetkit.errors import ForgetkitError as ForgetkitError
    from forgetkit.errors import NotReached as NotReached
    from forgetkit.methods.register import register_method as register_method
    from forgetkit.models.build import register_model as register_model
    from forgetkit.models.checkpoint import load as load
    from forgetkit.models.checkpoint import save as save
    from forgetkit.options import Compute as Compute
    from forgetkit.options import ResumableOutput as ResumableOutput
    from forgetkit.options import Source as Source
    from forgetkit.training.train import fit_model as fit_model
    from forgetkit.training.train import train as train
    from forgetkit.training.train import train_all as train_all
    from forgetkit.training.train_options import Training as Training
    from forgetkit.training.train_options import TrainOptions as TrainOptions
    from forgetkit.unlearning.distill import distill as distill
    from forgetkit.unlearning.forget import forget as forget
    from forgetkit.unlearning.forget_options import Forget as Forget
    from forgetkit.unlearning.method_options import Distill as Distill
    from forgetkit.unlearning.method_options import Neutralize as Neutralize
    from forgetkit.unlearning.neutralize import neutralize as neutralize
    from forgetkit.unlearning.relabel import relabel as relabel
    from forgetkit.unlearning.relabel_options import Relabel as Relabel
    from forgetkit.unlearning.step_options import MethodOptions as MethodOptions
    from forgetkit.unlearning.step_options import StepOptions as StepOptions

__version__ = "0.1.0"
_HOMES = {
    "auditing.check": "register_check",
    "auditing.run": "audit",
    "auditing.scores.run": "audit_scores",
    "data.select": "forget_ids",
    "data.sources": "register_dataset",
    "errors": "ForgetkitError NotReached",
    "methods.register": "register_method",
    "models.build": "register_model",
    "models.checkpoint": "load save",
    "options": "Compute ResumableOutput Source",
    "training.train": "fit_model train train_all",
    "training.train_options": "TrainOptions Training",
    "unlearning.distill": "distill",
    "unlearning.forget": "forget",
    "unlearning.forget_options": "Forget",
    "unlearning.method_options": "Distill Neutralize",
    "unlearning.neutralize": "neutralize",
    "unlearning.relabel": "relabel",
    "unlearning.relabel_options": "Relabel",
    "unlearning.step_options": "MethodOptions StepOptions",
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'forgetkit' has no attribute '{name}'")
    return getattr(import_module(f"forgetkit.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
