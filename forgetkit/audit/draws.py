"""Are the ids a random draw of their classes, or were they chosen? Membership compares with unseen samples.

One person's samples, or the hardest ones, do not rank like unseen samples even if nothing of them is left. A list of
ids does not say how it was made; the classes in it, and models that never saw either side, do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.random import default_rng

from forgetkit.audit.check import Check
from forgetkit.audit.intervals import Estimate, normal_estimate
from forgetkit.audit.strata import Labels, Scores

CHOSEN_LEVEL = 0.001
"""How often a random draw is taken for a chosen one, by either test."""
DRAWS = 1999
"""Random lists that a list is compared with."""


@dataclass(frozen=True)
class Drawn:
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


def drawn(
    forget_labels: Labels,
    retain_labels: Labels,
    references: Sequence[tuple[Scores, Scores]],
    unseen_labels: Labels,
    *,
    margin: float,
) -> Drawn:
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
    return Drawn(class_mix(forget_labels, retain_labels), beside, len(references), margin)


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


def drawn_check(found: Drawn, *, assumed: bool) -> Check:
    """Say in words what was found; ``assumed`` is the policy's word that the ids were drawn."""
    note = "the classes are mixed as a random draw mixes them"
    if not found.mixed:
        note = f"chosen, not drawn: a random draw seldom mixes the classes so (p = {found.p:.4f})"
    note += f"; {_beside(found)}"
    if not found.holds:
        note += "; the policy says they were drawn" if assumed else "; so membership and per-id are hints only"
    at = found.beside
    check = Check("exchangeable", "info", note, p=found.p)
    return check if at is None else replace(check, n=at.n, statistic=at.value, interval=at.wide, null=0.5)


def _beside(found: Drawn) -> str:
    """Say what the references, which saw neither side, make of the ids."""
    if found.beside is None:
        return "whether they are one person's, or hard ones, only --reference can show"
    one = found.references == 1
    who = f"{'a reference' if one else f'{found.references} references'}, which saw neither,"
    if found.near_unseen or (found.like_unseen and found.mixed):
        return f"{who} cannot tell them from unseen samples"
    if found.like_unseen:
        return f"{who} cannot rule out that they differ from unseen samples by more than {found.margin:g}"
    side = "easier" if found.beside.value > 0.5 else "harder"
    return f"{who} {'finds' if one else 'find'} them {side} than unseen samples of their classes: chosen, not drawn"
