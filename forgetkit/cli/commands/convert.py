"""``forgetkit convert``: the only place that reads a pickle, and of that only tensors."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from forgetkit.cli.console import Console
from forgetkit.errors import ForgetkitError, shorten
from forgetkit.options import Argument, Output

if TYPE_CHECKING:
    from torch import Tensor

PLACES = ("state_dict", "model_state_dict", "model")

Pickle = Annotated[str, Argument("A file that torch.save wrote.", "FILE")]


def convert(file: Pickle, *, output: Output) -> None:
    """Convert a file of torch.save to safetensors. Only tensors are read; no code in the file is run.

    The file is a state_dict, or has one under state_dict, model_state_dict or model. A pickled module is refused: save
    model.state_dict() where it was made.

    Examples:
        forgetkit convert old.pt -o weights.safetensors
        forgetkit convert old.pt -o weights.safetensors --force
    """
    from forgetkit.files.publish import check_target, claimed
    from forgetkit.models.tensor_file import holds, publish_tensors, tensor_digest

    if not output.out:
        raise ForgetkitError("usage", "convert needs --out", "for example: -o weights.safetensors")
    console, target, metadata = Console(output), Path(output.out), {"format": "pt"}
    console.warn("pickle", f"{file} is a pickle, a program rather than data: convert only files that you trust")
    tensors, place = state_of(read_pickle(file), file)
    try:
        digest = tensor_digest(tensors)
    except KeyError as problem:
        message = f"{file}: tensors of type {problem} are not supported"
        raise ForgetkitError("checkpoint-malformed", message, "save them as float32") from problem
    console.note(f"convert: {len(tensors)} tensors" + (f" under '{place}'" if place else "") + f" of {file}")
    done = holds(target, tensors, metadata)
    if not done:
        check_target(target, force=output.force, inputs=(Path(file),))
    if output.dry_run:
        console.note("dry run: nothing was written")
        return
    if done:
        console.note(f"convert: {target} is up to date")
    else:
        with claimed((target,), force=output.force):
            publish_tensors(target, tensors, metadata)
        console.note(f"convert: wrote {target}  sha256:{digest[:16]}")
        console.note(f"next: forgetkit adopt {target} --model NAME --dataset NAME -o model.st")
    document = {"ok": True, "command": "convert", "outputs": [str(target)], "digest": digest}
    console.result([str(target)], {**document, "up_to_date": done, "metrics": {}, "record": None})


def read_pickle(name: str) -> object:
    """Return the content of a file of torch.save, if that is tensors and plain values.

    Raises:
        ForgetkitError: ``checkpoint-missing``; ``checkpoint-malformed`` for anything else.
    """
    import torch

    path, cure = Path(name), "where it was made: torch.save(model.state_dict(), FILE)"
    try:
        if not name or not path.is_file():
            raise ForgetkitError("checkpoint-missing", f"{name or 'no file given'}: no such file", "name a .pt file")
        with path.open("rb") as stream:
            start = stream.read(9)
        if start[4:] == bytes(4) + b"{":  # safetensors; torch would read them, and drop a record
            hint = f"forgetkit adopt {name} --model NAME --dataset NAME -o model.st"
            raise ForgetkitError("checkpoint-malformed", f"{name}: it is in safetensors already", hint)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (ForgetkitError, MemoryError):
        raise
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise ForgetkitError("checkpoint-missing", f"{name}: {why}", "name a .pt file") from problem
    except Exception as problem:  # the library raises anything for a malformed file
        raise ForgetkitError("checkpoint-malformed", f"{name}: {_refused(problem)}", cure) from problem


def state_of(content: object, name: str) -> tuple[dict[str, "Tensor"], str | None]:
    """Return the tensors of a state_dict, which share no memory, and the key under which the file has it.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` where there is no state_dict, or it has more than tensors.
    """
    import torch

    where = next(
        (key for key in PLACES if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)), None
    )
    found: Any = content[where] if where and isinstance(content, Mapping) else content
    cure = f"where it was made, save model.state_dict(), alone or under {', '.join(PLACES)}"
    if not isinstance(found, Mapping) or not any(isinstance(value, torch.Tensor) for value in found.values()):
        keys = f" with {', '.join(repr(key) for key in list(content)[:5])}" if isinstance(content, Mapping) else ""
        message = f"{name}: no state_dict, but a {type(content).__name__}{keys}"
        raise ForgetkitError("checkpoint-malformed", message, cure)
    for key, value in found.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            kind = f"{value.layout} {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__
            message = f"{name}: '{shorten(str(key))}' of the state_dict is {kind}, not a plain tensor"
            raise ForgetkitError("checkpoint-malformed", message, cure)
    return {key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in found.items()}, where


def _refused(problem: Exception) -> str:
    """Return in one line why a pickle was refused."""
    found = re.search(r"GLOBAL ([\w.]+)", str(problem))
    return f"it would run code ({found[1]})" if found else "not a file of torch.save, or damaged"
