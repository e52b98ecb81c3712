"""Canaries: how well a guesser tells candidates that were trained on from those that a coin withheld.

If they are forgotten, the number of correct guesses is Binomial(guesses, ½), whatever the score: exact, no reference.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.check import Check, with_control
from forgetkit.auditing.checks.guesses import Wording, guess_check
from forgetkit.statistics.canary_guesses import MARGIN, epsilon, guesses

WORDING = Wording(
    passes="like withheld canaries",
    over="they stick out as unfamiliar",
    counted="{right} of {made} guesses are correct",
    needed="canaries",
    per_guess=2,
)


def canary_check(
    after: NDArray[np.float64],
    before: NDArray[np.float64] | None,
    included: NDArray[np.bool_],
    *,
    forgotten: NDArray[np.bool_],
    level: float = 0.05,
    margin: float = MARGIN,
) -> list[Check]:
    """Check that included canaries rank like withheld ones, and bound ε from below.

    It decides if it fails, or if so many canaries can pass and the original fails as a model that remembers.

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
        f"ε ≥ {epsilon(right, made, level):.2f} (with {made} guesses, {epsilon(made, made, level):.2f} at most)",
        group="canaries",
        n=made,
        statistic=epsilon(right, made, level),
        null=0.0,
    )
    if control is None:
        return [check, bound]
    original = replace(control, id="canaries-original", verdict="info", gating=False, proves=False)
    return [check, original, bound]


def _guessed(scores: NDArray[np.float64], included: NDArray[np.bool_], level: float, margin: float) -> Check:
    """Return the check on one model by itself."""
    right, made = guesses(scores, included)
    return replace(guess_check("canaries", right, made, level=level, margin=margin, wording=WORDING), group="canaries")
