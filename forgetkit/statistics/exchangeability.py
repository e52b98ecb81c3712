"""Whether the ids are a random draw of their classes, so that membership may compare them with unseen samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.random import default_rng

from forgetkit.statistics.intervals import Estimate, normal_estimate
from forgetkit.statistics.strata import Labels, Scores

CHOSEN_LEVEL = 0.001
"""How often a random draw is taken for a chosen one, by either test."""


DRAWS = 1999
"""Random lists that a list is compared with."""


@dataclass(frozen=True)
class Exchangeability:
    """What speaks for and against a random draw.

    Attributes:
        p: of the mix of classes, were the ids drawn; at most 0.001 means chosen.
        beside: mean AUC of the references, which saw neither side, with an interval of 99.9 %; ½ if drawn.
        references: how many there are.
        margin: how far from ½ the AUC may lie before membership is misled.
    """

    p: float
    beside: Estimate | None
    references: int
    margin: float

    @property
    def mixed(self) -> bool:
        """Whether the classes are mixed as a random draw mixes them."""
        return self.p > CHOSEN_LEVEL

    @property
    def like_unseen(self) -> bool:
        """Whether the references do not tell the ids from unseen samples."""
        return self.beside is not None and self.beside.wide[0] <= 0.5 <= self.beside.wide[1]

    @property
    def near_unseen(self) -> bool:
        """Whether the references surely tell them by less than the margin."""
        within = (0.5 - self.margin, 0.5 + self.margin)
        return self.beside is not None and within[0] <= self.beside.wide[0] and self.beside.wide[1] <= within[1]

    @property
    def holds(self) -> bool:
        """Whether the ids may be compared with unseen samples of their classes.

        References decide: the ids must not surely differ, or differ surely by less than the margin. A mix of classes
        that shows the ids to be chosen turns the burden of proof: then they must surely differ by less.
        """
        if self.beside is None:
            return self.mixed
        return self.near_unseen or (self.like_unseen and self.mixed)


def assess_exchangeability(
    forget_labels: Labels,
    retain_labels: Labels,
    references: Sequence[tuple[Scores, Scores]],
    unseen_labels: Labels,
    *,
    margin: float,
) -> Exchangeability:
    """Ask whether ids were drawn at random from their classes.

    Args:
        forget_labels: classes of the ids, int64 of shape ``(n,)``.
        retain_labels: classes of the samples that they could have been drawn from and were not.
        references: φ of each reference, of the ids ``(n,)`` and of the unseen samples ``(m,)``.
        unseen_labels: classes of the unseen samples, ``(m,)``.
        margin: of the membership check.
    """
    beside = None
    if references and np.isin(forget_labels, unseen_labels).any():
        forget, unseen = (np.stack(scores) for scores in zip(*references, strict=True))
        beside = mean_auc(forget, forget_labels, unseen, unseen_labels)
    return Exchangeability(class_mix(forget_labels, retain_labels), beside, len(references), margin)


def class_mix(forget_labels: Labels, retain_labels: Labels) -> float:
    """Test whether the classes of the forget set are those of a random draw without replacement; return p.

    A class of which nothing is retained counts as drawn: nothing was chosen within it. The statistic is Pearson's X²; p
    is its rank among as many random draws, so the test errs at most as often as it says, however few the ids are.

    Args:
        forget_labels: int64 of shape ``(n,)``.
        retain_labels: int64 of shape ``(r,)``; may be empty.

    Source: Barnard's Monte Carlo test, 1963, on the multivariate hypergeometric distribution.
    """
    classes = np.unique(retain_labels)
    taken, left = (
        np.array([np.count_nonzero(labels == name) for name in classes], dtype=np.int64)
        for labels in (forget_labels, retain_labels)
    )
    n = int(taken.sum())
    if n == 0:
        return 1.0
    whole = taken + left
    expected = n * whole / whole.sum()
    lists = np.vstack([taken, default_rng(0).multivariate_hypergeometric(whole, n, size=DRAWS, method="marginals")])
    apart = ((lists - expected) ** 2 / expected).sum(axis=1)
    return float(np.count_nonzero(apart >= apart[0] * (1 - 1e-12)) / len(lists))


def mean_auc(forget: Scores, forget_labels: Labels, unseen: Scores, unseen_labels: Labels) -> Estimate:
    """Return the class-stratified AUC, forget against unseen, in the mean over models that saw neither.

    All models are asked about the same samples, so the error is that of the samples: it is the one that the mean of
    their ranks has if forget and unseen samples of a class are shuffled, exact for ties and for models that agree.

    Args:
        forget: scores of k models, float64 of shape ``(k, n)``.
        forget_labels: int64 of shape ``(n,)``; at least one class is in ``unseen_labels``.
        unseen: scores of the same models, ``(k, m)``.
        unseen_labels: int64 of shape ``(m,)``.

    Source: van Elteren, "On the combination of independent two-sample tests of Wilcoxon", 1960, on mean ranks.
    """
    from scipy.stats import rankdata  # scipy.stats alone takes as long to import as a step takes to run

    value, variance, n = 0.0, 0.0, int(np.isin(forget_labels, unseen_labels).sum())
    for name in np.intersect1d(forget_labels, unseen_labels):
        own, other = forget[:, forget_labels == name], unseen[:, unseen_labels == name]
        ranks = rankdata(np.hstack([own, other]), axis=1).mean(axis=0)
        count, total = own.shape[1], ranks.size
        share = count / n
        below = (ranks[:count].mean() - (count + 1) / 2) / (total - count)
        value += share * float(below)
        variance += share**2 * float(ranks.var(ddof=1)) / (count * (total - count) * total)
    return normal_estimate(value, sqrt(variance), n, level=CHOSEN_LEVEL, bounds=(0.0, 1.0))
