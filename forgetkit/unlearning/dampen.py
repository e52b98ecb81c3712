"""Selective synaptic dampening on a request, and the file that keeps the importance of a model's weights."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_header
from forgetkit.files.record import Record
from forgetkit.methods.dampen import dampen
from forgetkit.methods.importance import Weights, importance
from forgetkit.models.checkpoint import tensor_digest
from forgetkit.models.tensor_file import publish_tensors
from forgetkit.training.classifier import Classifier, take
from forgetkit.training.device import Machine
from forgetkit.training.outputs import software
from forgetkit.unlearning.inputs import Request

METADATA = "forgetkit-importance"


def dampened(
    classifier: Classifier, request: Request, machine: Machine, alpha: float, strength: float, known: Weights | None
) -> tuple[Weights, float]:
    """Dampen the classifier in place for the ids of a request.

    Everything means: the retain set and the ids; what was forgotten before is not read.

    Returns:
        the importance for everything, computed now or ``known``, and the share of weights dampened.
    """
    split, device = request.dataset.train, machine.device
    if known is None:
        rows = np.union1d(request.retain_rows, request.forget_rows)
        known = importance(classifier, take(split, rows, device))
    known = {name: value.to(device) for name, value in known.items()}
    of_forget = importance(classifier, take(split, request.forget_rows, device))
    return known, dampen(classifier, of_forget, known, alpha=alpha, strength=strength)


def keep_importance(path: Path, of_all: Weights, record: Record) -> None:
    """Write the importance of the weights of the model that ``record`` describes."""
    tensors = {name.removeprefix("model."): value.cpu().contiguous() for name, value in of_all.items()}
    content = {"version": 1, "model": record.digest, "fingerprint": record.dataset["fingerprint"]}
    metadata = {"format": "pt", METADATA: compact_json({**content, "software": software()})}
    publish_tensors(path, tensors, metadata)


def read_importance(path: Path, record: Record) -> tuple[Weights, str]:
    """Return an importance that was kept, and its digest.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for another file; ``checkpoint-mismatch`` where it is of another model
            than the one of ``record``, or one that it came from.
    """
    try:
        content = json.loads((read_header(path).get("__metadata__") or {})[METADATA])
        tensors = load_file(path)
    except (KeyError, ValueError, SafetensorError, OSError) as problem:
        message = f"{path}: not a file of importances"
        raise ForgetkitError("checkpoint-malformed", message, "make one: dampen … --importance-out FILE") from problem
    if content.get("model") not in {record.digest, *(step.parent for step in record.steps)}:
        message = f"{path}: the importance of another model's weights"
        raise ForgetkitError("checkpoint-mismatch", message, "leave --importance out to compute it")
    return {f"model.{name}": value for name, value in tensors.items()}, tensor_digest(tensors)
