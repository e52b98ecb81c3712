"""The samples of each step: which ones, in which order, and how they are augmented."""

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from forgetkit.training.device import generator_for


def shuffled(count: int, batch_size: int, *, seed: int, epoch: int, part: float = 1.0) -> list[Tensor]:
    """Return the rows of each mini-batch of one epoch, in random order.

    Args:
        count: number of samples.
        batch_size: rows in a batch; above 1, a last batch of one row joins the one before: batch norm needs two.
        seed: together with ``epoch``, the source of randomness.
        epoch: counted from 1.
        part: share of the samples that this epoch draws, in (0, 1].

    Returns:
        int64 tensors of shape ``(batch,)``.
    """
    rows = torch.randperm(count, generator=generator_for(seed, "order", epoch))[: math.ceil(count * part)]
    batches = list(torch.split(rows, batch_size))
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def passes(count: int, batch_size: int, *, seed: int, purpose: str) -> Iterator[tuple[int, Tensor]]:
    """Yield number of the pass, from 1, and rows of each batch, pass after pass, each in a new random order."""
    for number in itertools.count(1):
        for rows in one_pass(count, batch_size, seed=seed, purpose=purpose, number=number):
            yield number, rows


def one_pass(count: int, batch_size: int, *, seed: int, purpose: str, number: int) -> tuple[Tensor, ...]:
    """Return the rows of the batches of pass ``number``, counted from 1, in random order."""
    return torch.split(torch.randperm(count, generator=generator_for(seed, purpose, number)), batch_size)


def drawn_changes(kind: str, count: int, size: tuple[int, int], seed: int) -> tuple[Tensor, ...]:
    """Draw how :func:`augmented` changes each of ``count`` images.

    Args:
        kind: ``none``; ``flip``, to mirror half of the images; ``flip-crop``, to shift each by up to an eighth as well.
        count: number of images.
        size: height and width of an image.
        seed: seed of the draw.

    Returns:
        for ``none``, nothing; for the others which images are mirrored, bool of shape ``(count,)``; for ``flip-crop``
        also the first row and the first column of the crop from the image padded with zeros, each int64 of that shape.
    """
    if kind == "none":
        return ()
    source = torch.Generator().manual_seed(seed)
    flip = torch.rand(count, generator=source) < 0.5
    if kind == "flip":
        return (flip,)
    return flip, *(torch.randint(0, 2 * margin + 1, (count,), generator=source) for margin in _margins(size))


def augmented(images: Tensor, flip: Tensor | None = None, *corner: Tensor) -> Tensor:
    """Return images ``(count, channels, height, width)`` changed as :func:`drawn_changes` says, on their device."""
    if flip is None:
        return images
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    if not corner:
        return images
    count, channels, height, width = images.shape
    tall, wide = _margins((height, width))
    padded = nn.functional.pad(images, (wide, wide, tall, tall))
    device, (top, left) = images.device, corner
    rows = (top[:, None] + torch.arange(height, device=device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width, device=device))[:, None, None, :]
    sample = torch.arange(count, device=device)[:, None, None, None]
    channel = torch.arange(channels, device=device)[None, :, None, None]
    return padded[sample, channel, rows, columns]


def _margins(size: tuple[int, int]) -> tuple[int, int]:
    """Return by how many rows and columns images are shifted at most."""
    return max(1, size[0] // 8), max(1, size[1] // 8)
