"""The twin test: can it be read from two twins which of them had seen a sample that both should not know?

A coin put each sample into the half of one twin of each pair of shadow models. If what was done to that twin forgets
perfectly, the coins are independent of the twins, and the number of coins that any rule reads correctly is
Binomial(coins, ½): an exact test without a reference, by the argument of Steinke, Nasr & Jagielski 2023.
"""

import numpy as np
from numpy.typing import NDArray

MARGIN = 0.06
"""Largest distance of the share of coins read correctly from ½: 600 coins (150 samples, 8 shadow models) then pass in 8
of 10 audits if nothing leaks."""
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]


def read_coins(scores: Scores, sides: Mask, groups: NDArray[np.int64], counts: Mask | None = None) -> tuple[int, int]:
    """Read the coins: the twin with the higher score saw the sample.

    Scores of one twin may be higher on the whole; so the difference is compared with its median over all groups.

    Args:
        scores: φ of each model on each sample, float64 of shape ``(2 pairs, samples)``; twins follow each other.
        sides: whether it was the second twin that saw the sample, bool of shape ``(pairs, samples)``.
        groups: number of each sample's group, int64 of shape ``(samples,)``: one coin for all samples of a group.
        counts: which coins count, bool of shape ``(pairs, samples)``; all if not given.

    Returns:
        Coins read correctly, and coins read. A difference that equals the median is no guess.
    """
    _, first, place = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(place)
    right = read = 0
    for pair, side in enumerate(sides):
        difference = np.bincount(place, weights=scores[2 * pair + 1] - scores[2 * pair]) / sizes
        usable = np.ones(len(sizes), dtype=bool) if counts is None else counts[pair][first]
        if not usable.any():
            continue
        middle = float(np.median(difference[usable]))
        usable &= difference != middle
        right += int(((difference > middle) == side[first])[usable].sum())
        read += int(usable.sum())
    return right, read
