"""The samples of each step: which ones, in which order, changed how."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from forgetkit.compute import generator_for


def shuffled(count: int, batch_size: int, *, seed: int, epoch: int, part: float = 1.0) -> list[Tensor]:
    """Return the rows of each mini-batch of one epoch, in random order.

    Args:
        count: number of samples.
        batch_size: rows in a batch; above 1, a last batch of one row joins the one before it (batch norm needs two).
        seed: with ``epoch``, the source of randomness.
        epoch: counted from 1.
        part: share of the samples that this epoch draws, in (0, 1].
    """
    rows = torch.randperm(count, generator=generator_for(seed, "order", epoch))[: math.ceil(count * part)]
    batches = list(torch.split(rows, batch_size))
    if batch_size > 1 and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def passes(count: int, batch_size: int, *, seed: int, purpose: str) -> Iterator[tuple[int, Tensor]]:
    """Yield the rows of batches, pass after pass, each in an order of its own; with the number of the pass, from 1."""
    number = 0
    while True:
        number += 1
        for rows in one_pass(count, batch_size, seed=seed, purpose=purpose, number=number):
            yield number, rows


def one_pass(count: int, batch_size: int, *, seed: int, purpose: str, number: int) -> tuple[Tensor, ...]:
    """Return the rows of the batches of pass ``number``, counted from 1, in random order."""
    return torch.split(torch.randperm(count, generator=generator_for(seed, purpose, number)), batch_size)


def augmented(images: Tensor, kind: str, seed: int) -> Tensor:
    """Return images flipped (``flip``) and shifted by up to an eighth of their size (``flip-crop``) at random."""
    if kind == "none":
        return images
    source = torch.Generator().manual_seed(seed)
    count, _, height, width = images.shape
    flip = torch.rand(count, 1, 1, 1, generator=source).to(images.device) < 0.5
    images = torch.where(flip, images.flip(3), images)
    if kind == "flip":
        return images
    tall, wide = max(1, height // 8), max(1, width // 8)
    padded = nn.functional.pad(images, (wide, wide, tall, tall))
    top = torch.randint(0, 2 * tall + 1, (count, 1), generator=source).to(images.device)
    left = torch.randint(0, 2 * wide + 1, (count, 1), generator=source).to(images.device)
    rows = (top + torch.arange(height, device=images.device))[:, None, :, None]
    columns = (left + torch.arange(width, device=images.device))[:, None, None, :]
    sample = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    return padded[sample, channel, rows, columns]
