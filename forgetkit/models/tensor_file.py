"""Files of tensors that are no checkpoints: written and compared."""

import errno
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_header
from forgetkit.files.publish import publish
from forgetkit.models.checkpoint import same_tensors, write_tensors


def publish_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.publish.publish`.
    """

    def verify(written: Path) -> None:
        if not holds(written, tensors, metadata):
            raise OSError(errno.EIO, "what was written cannot be read back")

    publish(path, lambda temporary: write_tensors(temporary, dict(tensors), metadata), verify=verify)


def holds(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> bool:
    """Say whether the file at ``path`` holds these tensors and this metadata."""
    try:
        known = path.is_file() and read_header(path).get("__metadata__") == metadata
        return known and same_tensors(load_file(path), tensors)
    except (ForgetkitError, SafetensorError, KeyError, OSError):
        return False
