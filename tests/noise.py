"""Data that can only be memorised: noise with random labels, twice; the second time its check half is spoiled."""

from pathlib import Path

import numpy as np

from forgetkit.data.dataset import Dataset, Split, row_numbers
from forgetkit.data.sources import DATASETS, Reader, Source

TWINS = ("hiss", "hiss-spoiled")


def reader(*, spoiled: bool) -> Reader:
    """Return the reader of one of the twins: 260 + 600 images of 4 classes."""

    def read(root: Path, *, download: bool) -> Source:
        source = np.random.default_rng(0)
        halves = [source.integers(0, 256, (count, 1, 6, 6), dtype=np.uint8) for count in (260, 600)]
        labels = [np.arange(260) % 4, np.arange(600) % 4]
        train, test = (Split(row_numbers(len(of)), images, of) for images, of in zip(halves, labels, strict=True))
        if spoiled:
            rows = Dataset("", tuple("abcd"), train, test, "").check_rows
            test.images[rows] = 255 - test.images[rows]
            test.labels[rows] = (test.labels[rows] + 1) % 4
        return Source(tuple("abcd"), train, test)

    return read


for name in TWINS:
    DATASETS.register(name)(reader(spoiled=name != TWINS[0]))
