"""Images resized to what a model sees."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

AT_ONCE = 1 << 26
"""Bytes of images that are resized at once: a large set in a pack never has to fit into memory."""


def resize_into(found: NDArray[np.uint8], images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize images, bilinear with antialiasing, rounded to whole values; the proportions need not stay.

    On the CPU, so that a model sees the same images on every device.

    Args:
        found: uint8 of shape ``(rows, channels, new height, new width)``; it is filled.
        images: uint8 of shape ``(rows, channels, height, width)``.

    Returns:
        ``found``.
    """
    count = max(1, AT_ONCE // max(1, images[:1].nbytes))
    for start in range(0, len(images), count):
        some = torch.from_numpy(np.ascontiguousarray(images[start : start + count]))
        small = interpolate(some, size=found.shape[2:], mode="bilinear", antialias=True)
        found[start : start + count] = small.numpy()
    return found
