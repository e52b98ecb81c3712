"""Weights from elsewhere: safetensors files without a record, and folders as timm and Hugging Face write them."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_header
from forgetkit.files.lfs import refuse_pointer
from forgetkit.files.record import Record, check_shape
from forgetkit.models.class_names import class_names, names_in_metadata
from forgetkit.models.tensor_file import read_tensors

WEIGHTS, CONFIG, PREPROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
LARGEST_CONFIG = 1 << 20
WHITE = 255.0
"""Largest value of a pixel: configs give mean and std for pixels from 0 to 1, records for pixels from 0 to 255."""
_OWN = "forgetkit:"
"""Prefix of the names of registered models in a config, in which timm's names have none."""
_FROM_DATA = {"in_chans", "num_classes", "img_size"}
_HOW = "give safetensors: a file, or a folder with model.safetensors and config.json"


@dataclass(frozen=True)
class Config:
    """What the config of a folder says about its weights.

    Attributes:
        model: name of the model, as for ``--model``; None if the config names none that can be built.
        options: options of the model, as for ``--model-option``.
        mean: of each channel, in pixels from 0 to 1; None if unknown.
        std: standard deviation of each channel, likewise.
        labels: names of the classes, in the order of the logits; empty if unknown.
        other: the architecture that the config names, if timm does not know it.
    """

    model: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    mean: list[float] | None = None
    std: list[float] | None = None
    labels: list[str] = field(default_factory=list)
    other: str | None = None


def find_weights(name: str) -> tuple[Path, Config]:
    """Return the file of weights that ``name`` means, and if that is a folder, what its config says.

    Of the config beside a ``model.safetensors`` that is named itself, only the classes count.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    if not name:
        raise ForgetkitError("checkpoint-missing", "no weights given: the path is empty", _HOW)
    path = Path(name)
    if not path.is_dir():
        with suppress(ForgetkitError):
            return path, Config(labels=_config(path.parent).labels if path.name == WEIGHTS else [])
        return path, Config()
    if not (path / WEIGHTS).is_file():
        pickles = sorted(file.name for kind in ("*.bin", "*.pt", "*.pth") for file in path.glob(kind))
        hint = f"forgetkit convert {path / pickles[0]} -o {path / WEIGHTS}" if pickles else _HOW
        if (path / f"{WEIGHTS}.index.json").is_file():
            hint = "the weights are split over several files: join them into one"
        raise ForgetkitError("checkpoint-missing", f"{path}: no {WEIGHTS} in this folder", hint)
    return path / WEIGHTS, _config(path)


def read_weights(path: Path) -> tuple[dict[str, Tensor], str, list[str]]:
    """Return the tensors of a safetensors file without a record, its SHA-256, and the classes that it names, if any.

    Raises:
        ForgetkitError: ``checkpoint-missing`` or ``checkpoint-malformed``.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(64) if path.is_file() else b""
    except OSError as problem:
        raise ForgetkitError("checkpoint-missing", f"{path}: {problem.strerror}", _HOW) from problem
    refuse_pointer(path, start)
    if start.startswith(b"PK\3\4") or (start[:1] == b"\x80" and start[4:8] != bytes(4)):
        hint = f"forgetkit convert {path} -o {path.with_suffix('.safetensors')}"
        raise ForgetkitError("checkpoint-malformed", f"{path}: a file that PyTorch saved, not safetensors", hint)
    try:
        metadata = read_header(path).get("__metadata__") or {}
        tensors = read_tensors(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except ForgetkitError as problem:
        raise ForgetkitError(problem.code, problem.message, _HOW) from problem
    except (SafetensorError, KeyError, RuntimeError, OSError) as problem:
        hint = "the file is damaged: use a copy"
        raise ForgetkitError("checkpoint-malformed", f"{path}: {problem}", hint) from problem
    if isinstance(metadata, dict) and "forgetkit" in metadata:
        message = f"{path}: it has a forgetkit record, which adopt would drop"
        raise ForgetkitError("checkpoint-malformed", message, f"it is a checkpoint already: forgetkit inspect {path}")
    return tensors, digest, names_in_metadata(metadata) if isinstance(metadata, dict) else []


def config_of(record: Record, *, fixed: bool) -> dict[str, Any]:
    """Return the config for a folder with the model of ``record``, as timm writes it; timm loads its own models by it.

    Args:
        record: of the checkpoint.
        fixed: whether the model is built for images of one size.
    """
    name, shape, classes = record.model["name"], record.input["shape"], record.classes
    library, colon, architecture = name.partition(":")
    given = {key: value for key, value in record.model["options"].items() if value is not None}
    if library == "timm" and colon:
        sizes = {"img_size": shape[1:]} if fixed else {}
        given |= {"in_chans": shape[0], "num_classes": len(classes), **sizes}
    else:
        architecture = name if colon else f"{_OWN}{name}"
    return {
        "architecture": architecture,
        "num_classes": len(classes),
        "label_names": classes,
        "model_args": given,
        "pretrained_cfg": {
            "input_size": shape,
            "fixed_input_size": fixed,
            "mean": [value / WHITE for value in record.input["mean"]],
            "std": [value / WHITE for value in record.input["std"]],
            "num_classes": len(classes),
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            **({"crop_mode": "squash"} if record.image_size else {}),
        },
    }


def _config(folder: Path) -> Config:
    """Read the config of a folder: timm's, or what is understood of another library's.

    Raises:
        ForgetkitError: ``checkpoint-malformed``.
    """
    content = _json(folder / CONFIG)
    cfg = content.get("pretrained_cfg", content)
    images = _json(folder / PREPROCESSOR)
    architecture, arguments = content.get("architecture"), content.get("model_args", {})
    mean, std = (cfg.get(key, images.get(f"image_{key}")) for key in ("mean", "std"))
    try:
        check_shape(arguments, dict, "'model_args'")
        check_shape(architecture, (None, str), "'architecture'")
        check_shape(content.get("label_names", []), [str], "'label_names'")
        for name, values in (("'mean'", mean), ("'std'", std)):
            check_shape(values, (None, [int | float]), name)
    except TypeError as problem:
        raise ForgetkitError("checkpoint-malformed", f"{folder / CONFIG}: {problem}", "correct that entry") from problem
    labels = class_names(content)
    if architecture is None:
        return Config(mean=mean, std=std, labels=labels, other=str(content.get("architectures", "")) or None)
    model = architecture.removeprefix(_OWN) if ":" in architecture else f"timm:{architecture}"
    options = {key: value for key, value in arguments.items() if key not in _FROM_DATA}
    return Config(model, options, mean, std, labels)


def _json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, whose ``pretrained_cfg`` is an object too; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise ValueError("too large")
        content = json.loads(path.read_bytes())
        check_shape(content, dict, "it")
        check_shape(content.get("pretrained_cfg", {}), dict, "'pretrained_cfg'")
    except (OSError, ValueError, TypeError, RecursionError) as problem:
        raise ForgetkitError(
            "checkpoint-malformed", f"{path}: not a config: {problem}", "correct or remove the file"
        ) from problem
    return dict(content)
