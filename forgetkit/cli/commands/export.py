"""``forgetkit export``: a checkpoint for other tools."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from forgetkit.attestation.options import PassphraseFile
from forgetkit.cli.console import Console
from forgetkit.cli.option_groups import requires
from forgetkit.errors import ForgetkitError
from forgetkit.options import OUTPUT, Checkpoint, Option, Output

if TYPE_CHECKING:
    from forgetkit.files.record import Record

FILES = (".st", ".safetensors")

Strip = Annotated[bool, Option("Leave out the record, with its digests of forgotten ids.", panel=OUTPUT)]
Sign = Annotated[
    str | None,
    Option("Private key, ECDSA P-256, PEM: also write a signature of OpenSSF Model Signing.", "FILE", panel=OUTPUT),
]


@requires("out")
def export(
    checkpoint: Checkpoint,
    *,
    strip: Strip = False,
    sign: Sign = None,
    passphrase_file: PassphraseFile = None,
    output: Output,
) -> None:
    """Write a checkpoint for timm, or only its weights.

    The folder contains model.safetensors and config.json: architecture, classes, and size, mean and standard deviation
    of the images. With a name that ends in .st or .safetensors, export writes only the weights, without the record.

    Examples:
        forgetkit export model.st -o exported
        forgetkit export model.st --strip -o weights.safetensors
        forgetkit export model.st -o exported --sign key.pem
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
    signature = _Signature(target, alone, sign, passphrase_file) if sign else None
    tensors = load_tensors(path, record)
    metadata = {"format": "pt"} if strip else {"format": "pt", "forgetkit": dumps(record)}
    weights, config = (target, None) if alone else (target / WEIGHTS, target / CONFIG)
    text = json.dumps(config_of(record, fixed=_is_fixed(record)), indent=2, ensure_ascii=False) + "\n" if config else ""
    done = holds(weights, tensors, metadata) and (config is None or _reads(config, text))
    if not done:
        for file in (weights, config) if config else (weights,):
            check_target(file, force=output.force, inputs=(path,))
    if signature:
        signature.check(exported=done, force=output.force, inputs=(path,))
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
    outputs = [str(target), *([signature.write(console)] if signature else [])]
    console.note(f"next: {_next(record, target, weights)}")
    result = document("export", target, record, up_to_date=done and not (signature and signature.new))
    console.result(outputs, {**result, "outputs": outputs, "metrics": {}})


class _Signature:
    """The signature beside an export, or in its folder; ``new`` says whether it has to be written."""

    def __init__(self, target: Path, alone: bool, key: str, passphrase_file: str | None) -> None:
        from forgetkit.attestation.model_signature import ModelSigner
        from forgetkit.cli.passphrase import asking

        self._signer = ModelSigner(Path(key), asking(key, passphrase_file))
        self._target, self._path = target, target.with_name(f"{target.name}.sig") if alone else target / "model.sig"
        self._inputs = (Path(key),)
        self.new = True

    def check(self, *, exported: bool, force: bool, inputs: tuple[Path, ...]) -> None:
        """See whether the signature is there, else whether it can be written."""
        from forgetkit.files.publish import check_target

        self.new = not (exported and self._signer.has_signed(self._target, self._path))
        if self.new:
            check_target(self._path, force=force, inputs=(*inputs, *self._inputs))

    def write(self, console: Console) -> str:
        """Sign, if it is not done yet; return the path of the signature."""
        from forgetkit.files.publish import publish_bytes

        if self.new:
            publish_bytes(self._path, self._signer.sign(self._target, self._path))
        console.note(f"export: {self._path} {'written' if self.new else 'is up to date'}")
        return str(self._path)


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
