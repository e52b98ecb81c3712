"""Are samples learned again sooner than by models that never saw them? What the weights still hold comes back quickly.

Fine-tuning can bring back what a model no longer shows, even one that answers like a model without the samples: Lee et
al., "Distillation Robustifies Unlearning" (UNDO), NeurIPS 2025. So a model is judged by its loss while it learns.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetkit.statistics.intervals import Verdict, check_level, references_needed

LEAST, MOST = 1e-4, 1e4
"""Losses are cut off here, so that neither one step near 0 nor one that diverged outweighs all others."""
ROUNDING = 1e-12
Losses = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sooner:
    """A model among others that were taught the same samples by the same steps.

    Attributes:
        lead: how far its log loss lies below the others' mean, in standard deviations at each step, averaged.
        leads: the same of each reference, k of them.
        p: the share of models, itself included, whose lead is at least as large; in ``[1 / (k + 1), 1]``.
        p_slower: likewise, whose lead is at most as large.
        p_before: ``p`` of the original; None without one.
        share: its loss as a share of the references', a geometric mean over the steps.
        needed: the fewest references with which anything can fail, or pass, at this level.
        diverged: whether a loss of the model was not a number, or 10,000 or more.
    """

    lead: float
    leads: tuple[float, ...]
    p: float
    p_slower: float
    p_before: float | None
    share: float
    needed: int
    verdict: Verdict
    diverged: bool

    @property
    def possible(self) -> bool:
        """Whether there are enough references; otherwise the verdict is always inconclusive."""
        return len(self.leads) >= self.needed


def sooner(after: Losses, before: Losses | None, references: Iterable[Losses], *, level: float = 0.05) -> Sooner:
    """Test exactly whether a model learns samples sooner than models do that never saw them.

    The test errs at most at ``level``, however the steps depend on each other, if the model is exchangeable with the
    references. It is one-sided: with the 19 references that 5 % needs, a second side would leave no room to fail.

    Args:
        after: loss of the model under audit before each step, float64 of shape ``(steps,)``; not a number where it
            diverged.
        before: that of the original, from the same steps; None without it: then nothing shows that a model that
            remembers would fail, and no model passes.
        references: those of k >= 1 references, each of shape ``(steps,)``.
        level: the error of the test, in (0, 0.5).

    Returns:
        "fail" if ``p <= level``; "pass" if it is above, the original's is not, and the model neither diverged nor is
        later than every reference: weights that learn badly hide what they hold; else "inconclusive".

    Raises:
        ValueError: shapes that differ, no step, no reference, or an impossible ``level``.

    Source: Barnard's Monte Carlo test, 1963, as in Phipson & Smyth, "Permutation P-values should never be zero", 2010.
    """
    check_level(level)
    others = list(references)
    shapes = {one.shape for one in (after, *others, *([] if before is None else [before]))}
    if not others or len(shapes) > 1 or after.ndim != 1 or not len(after):
        raise ValueError(f"cannot compare {len(others)} references: one row of losses each, not {sorted(shapes)}")
    leads = _leads(after, others)
    p_before = None if before is None else _share_above(_leads(before, others))
    p = _share_above(leads)
    caught = p_before is not None and p_before <= level
    diverged = not bool((after < MOST).all())
    last = _share_above(-leads) <= (1 + 1e-9) / len(leads)
    shows = caught and not diverged and not last
    verdict: Verdict = "fail" if p <= level else "pass" if shows else "inconclusive"
    share = float(np.exp((_logs([after]) - _logs(others).mean(axis=0)).mean()))
    needed = references_needed(level)
    lead, *own = leads.tolist()
    return Sooner(lead, tuple(own), p, _share_above(-leads), p_before, share, needed, verdict, diverged)


def sign_flip(differences: NDArray[np.float64]) -> float:
    """Return the exact two-sided p of a mean of differences that are symmetric about 0 under the null.

    Args:
        differences: float64 of shape ``(n,)``, 1 to 20 of them.

    Source: Fisher, "The Design of Experiments", 1935, section 21.
    """
    n = len(differences)
    if not 1 <= n <= 20:
        raise ValueError(f"cannot flip {n} signs")
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    sums = np.abs(signs @ differences)
    # The first row flips nothing; equal sums may differ by their rounding.
    return float(np.mean(sums >= sums[0] - 1e-9 * max(sums[0], 1.0)))


def pair_by_class(forget: Rows, unseen: Rows, draw: np.random.Generator) -> Rows:
    """Pair samples of the same class at random, each used once at most, as many as there are.

    Args:
        forget: classes of the forgotten samples, int64 of shape ``(n,)``.
        unseen: classes of the unseen samples, int64 of shape ``(m,)``.
        draw: source of randomness.

    Returns:
        rows of both, int64 of shape ``(pairs, 2)``, in random order.
    """
    found = []
    for label in np.intersect1d(forget, unseen):
        one, other = (draw.permutation(np.flatnonzero(labels == label)) for labels in (forget, unseen))
        found.append(np.stack([one[: len(other)], other[: len(one)]], axis=1))
    return draw.permutation(np.concatenate(found)) if found else np.empty((0, 2), np.int64)


def _logs(losses: list[Losses]) -> Losses:
    """Return the logarithms of losses, cut off; float64 of shape ``(models, steps)``."""
    found: Losses = np.log(np.clip(np.nan_to_num(np.stack(losses), nan=MOST, posinf=MOST), LEAST, MOST))
    return found


def _leads(candidate: Losses, references: list[Losses]) -> Losses:
    """Return the lead of each model over the others, the candidate first; float64 of shape ``(k + 1,)``."""
    models = _logs([candidate, *references])
    # Where all agree, rounding of their mean must not look like a lead.
    centred = np.where(np.ptp(models, axis=0) > 0, models - models.mean(axis=0), 0.0)
    spread = centred.std(axis=0, ddof=1)
    ahead: Losses = -np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0).mean(axis=1)
    return ahead * len(models) / len(references)  # the mean of the other k lies k + 1 kths as far as that of all


def _share_above(leads: Losses) -> float:
    """Return the share of models whose lead is at least that of the first."""
    return float(np.mean(leads >= leads[0] - ROUNDING))
