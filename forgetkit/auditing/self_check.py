"""The auditor audited on the spot: how often these checks err, and what they detect, at these numbers of samples."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.checks.one_model import membership
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import Predictions
from forgetkit.statistics.attacks import LOW_FPR_FROM, advantage, low_fpr, per_id
from forgetkit.statistics.intervals import Interval, accuracy

SHIFTS = (0.0, 0.25, 0.5, 1.0, -0.5, -1.0)
"""Shifts of the scores of simulated forget sets, in standard deviations within a class; above 0 means remembered."""
TRIALS = 400
"""Draws where nothing leaks; a quarter as many for each shift."""
LIMIT = (
    "This shows how the checks perform on samples like the unseen ones, as this model scores them. It cannot show "
    "whether the ids in question are such a draw, nor how the checks perform that need other models or canaries."
)

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class ErrorRate:
    """How often one check gives one result.

    Attributes:
        check: its name.
        finds: the result.
        shift: of the scores of the simulated forget sets, in standard deviations within a class.
        rate: share of the draws with this result.
        interval: exact 95 % interval of the true rate.
    """

    check: str
    finds: str
    shift: float
    rate: float
    interval: Interval


@dataclass(frozen=True)
class SelfCheck:
    """The error rates of the checks where the truth is known.

    Attributes:
        ids: samples of a simulated forget set.
        unseen: samples that it is compared with.
        trials: draws where nothing leaks; a quarter as many for each shift.
        outcomes: one for each check, result and shift; none if no unseen sample has a class of the ids.
    """

    ids: int
    unseen: int
    trials: int
    outcomes: list[ErrorRate]

    def lines(self) -> list[str]:
        """Return the lines for the terminal."""
        if not self.outcomes:
            return ["self-check: not run, no unseen samples of these classes"]
        lines = [
            f"self-check: {self.trials} draws of {self.ids} and {self.unseen} samples from the unseen scores, "
            f"{self.trials // 4} for each shift",
            f"{'check':<11} {'finds':<17} {'if nothing leaks':<20} " + "".join(f"{s:>+6.2g} sd" for s in SHIFTS[1:]),
        ]
        for name, finds in dict.fromkeys((outcome.check, outcome.finds) for outcome in self.outcomes):
            null, *moved = [found for found in self.outcomes if (found.check, found.finds) == (name, finds)]
            low, high = null.interval
            around = f"{null.rate:.1%} [{low:.1%}, {high:.1%}]"
            lines.append(f"{name:<11} {finds:<17} {around:<20} " + "".join(f"{found.rate:>9.0%}" for found in moved))
        return [line.rstrip() for line in (*lines, LIMIT)]

    def to_json(self) -> dict[str, Any]:
        """Return it as the report has it."""
        names = ("check", "finds", "shift", "rate")
        entries = [
            {name: getattr(found, name) for name in names} | {"interval": list(found.interval)}
            for found in self.outcomes
        ]
        return {"ids": self.ids, "unseen": self.unseen, "trials": self.trials, "outcomes": entries, "limit": LIMIT}


def self_check(
    unseen: Predictions, labels: Labels, *, policy: Policy, trials: int = TRIALS, seed: int = 0
) -> SelfCheck:
    """Run the checks that need one model only on simulated forget sets of which nothing leaks, and on shifted ones.

    Both the simulated forget set and the samples it is compared with are drawn, with replacement, from the model's
    scores on the check half: class by class, as many as the audit has. So nothing leaks except what the shift adds.

    Args:
        unseen: predictions on the check half.
        labels: classes of the ids in question, int64 of shape ``(ids,)``.
        policy: the level and the margin of membership.
        trials: draws where nothing leaks; a quarter as many for each shift.
        seed: of the draws.

    Source: the draws are Efron's, "Bootstrap methods: another look at the jackknife", 1979.
    """
    labels, alike = labels[np.isin(labels, unseen.labels)], unseen.take(np.isin(unseen.labels, labels))
    outcomes: list[ErrorRate] = []
    if len(labels):
        for shift in SHIFTS:
            draws = trials if shift == 0 else max(trials // 4, 1)
            outcomes += _outcomes(alike, np.sort(labels), shift, policy, np.random.default_rng(seed), draws)
    return SelfCheck(len(labels), len(alike), trials, outcomes)


def _outcomes(
    unseen: Predictions, labels: Labels, shift: float, policy: Policy, draw: np.random.Generator, trials: int
) -> list[ErrorRate]:
    """Return the rates of each check at one shift."""
    rows = {label: np.flatnonzero(unseen.labels == label) for label in np.unique(unseen.labels).tolist()}
    spread = sqrt(sum(float(unseen.phi[of].var()) * len(of) for of in rows.values()) / len(unseen))
    pools = [_pool(rows, wanted) for wanted in (labels, np.sort(unseen.labels))]
    counts: dict[tuple[str, str], int] = {}
    for _ in range(trials):
        forget, other = (_at(unseen, pool(draw)) for pool in pools)
        moved = replace(forget, phi=forget.phi + shift * spread)
        for key, found in _findings(moved, other, policy).items():
            counts[key] = counts.get(key, 0) + found
    rates = {key: accuracy(count, trials) for key, count in counts.items()}
    return [ErrorRate(*key, shift, found.value, found.wide) for key, found in rates.items()]


def _findings(forget: Predictions, unseen: Predictions, policy: Policy) -> dict[tuple[str, str], bool]:
    """Return the results of each check on one simulated forget set."""
    ranked = membership(forget, unseen, level=policy.level, margin=policy.membership_margin).verdict
    single = per_id(forget.phi, forget.labels, unseen.phi, unseen.labels)
    found = {
        ("membership", "fail"): ranked == "fail",
        ("membership", "pass"): ranked == "pass",
        ("advantage", "surely above 0"): advantage(forget.phi, unseen.phi, level=policy.level).distance.wide[0] > 0,
        ("per-id", "an id stands out"): bool(single.remembered.any() or single.over_forgotten.any()),
    }
    if len(unseen) >= LOW_FPR_FROM and (tails := low_fpr(forget.phi, unseen.phi, level=policy.level / 2)):
        found["low-fpr", "ε above 0"] = max(tails.upper.epsilon, tails.lower.epsilon) > 0
    return found


def _at(found: Predictions, rows: Labels) -> Predictions:
    return Predictions(found.phi[rows], found.correct[rows], found.labels[rows], found.softmax[rows])


def _pool(rows: dict[int, Labels], labels: Labels) -> Callable[[np.random.Generator], Labels]:
    """Return a function that draws a row of the class of each of ``labels``, which are sorted, with replacement."""
    names, counts = np.unique(labels, return_counts=True)
    wanted = [(rows[name], count) for name, count in zip(names.tolist(), counts.tolist(), strict=True)]
    return lambda draw: np.concatenate([of[draw.integers(len(of), size=count)] for of, count in wanted])
