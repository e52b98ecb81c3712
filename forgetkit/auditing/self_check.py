"""The auditor audited on the spot: how often do these checks err, and what can they see, at these numbers of samples?

How an audit uses it::

    found = self_check(after.unseen, after.forget.labels, policy=policy)
    lines, document["self_check"] = found.lines(), found.to_json()
"""

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
"""How far pretended forget sets are moved, in standard deviations within a class; above 0 is remembered."""
TRIALS = 400
"""Draws where nothing leaks; a quarter as many for each shift."""
LIMIT = (
    "It shows how the checks do on samples that are like unseen ones, as this model scores them. Whether the ids in "
    "question are such a draw it cannot show, nor how the checks do that need the original, references or canaries."
)

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Outcome:
    """How often one check speaks.

    Attributes:
        check: its name.
        finds: what it says then.
        shift: how far the pretended forget set was moved, in standard deviations within a class.
        rate: how often it was said.
        interval: exact 95 % interval of the true rate.
    """

    check: str
    finds: str
    shift: float
    rate: float
    interval: Interval


@dataclass(frozen=True)
class SelfCheck:
    """What each check does where the truth is known.

    Attributes:
        ids: samples of a pretended forget set.
        unseen: samples that it is compared with.
        trials: draws where nothing leaks; a quarter as many for each shift.
        outcomes: one for each check, finding and shift; none where no unseen sample has a class of the ids.
    """

    ids: int
    unseen: int
    trials: int
    outcomes: list[Outcome]

    def lines(self) -> list[str]:
        """Return what is printed."""
        if not self.outcomes:
            return ["self-check: not run, no unseen samples of these classes"]
        told = [
            f"self-check: {self.trials} draws of {self.ids} and {self.unseen} samples from the unseen scores, "
            f"{self.trials // 4} for each shift",
            f"{'check':<11} {'finds':<17} {'if nothing leaks':<20} " + "".join(f"{s:>+6.2g} sd" for s in SHIFTS[1:]),
        ]
        for name, finds in dict.fromkeys((outcome.check, outcome.finds) for outcome in self.outcomes):
            null, *moved = [found for found in self.outcomes if (found.check, found.finds) == (name, finds)]
            low, high = null.interval
            around = f"{null.rate:.1%} [{low:.1%}, {high:.1%}]"
            told.append(f"{name:<11} {finds:<17} {around:<20} " + "".join(f"{found.rate:>9.0%}" for found in moved))
        return [line.rstrip() for line in (*told, LIMIT)]

    def to_json(self) -> dict[str, Any]:
        """Return it as it stands in a report."""
        names = ("check", "finds", "shift", "rate")
        entries = [
            {name: getattr(found, name) for name in names} | {"interval": list(found.interval)}
            for found in self.outcomes
        ]
        return {"ids": self.ids, "unseen": self.unseen, "trials": self.trials, "outcomes": entries, "limit": LIMIT}


def self_check(
    unseen: Predictions, labels: Labels, *, policy: Policy, trials: int = TRIALS, seed: int = 0
) -> SelfCheck:
    """Run the checks that need one model alone on pretended forget sets of which nothing leaks, and on shifted ones.

    Both the pretended forget set and what it is compared with are drawn, with replacement, from the model's scores on
    the check half: class by class, as many as the audit has. So nothing can leak, but for what the shift puts in.

    Args:
        unseen: what the model says of the check half.
        labels: classes of the ids in question, int64 of shape ``(ids,)``.
        policy: the level and the margin of membership.
        trials: draws where nothing leaks; a quarter as many for each shift.
        seed: of the draws.

    Source: the draws are Efron's, "Bootstrap methods: another look at the jackknife", 1979.
    """
    labels, alike = labels[np.isin(labels, unseen.labels)], unseen.take(np.isin(unseen.labels, labels))
    outcomes: list[Outcome] = []
    if len(labels):
        for shift in SHIFTS:
            draws = trials if shift == 0 else max(trials // 4, 1)
            outcomes += _outcomes(alike, np.sort(labels), shift, policy, np.random.default_rng(seed), draws)
    return SelfCheck(len(labels), len(alike), trials, outcomes)


def _outcomes(
    unseen: Predictions, labels: Labels, shift: float, policy: Policy, draw: np.random.Generator, trials: int
) -> list[Outcome]:
    """Return how often each check speaks at one shift."""
    rows = {label: np.flatnonzero(unseen.labels == label) for label in np.unique(unseen.labels).tolist()}
    spread = sqrt(sum(float(unseen.phi[of].var()) * len(of) for of in rows.values()) / len(unseen))
    pools = [_pool(rows, wanted) for wanted in (labels, np.sort(unseen.labels))]
    said: dict[tuple[str, str], int] = {}
    for _ in range(trials):
        forget, other = (_at(unseen, pool(draw)) for pool in pools)
        moved = replace(forget, phi=forget.phi + shift * spread)
        for key, found in _findings(moved, other, policy).items():
            said[key] = said.get(key, 0) + found
    rates = {key: accuracy(count, trials) for key, count in said.items()}
    return [Outcome(*key, shift, found.value, found.wide) for key, found in rates.items()]


def _findings(forget: Predictions, unseen: Predictions, policy: Policy) -> dict[tuple[str, str], bool]:
    """Return what each check says of one pretended forget set."""
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
    """Return what draws a row of its class for each of ``labels``, which are sorted, with replacement."""
    names, counts = np.unique(labels, return_counts=True)
    wanted = [(rows[name], count) for name, count in zip(names.tolist(), counts.tolist(), strict=True)]
    return lambda draw: np.concatenate([of[draw.integers(len(of), size=count)] for of, count in wanted])
