"""``forgetkit export``: a checkpoint for other tools."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forgetkit.cli.console import Console
from forgetkit.cli.option_groups import requires
from forgetkit.errors import ForgetkitError
from forgetkit.options import OUTPUT, Checkpoint, Option, Output

if TYPE_CHECKING:
    from forgetkit.files.record import Record

FILES = (".st", ".safetensors")

Strip = Annotated[bool, Option("Leave out the record, with its digests of forgotten ids.", panel=OUTPUT)]


@requires("out")
def export(checkpoint: Checkpoint, *, strip: Strip = False, output: Output) -> None:
    """Write a checkpoint for timm, or only its weights.

    The folder contains model.safetensors and config.json: architecture, classes, and size, mean and standard deviation
    of the images. With a name that ends in .st or .safetensors, export writes only the weights, without the record.

    Examples:
        forgetkit export model.st -o exported
        forgetkit export model.st --strip -o weights.safetensors
    """
    from forgetkit.cli.results import document
    from forgetkit.files.header import dumps, open_checkpoint
    from forgetkit.files.publish import check_target, claimed, publish_text
    from forgetkit.models.checkpoint import load_tensors
    from forgetkit.models.foreign import CONFIG, WEIGHTS, config_of
    from forgetkit.models.tensor_file import holds, publish_tensors

    out = output.out or ""
    target, alone = Path(out), out.endswith(FILES)
    if alone and not strip:
        message = f"{target}: a file with the record is what the checkpoint is already"
        raise ForgetkitError("usage", message, "add --strip, or name a folder")
    console = Console(output)
    console.note(f"export: reading {checkpoint}")
    path, record = open_checkpoint(checkpoint)
    tensors = load_tensors(path, record)
    metadata = {"format": "pt"} if strip else {"format": "pt", "forgetkit": dumps(record)}
    weights, config = (target, None) if alone else (target / WEIGHTS, target / CONFIG)
    text = json.dumps(config_of(record, fixed=_is_fixed(record)), indent=2, ensure_ascii=False) + "\n" if config else ""
    done = holds(weights, tensors, metadata) and (config is None or _reads(config, text))
    if not done:
        for file in (weights, config) if config else (weights,):
            check_target(file, force=output.force, inputs=(path,))
    if output.dry_run:
        console.note(f"dry run: nothing was written to {target}")
        return
    if not done:
        with claimed((weights, config) if config else (weights,), force=output.force):
            publish_tensors(weights, tensors, metadata)
            if config:
                publish_text(config, text)
    how = "is up to date" if done else f"written  sha256:{record.digest[:16]}"
    console.note(f"export: {target} {how}")
    console.note(f"next: {_next(record, target, weights)}")
    console.result([str(target)], {**document("export", target, record, up_to_date=done), "metrics": {}})


def _is_fixed(record: "Record") -> bool:
    """Say whether the model is built for images of one size, which only configs of timm contain."""
    from forgetkit.models.zoo import is_of_fixed_size

    library, _, name = str(record.model["name"]).partition(":")
    return library == "timm" and is_of_fixed_size(name)


def _reads(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _next(record: "Record", target: Path, weights: Path) -> str:
    """Return the Python call that loads the weights."""
    if weights != target and str(record.model["name"]).startswith("timm:"):
        return f"timm.create_model('local-dir:{target}', pretrained=True)"
    return f"safetensors.torch.load_file('{weights}')"
