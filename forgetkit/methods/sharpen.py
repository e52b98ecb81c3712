"""A second teacher that is as sure as the model it teaches.

A model that was trained for a few epochs, or on half of the samples, is less sure of unseen samples than one that was
trained to the end. Samples that are taught its outputs would stand out among unseen ones: right as often, but never as
sure.
"""

from math import exp, log

from torch import Tensor

from forgetkit.statistics.scores import phi

STEEPEST = 50.0
"""Largest factor."""


def sharpness(second: Tensor, first: Tensor) -> float:
    """Return the factor of the second teacher's logits that makes it as sure as the first, from 1/50 to 50.

    As sure: the median certainty of unseen samples is the same. It rises with the factor, which is found by bisection.
    A mean, as that of the entropy, would be decided by the few samples that either model hardly knows: where most are
    easy, it makes the teacher far too sure of all others.

    Args:
        second: logits of the second teacher on unseen samples, of shape ``(samples, classes)``.
        first: logits of the first on the same samples.
    """
    if not len(first):
        return 1.0
    goal = certainty(first)
    low, high = -log(STEEPEST), log(STEEPEST)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if certainty(second * exp(middle)) < goal else (low, middle)
    return exp((low + high) / 2)


def certainty(logits: Tensor) -> float:
    """Return the median log-odds of the most probable class."""
    return float(phi(logits, logits.argmax(1)).median())
