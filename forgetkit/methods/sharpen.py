"""A second teacher that is as sure as the model it teaches.

A model that was trained for a few epochs is less sure of unseen samples than one that was trained to the end. Samples
that are taught its outputs would stand out among unseen ones: right as often, but never as sure.
"""

from math import exp, log

from torch import Tensor

STEEPEST = 50.0
"""Largest factor."""


def sharpness(second: Tensor, first: Tensor) -> float:
    """Return the factor of the second teacher's logits that makes it as sure as the first, from 1/50 to 50.

    As sure: the mean entropy of the outputs on unseen samples is the same. It falls as the factor rises, so the factor
    is found by bisection.

    Args:
        second: logits of the second teacher on unseen samples, of shape ``(samples, classes)``.
        first: logits of the first on the same samples.
    """
    if not len(first):
        return 1.0
    goal = entropy(first)
    low, high = -log(STEEPEST), log(STEEPEST)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(second * exp(middle)) > goal else (low, middle)
    return exp((low + high) / 2)


def entropy(logits: Tensor) -> float:
    """Return the mean entropy of the outputs, in nats."""
    known = logits.double().log_softmax(1)
    return float(-(known.exp() * known).sum(1).mean())
