"""Masks: a file says which weights may change; after every step of any optimizer the others are restored."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_header
from forgetkit.models.tensor_file import publish_tensors, read_tensors, tensor_digest

METADATA = "forgetkit-mask"


def read_mask(path: Path, expected: str | None = None) -> tuple[dict[str, Tensor], str]:
    """Return which weights may change, bool by name, and the digest of that.

    Args:
        path: a file that ``mask`` wrote.
        expected: the digest that it must have, if any.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for another kind of file; ``checkpoint-mismatch`` for another digest;
            as reading a header.
    """
    if METADATA not in (read_header(path).get("__metadata__") or {}):
        message = f"{path} is not a mask"
        raise ForgetkitError("checkpoint-malformed", message, "make one with: forgetkit mask MODEL.st --ids IDS.txt")
    try:
        found = read_tensors(path)
    except (SafetensorError, OSError) as problem:
        raise ForgetkitError("checkpoint-malformed", f"{path}: {problem}", "the file is damaged") from problem
    digest = tensor_digest(found)
    if expected not in (None, digest):
        raise ForgetkitError(
            "checkpoint-mismatch", f"{path}: the mask was replaced meanwhile", "start the command again"
        )
    return found, digest


def publish_mask(path: Path, chosen: Mapping[str, Tensor], content: Mapping[str, Any]) -> str:
    """Write which weights may change, bool by name, and ``content``, which says how they were chosen.

    Returns:
        the digest of the mask.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.publish.publish`.
    """
    tensors = {name: may.cpu().contiguous() for name, may in chosen.items()}
    whole = {"version": 1, **content, "digest": tensor_digest(tensors)}
    publish_tensors(path, tensors, {"format": "pt", METADATA: compact_json(whole)})
    return str(whole["digest"])


def made_mask(path: Path, content: Mapping[str, Any]) -> str | None:
    """Return the digest of the mask at ``path`` if it is undamaged and was chosen as ``content`` says; else None."""
    with suppress(ForgetkitError, OSError, ValueError):
        known = json.loads(read_header(path).get("__metadata__", {}).get(METADATA, "null"))
        if isinstance(known, dict) and known == {"version": 1, **content, "digest": known.get("digest")}:
            return read_mask(path, known["digest"])[1]
    return None


@contextmanager
def masked(model: nn.Module, mask: Mapping[str, Tensor] | None) -> Iterator[None]:
    """Within this context, keep weights where ``mask`` is false, and their momentum.

    Running statistics are no weights: steps in train mode update them, as without a mask. With averages of other
    weights, a network with batch norm would be useless. Zero gradients alone would not suffice: weight decay and
    momentum change weights without a gradient.

    Args:
        model: its parameters have the names that its checkpoint has.
        mask: which weights may change, bool by name; None for all of them.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` if its names or shapes are not those of the model's weights.
    """
    if mask is None:
        yield
        return
    weights = dict(model.named_parameters())
    if {name: weight.shape for name, weight in weights.items()} != {name: of.shape for name, of in mask.items()}:
        message = "its names and shapes are not those of the model's weights"
        hint = "make it from this checkpoint: forgetkit mask"
        raise ForgetkitError("checkpoint-mismatch", message, hint, option="mask")
    free = {weights[name]: of.to(weights[name].device) for name, of in mask.items()}
    kept = {weight: weight.detach().clone() for weight in free}
    held: dict[tuple[Tensor, str], Tensor] = {}

    def before(optimizer: Optimizer, *_: Any) -> None:  # noqa: ANN401 - what torch hands over
        """Keep what a step would change."""
        held.clear()
        for weight, of in free.items():
            if weight.grad is not None:
                weight.grad.mul_(of)
            state = optimizer.state.get(weight, {})
            held.update({(weight, key): value.clone() for key, value in state.items() if _fits(value, weight)})

    def put_back(optimizer: Optimizer | None, *_: Any) -> None:  # noqa: ANN401 - what torch hands over
        """Restore the weights that may not change."""
        with torch.no_grad():
            for weight, of in free.items():
                weight.copy_(torch.where(of, weight, kept[weight]))
                state = optimizer.state.get(weight, {}) if optimizer else {}
                for key, value in state.items():
                    if _fits(value, weight):
                        earlier = held.get((weight, key), torch.zeros((), device=value.device, dtype=value.dtype))
                        value.copy_(torch.where(of, value, earlier))

    hooks = [register_optimizer_step_pre_hook(before), register_optimizer_step_post_hook(put_back)]
    try:
        yield
        put_back(None)
    finally:
        for hook in hooks:
            hook.remove()


def _fits(value: object, weight: Tensor) -> bool:
    return torch.is_tensor(value) and value.shape == weight.shape and value.dim() > 0
