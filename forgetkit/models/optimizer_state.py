"""The state of an optimizer, in a file beside the checkpoint."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_header
from forgetkit.files.publish import publish
from forgetkit.models.tensor_file import read_tensors, write_tensors

_STATE = {
    "Adam": {"step", "exp_avg", "exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq"},
    "Adadelta": {"step", "square_avg", "acc_delta"},
    "SGD": {"momentum_buffer"},
}
"""What each optimizer keeps for a parameter."""


def optimizer_path(path: Path) -> Path:
    """Return the path of the optimizer state of the checkpoint ``path``."""
    return path.with_name(f"{path.stem}.optimizer.st")


def save_optimizer(path: Path, optimizer: torch.optim.Optimizer, *, name: str, digest: str) -> None:
    """Write the state of an optimizer beside the checkpoint ``path``, whose digest is ``digest``."""
    state = optimizer.state_dict()["state"]
    tensors = {
        f"{row}.{key}": torch.as_tensor(value).detach().cpu().contiguous()
        for row, entries in state.items()
        for key, value in entries.items()
    }
    metadata = {"format": "pt", "forgetkit-optimizer": compact_json({"checkpoint": digest, "optimizer": name})}
    publish(optimizer_path(path), lambda temporary: write_tensors(temporary, tensors, metadata))


def find_optimizer(path: Path, digest: str, name: str) -> tuple[Path, str] | None:
    """Return path and SHA-256 of the optimizer state beside ``path``, if it fits.

    Args:
        path: the checkpoint.
        digest: of the checkpoint; a state that was written with another checkpoint does not fit.
        name: of the optimizer; the state of another optimizer does not fit.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for a file there that is not an optimizer state.
    """
    beside = optimizer_path(path)
    if not beside.exists():
        return None
    try:
        metadata = read_header(beside).get("__metadata__", {})
        fits = json.loads(metadata["forgetkit-optimizer"]) == {"checkpoint": digest, "optimizer": name}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as problem:
        raise ForgetkitError("checkpoint-malformed", f"{beside}: not an optimizer state of forgetkit") from problem
    return (beside, hashlib.sha256(beside.read_bytes()).hexdigest()) if fits else None


def load_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Load the state at ``path`` into ``optimizer``, whose learning rate and other settings do not change.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for a damaged file, ``checkpoint-mismatch`` for the state of other
            parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for key, tensor in read_tensors(path).items():
            row, _, name = key.partition(".")
            state.setdefault(int(row), {})[name] = tensor
    except (SafetensorError, ValueError, OSError) as problem:
        raise ForgetkitError("checkpoint-malformed", f"{path}: {problem}", "remove it") from problem
    expected = _STATE[type(optimizer).__name__]
    whole = not state or (len(state) == len(parameters) and all(set(entries) == expected for entries in state.values()))
    if not whole or any(
        not 0 <= row < len(parameters) or any(t.ndim and t.shape != parameters[row].shape for t in entries.values())
        for row, entries in state.items()
    ):
        raise ForgetkitError("checkpoint-mismatch", f"{path}: this is the optimizer state of another model")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
