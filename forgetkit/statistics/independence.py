"""Are references what they are said to be: models that were trained apart, and never saw the forgotten samples?

The rank of a model among references is exact if both are true, and both are somebody's word. What the models say shows
some of it. The original and the references saw the retained samples, and none saw the unseen ones. So on the retained
samples the original is no surer than they are, as it is on the forgotten ones; and on the unseen samples it lies as far
from them as they lie from each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forgetkit.statistics.exchangeability import CHOSEN_LEVEL
from forgetkit.statistics.intervals import Estimate
from forgetkit.statistics.membership_auc import stratified_auc
from forgetkit.statistics.strata import Labels, Scores

COPIES = 0.6
"""Relative distance below which a model is nearer to others than one more of them could be: what they were copied from,
with noise of any size, is at ½."""
APART = 16.0
"""Relative distance from which on others are too alike: four times the distance, in the terms of a standard deviation.
Honest originals reach 1 to 2, and 10 where two thirds of all samples, or the hardest 40 %, are forgotten."""


ROUNDING = 1e-9


@dataclass(frozen=True)
class Lead:
    """How much surer the original is of forgotten samples than references are, compared with retained samples.

    Attributes:
        pooled: the AUC of the original's φ less the references' mean, forgotten against retained; ½ if the references
            saw both, as the original did; with an interval of 99.9 %.
        each: likewise, less the φ of each reference.
    """

    pooled: Estimate
    each: tuple[Estimate, ...]

    @property
    def sure(self) -> bool:
        """Whether the original is surely ahead."""
        return self.pooled.wide[0] > 0.5

    @property
    def caught_up(self) -> int:
        """Number of references of which the original is not ahead, though it is surely ahead of some by more."""
        most = max(one.wide[0] for one in self.each)
        return sum(one.wide[0] <= 0.5 and one.wide[1] < most for one in self.each)


def lead(
    original: tuple[Scores, Scores], references: Sequence[tuple[Scores, Scores]], labels: tuple[Labels, Labels]
) -> Lead:
    """Compare the original with references on forgotten samples, and on samples that all of them were trained on.

    Classes are compared one by one if every forgotten sample's class is among the retained; else all together.

    Args:
        original: φ of n forgotten and m retained samples, float64 of shape ``(n,)`` and ``(m,)``, n, m >= 1.
        references: the same of k >= 1 references.
        labels: classes of the samples, int64 of shape ``(n,)`` and ``(m,)``.

    Source: the retained samples are a negative control, as in Lipsitch, Tchetgen Tchetgen & Cohen, "Negative Controls",
    2010; the statistic is ours.
    """
    shared = bool(np.isin(labels[0], labels[1]).all())
    own, other = labels if shared else (np.zeros_like(labels[0]), np.zeros_like(labels[1]))
    means = [np.mean([one[part] for one in references], axis=0) for part in (0, 1)]

    def ahead(of: Sequence[Scores]) -> Estimate:
        """Return the AUC of the lead over a model."""
        forget, retained = original[0] - of[0], original[1] - of[1]
        return stratified_auc(forget, own, retained, other, level=CHOSEN_LEVEL).estimate

    return Lead(ahead(means), tuple(ahead(one) for one in references))


def relative_distance(one: Scores, others: Sequence[Scores], labels: Labels) -> float:
    """Return how far a model is from others, as a share of how far these are from each other.

    Two models are as far apart as their φ is uncorrelated within classes, 1 − r: neither a model that is surer on the
    whole, nor one that is surer of a class, is far from others for that.

    Args:
        one: φ of a model, float64 of shape ``(n,)``.
        others: φ of k >= 2 models, each of shape ``(n,)``.
        labels: classes of the samples, int64 of shape ``(n,)``.

    Returns:
        about 1 for one more of them; ½ for a model of which they are copies with noise; infinite if they agree and it
        does not; 1 if all agree.
    """
    models = np.vstack([one, *others])
    for name in np.unique(labels):
        models[:, labels == name] -= models[:, labels == name].mean(axis=1, keepdims=True)
    size = np.sqrt((models**2).mean(axis=1, keepdims=True))
    models = np.divide(models, size, out=np.zeros_like(models), where=size > 0)
    apart = 1 - models @ models.T / models.shape[1]
    k = len(others)
    own, between = float(apart[0, 1:].mean()), float((apart[1:, 1:].sum() - np.trace(apart[1:, 1:])) / (k * (k - 1)))
    if between <= ROUNDING:
        return 1.0 if own <= ROUNDING else float("inf")
    return own / between
