"""Canaries: how well a guesser tells the candidates that were trained on from those that a coin withheld.

Where they are forgotten, the number of right guesses is Binomial(guesses, ½), whatever the score: exact, no reference.

How an audit uses it::

    canaries = open_canaries(subject.record, subject.dataset)  # forgetkit.canaries; None: there are none
    images, _ = take(subject.dataset.train, canaries.rows, device)
    after = phi(predict(classifier, images), torch.from_numpy(canaries.labels)).numpy()  # assigned labels, all of them
    forgotten = subject.record.forgotten.contains(subject.dataset.train.ids_at(canaries.rows))
    checks += canary_check(after, before, canaries.included, forgotten=forgotten, level=level)

with ``before`` the same of the original, or None. Rows of candidates belong to no other check.
"""

from dataclasses import replace
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from forgetkit.audit.check import Check, CheckVerdict, measured, with_control
from forgetkit.audit.intervals import accuracy, check_level, judge

MARGIN = 0.05
"""How far from ½ the guesser's accuracy may be."""


def guesses(scores: NDArray[np.float64], included: NDArray[np.bool_]) -> tuple[int, int]:
    """Count right guesses: "included" for the quarter with the highest scores, "withheld" for the lowest quarter.

    Ties are broken by the order of the candidates, which knows nothing of the coins.

    Args:
        scores: φ of each candidate for its assigned label, float64 of shape ``(candidates,)``, in draw order.
        included: the coins, bool of the same shape.

    Returns:
        Right guesses, and guesses made.
    """
    quarter = len(scores) // 4
    order = np.argsort(scores, kind="stable")
    low, high = order[:quarter], order[len(order) - quarter :]
    return int(included[high].sum() + (~included[low]).sum()), 2 * quarter


def epsilon(right: int, made: int, level: float = 0.05) -> float:
    """Return the largest ε that the guesses refute from below: sup{ε : P[Bin(made, e^ε/(1+e^ε)) ≥ right] < level}.

    0 where there is none. Its ceiling at this number of guesses is ``epsilon(made, made)``.

    Raises:
        ValueError: ``right`` is not in ``[0, made]``, or an impossible ``level``.

    Source: Steinke, Nasr & Jagielski 2023, with δ = 0; the sup is at Clopper and Pearson's lower bound.
    """
    if not 0 <= right <= made:
        raise ValueError(f"{right} of {made} guesses cannot be right")
    low = float(stats.beta.ppf(check_level(level), right, made - right + 1)) if right else 0.0
    return max(0.0, log(low / (1 - low))) if low else 0.0


def canary_check(
    after: NDArray[np.float64],
    before: NDArray[np.float64] | None,
    included: NDArray[np.bool_],
    *,
    forgotten: NDArray[np.bool_],
    level: float = 0.05,
    margin: float = MARGIN,
) -> list[Check]:
    """Check that included canaries look like withheld ones, and bound ε from below.

    It decides if it fails, or if that many canaries could pass and the original fails as one that remembers.

    Args:
        after: φ of every candidate for its assigned label, by the model under audit; the order of the draw.
        before: the same by the original, the positive control, or None.
        included: the coins.
        forgotten: which candidates the record names as forgotten.
        level: error rate, in (0, 0.5).
        margin: how far the guesser's accuracy may be from ½.
    """
    if missing := int((included & ~forgotten).sum()):
        note = (
            f"{missing} of {included.sum()} included canaries are not forgotten: list them with forget-ids --canaries"
        )
        return [Check("canaries", "not-run", note, group="canaries", n=len(included))]
    control = None if before is None else _guessed(before, included, level, margin)
    check = with_control(_guessed(after, included, level, margin), control)
    right, made = guesses(after, included)
    bound = Check(
        "canaries-epsilon",
        "info",
        f"ε ≥ {epsilon(right, made, level):.2f}, of at most {epsilon(made, made, level):.2f} at {made} guesses",
        group="canaries",
        n=made,
        statistic=epsilon(right, made, level),
        null=0.0,
    )
    if control is None:
        return [check, bound]
    original = replace(control, id="canaries-original", verdict="info", gating=False, proves=False)
    return [check, original, bound]


def canaries_needed(*, power: float = 0.0, level: float = 0.05, margin: float = MARGIN) -> int:
    """Return the fewest candidates that pass with probability ``power`` where nothing leaks; 0 for: at all.

    Exact: a pass needs at least as many right and as many wrong guesses as put both ends of the interval of
    confidence ``1 - 2 level`` inside the margin.
    """
    made = np.arange(2, int(8 / margin**2), 2)
    least = stats.binom.isf(check_level(level), made, 0.5 - margin) + 1
    passing = stats.binom.cdf(made - least, made, 0.5) - stats.binom.cdf(least - 1, made, 0.5)
    return 2 * int(made[np.argmax((passing > 0) & (passing >= power))])


def prospects(count: int) -> str:
    """Say what ``count`` candidates can show."""
    made = 2 * (count // 4)
    return (
        f"{made} guesses, which can show ε up to {epsilon(made, made):.2f}; to pass as forgotten takes "
        f"{canaries_needed():,} canaries, {canaries_needed(power=0.9):,} to do so 9 times in 10"
    )


def _guessed(scores: NDArray[np.float64], included: NDArray[np.bool_], level: float, margin: float) -> Check:
    """Return the check on one model by itself."""
    right, made = guesses(scores, included)
    estimate = accuracy(right, made, level=level)
    verdict: CheckVerdict = judge(estimate, null=0.5, margin=margin)
    possible = len(included) >= canaries_needed(level=level, margin=margin)
    meaning = {"fail": "remembered" if estimate.value > 0.5 else "over-forgotten: they stick out as unfamiliar"}
    note = meaning.get(verdict, "like withheld canaries" if verdict == "pass" else "cannot tell")
    note += f"; {right} of {made} guesses are right"
    if verdict == "inconclusive":
        verdict = "inconclusive" if possible else "info"
        enough = canaries_needed(power=0.9, level=level, margin=margin)
        note += f"; if nothing leaked, {enough:,} canaries would show it 9 times in 10"
    check = measured("canaries", estimate, verdict, note, null=0.5, margin=margin)
    return replace(check, group="canaries", gating=possible or verdict == "fail", proves=True)
