"""The file that keeps the importance of a model's weights for all its training samples."""

import json
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_header
from forgetkit.files.record import Record
from forgetkit.models.tensor_file import publish_tensors, read_tensors, tensor_digest
from forgetkit.training.outputs import software

METADATA = "forgetkit-importance"
PREFIX = "model."


def publish_importance(path: Path, importance: dict[str, Tensor], record: Record) -> None:
    """Write the importance of the weights of the model that ``record`` describes."""
    tensors = {name.removeprefix(PREFIX): value.cpu().contiguous() for name, value in importance.items()}
    content = {"version": 1, "model": record.digest, "fingerprint": record.dataset["fingerprint"]}
    metadata = {"format": "pt", METADATA: compact_json({**content, "software": software()})}
    publish_tensors(path, tensors, metadata)


def read_importance(path: Path, record: Record) -> tuple[dict[str, Tensor], str]:
    """Return an importance that was kept, and its digest.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for another file; ``checkpoint-mismatch`` if it is neither of the model
            of ``record`` nor of one that it came from.
    """
    try:
        content = json.loads((read_header(path).get("__metadata__") or {})[METADATA])
        tensors = read_tensors(path)
    except (KeyError, ValueError, SafetensorError, OSError) as problem:
        message = f"{path}: not a file of importances"
        raise ForgetkitError("checkpoint-malformed", message, "make one: dampen … --importance-out FILE") from problem
    if content.get("model") not in {record.digest, *(step.parent for step in record.steps)}:
        message = f"{path}: the importance of another model's weights"
        raise ForgetkitError("checkpoint-mismatch", message, "leave --importance out to compute it")
    return {f"{PREFIX}{name}": value for name, value in tensors.items()}, tensor_digest(tensors)
