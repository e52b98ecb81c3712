"""What an attestation says of a checkpoint: its digests, both computed from the bytes, and its lineage."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import DAMAGED, header_in, no_checkpoint, read_header, record_in
from forgetkit.files.record import Record


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint, read once: everything that is said of it is said of the same bytes.

    Attributes:
        path: where it is.
        content: its bytes.
    """

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, lower-case hex."""
        return hashlib.sha256(self.content).hexdigest()

    def record(self) -> Record:
        """Return the record, after the digest of the tensors was computed and compared with it.

        Raises:
            ForgetkitError: ``checkpoint-malformed``.
        """
        record = record_in(header_in(self.content, self.path), self.path)
        if self.tensor_digest() != record.digest:
            message = f"{self.path}: the tensors are not those of the record (their digest differs)"
            raise ForgetkitError("checkpoint-malformed", message, "the file was changed by another tool, or is damaged")
        return record

    def tensor_digest(self) -> str:
        """Return the digest of the tensors as :func:`forgetkit.models.tensor_file.tensor_digest`, without torch."""
        from safetensors import SafetensorError, deserialize

        try:
            tensors = dict(deserialize(self.content))  # type: ignore[no-untyped-call]
        except SafetensorError as problem:
            raise ForgetkitError("checkpoint-malformed", f"{self.path}: {problem}", DAMAGED) from problem
        state = hashlib.sha256()
        for name in sorted(tensors):
            tensor = tensors[name]
            state.update(compact_json([name, tensor["dtype"], list(tensor["shape"])]).encode() + b"\n")
            state.update(tensor["data"])
        return state.hexdigest()


def read_model(name: str) -> ModelFile:
    """Read a checkpoint whole.

    Raises:
        ForgetkitError: ``checkpoint-missing``, or ``checkpoint-malformed`` for what is no file.
    """
    if not name:
        raise no_checkpoint()
    path = Path(name)
    try:
        if path.is_file():
            return ModelFile(path, path.read_bytes())
    except (OSError, ValueError):  # said by the line below, as by every other command
        pass
    read_header(path)
    raise ForgetkitError("checkpoint-missing", f"{path}: cannot be read", "try again")


def lineage_of(record: Record) -> dict[str, Any]:
    """Return how a model came about: ids by count and digest alone, and nothing that was measured."""
    keys = ("command", "options", "seed", "parent", "ids")
    return {
        "digest": record.digest,
        "dataset": {key: record.dataset[key] for key in ("name", "size", "fingerprint")},
        "trained": None if record.trained is None else _counted(record.trained.to_json()),
        "forgotten": _counted(record.forgotten.to_json()),
        "steps": [{key: getattr(step, key) for key in keys} for step in record.steps],
    }


def _counted(ids: dict[str, Any]) -> dict[str, Any]:
    return {key: ids[key] for key in ("count", "digest")}
