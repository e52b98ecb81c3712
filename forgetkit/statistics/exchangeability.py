"""Are the ids a random draw of their classes, so that the membership check may compare them with unseen samples?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.random import default_rng

from forgetkit.statistics.intervals import Estimate, normal_estimate
from forgetkit.statistics.strata import Labels, Scores

CHOSEN_LEVEL = 0.001
"""How often either test takes a random draw for a chosen one."""


DRAWS = 1999
"""Random lists that a list is compared with."""


@dataclass(frozen=True)
class Exchangeability:
    """The evidence for and against a random draw.

    Attributes:
        p: p-value of the mix of classes if the ids were drawn; at most 0.001 means chosen.
        auc: mean AUC of the references, which saw neither side, with an interval of 99.9 %; ½ if drawn.
        references: number of references.
        margin: the distance of the AUC from ½ from which on the membership check would be misled.
    """

    p: float
    auc: Estimate | None
    references: int
    margin: float

    @property
    def mixed(self) -> bool:
        """Whether the mix of classes may be that of a random draw."""
        return self.p > CHOSEN_LEVEL

    @property
    def like_unseen(self) -> bool:
        """Whether the references cannot tell the ids from unseen samples."""
        return self.auc is not None and self.auc.wide[0] <= 0.5 <= self.auc.wide[1]

    @property
    def near_unseen(self) -> bool:
        """Whether the difference in the references is certainly less than the margin."""
        within = (0.5 - self.margin, 0.5 + self.margin)
        return self.auc is not None and within[0] <= self.auc.wide[0] and self.auc.wide[1] <= within[1]

    @property
    def holds(self) -> bool:
        """Whether the ids may be compared with unseen samples of their classes.

        References decide: the ids must not certainly differ, or certainly differ by less than the margin. If the mix of
        classes shows that the ids were chosen, the burden of proof is reversed: they must certainly differ by less.
        """
        if self.auc is None:
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
    """Assess whether ids were drawn at random from their classes.

    Args:
        forget_labels: classes of the ids, int64 of shape ``(n,)``.
        retain_labels: classes of the samples that they could have been drawn from and were not.
        references: φ of each reference, of the ids ``(n,)`` and of the unseen samples ``(m,)``.
        unseen_labels: classes of the unseen samples, ``(m,)``.
        margin: of the membership check.
    """
    auc = None
    if references and np.isin(forget_labels, unseen_labels).any():
        forget, unseen = (np.stack(scores) for scores in zip(*references, strict=True))
        auc = mean_auc(forget, forget_labels, unseen, unseen_labels)
    return Exchangeability(class_mix(forget_labels, retain_labels), auc, len(references), margin)


def class_mix(forget_labels: Labels, retain_labels: Labels) -> float:
    """Test whether the classes of the forget set are those of a random draw without replacement; return p.

    A class of which nothing is retained counts as drawn: nothing was chosen within it. The statistic is Pearson's X²; p
    is its rank among random draws of the same size, so the test keeps its level however few the ids are.

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

    All models score the same samples, so the error is that of the samples: that of the mean of their ranks if forget
    and unseen samples of a class are shuffled. It is exact for ties and for models that agree.

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
