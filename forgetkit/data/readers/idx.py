"""The format of MNIST's files: a big-endian header with the shape, then the bytes."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in a file of unsigned bytes.

    Args:
        path: the file.
        dimensions: of the array.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it is not such a file.
    """
    content = np.fromfile(path, np.uint8)
    start = 4 + 4 * dimensions
    if content[:4].tolist() != [0, 0, 8, dimensions] or len(content) < start:
        raise ValueError(f"{path.name} is not an IDX file of bytes with {dimensions} dimensions")
    shape = content[4:start].view(">u4").tolist()
    if len(content) - start != math.prod(shape):
        raise ValueError(f"{path.name} has {len(content) - start} bytes, but its header says {math.prod(shape)}")
    return content[start:].reshape(shape)
