"""Simulated models whose truth is known: what each statistic of an audit says of them, one draw at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.canaries import canary_check
from forgetkit.auditing.checks.one_model import chance, membership, utility_check
from forgetkit.auditing.checks.relearn import REPEATS
from forgetkit.auditing.checks.with_references import closer_check, rank_check
from forgetkit.auditing.predictions import Predictions
from forgetkit.statistics.attacks import advantage, low_fpr, per_id
from forgetkit.statistics.calibration import calibrate
from forgetkit.statistics.references import closer, rank
from forgetkit.statistics.relearning import sign_flip

CLASSES = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Forgotten and unseen samples of ten classes, some of them harder than others."""

    forget: Predictions
    unseen: Predictions


def predictions_of(phi: Floats, labels: NDArray[np.int64]) -> Predictions:
    """Return samples of which only φ matters."""
    return Predictions(phi, phi > 0, labels, np.zeros((len(phi), CLASSES)))


def group(draw: Generator, sizes: tuple[int, int], shift: float = 0.0, share: float = 1.0) -> Group:
    """Draw φ, normal around the difficulty of its class; a ``share`` of forgotten samples is shifted."""
    difficulty = 3 * draw.standard_normal(CLASSES)
    labels = [draw.integers(0, CLASSES, size) for size in sizes]
    phi = [difficulty[rows] + draw.standard_normal(len(rows)) for rows in labels]
    phi[0] += shift * (draw.random(sizes[0]) < share)
    return Group(predictions_of(phi[0], labels[0]), predictions_of(phi[1], labels[1]))


def shift_for(auc: float) -> float:
    """Return how far apart two normal scores of variance 1 lie whose AUC is ``auc``."""
    return sqrt(2) * float(stats.norm.ppf(auc))


def member(sizes: tuple[int, int], auc: float) -> Callable[[Generator], Check]:
    """Return the membership check at a true AUC."""

    def check(draw: Generator) -> Check:
        found = group(draw, sizes, shift_for(auc))
        return membership(found.forget, found.unseen, level=0.05, margin=0.05)

    return check


def utility(n: int, lost: float, gained: float) -> Callable[[Generator], Check]:
    """Return the utility check where a share of answers is lost and another is gained."""

    def check(draw: Generator) -> Check:
        luck = draw.random(n)
        before, after = luck >= gained, (luck < gained) | (luck >= gained + lost)
        blank = np.zeros(n), np.zeros(n, np.int64), np.zeros((n, CLASSES))
        pair = (Predictions(blank[0], right, blank[1], blank[2]) for right in (after, before))
        return utility_check(*pair, level=0.05, margin=0.02)

    return check


def guess(n: int, rate: float) -> Callable[[Generator], Check]:
    """Return the chance check at a true accuracy, of ten classes."""
    return lambda draw: chance(draw.random(n) < rate, CLASSES, level=0.05, gating=True)


def gain(sizes: tuple[int, int], auc: float = 0.5) -> Callable[[Generator], bool]:
    """Return whether the advantage is surely above 0."""

    def sure(draw: Generator) -> bool:
        forget, unseen = draw.standard_normal(sizes[0]) + shift_for(auc), draw.standard_normal(sizes[1])
        return advantage(forget, unseen).distance.wide[0] > 0

    return sure


def leak(sizes: tuple[int, int], share: float = 0.0) -> Callable[[Generator], bool]:
    """Return whether ε at 1 % false alarms is surely above 0, where a share is remembered strongly."""

    def sure(draw: Generator) -> bool:
        forget = draw.standard_normal(sizes[0]) + 6 * (draw.random(sizes[0]) < share)
        found = low_fpr(forget, draw.standard_normal(sizes[1]))
        return found is not None and found.upper.epsilon > 0

    return sure


def single(sizes: tuple[int, int], share: float = 0.0) -> Callable[[Generator], bool]:
    """Return whether any id stands out as remembered, where a share is remembered strongly."""

    def any_found(draw: Generator) -> bool:
        found = group(draw, sizes, 6.0, share)
        parts = found.forget.phi, found.forget.labels, found.unseen.phi, found.unseen.labels
        return bool(per_id(*parts).remembered.any())

    return any_found


@dataclass(frozen=True)
class Crowd:
    """A model, an original and references, on forgotten and unseen samples: softmax of shape ``(n, classes)``."""

    after: Floats
    before: Floats
    references: list[Floats]
    labels: NDArray[np.int64]


def crowd(draw: Generator, references: int, n: int, *, kept: float = 0.0) -> Crowd:
    """Draw models that agree on what is hard and differ by luck; a share ``kept`` of the original's surplus is left."""
    labels = draw.integers(0, CLASSES, n)
    true = np.eye(CLASSES)[labels]
    hard = draw.standard_normal((n, CLASSES)) + 2 * true

    def model(surplus: float) -> Floats:
        luck = draw.standard_normal((n, CLASSES)) + 0.3 * draw.standard_normal(CLASSES)
        return np.asarray(np.exp(logits := hard + luck + surplus * true) / np.exp(logits).sum(1, keepdims=True))

    return Crowd(model(3 * kept), model(3), [model(0) for _ in range(references)], labels)


def phi_of(softmax: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return the log-odds of the true class."""
    true = softmax[np.arange(len(labels)), labels]
    return np.asarray(np.log(true) - np.log1p(-true))


def ranked(references: int, n: int, kept: float = 0.0) -> Callable[[Generator], Check]:
    """Return the rank check."""

    def check(draw: Generator) -> Check:
        found = crowd(draw, references, n, kept=kept)
        after, before, *others = (phi_of(p, found.labels) for p in (found.after, found.before, *found.references))
        return rank_check(rank(after, before, others))

    return check


def near(references: int, n: int, kept: float = 0.0) -> Callable[[Generator], Check]:
    """Return the closer check."""

    def check(draw: Generator) -> Check:
        found = crowd(draw, references, n, kept=kept)
        return closer_check(closer(found.after, found.before, found.references, draws=400), references, remembers=True)

    return check


def single_calibrated(references: int, sizes: tuple[int, int]) -> Callable[[Generator], bool]:
    """Return whether any id stands out as remembered beside the references."""

    def any_found(draw: Generator) -> bool:
        n = sizes[0]
        found = crowd(draw, references, sum(sizes))
        others = [[p[:n] for p in found.references], [p[n:] for p in found.references]]
        labels = {"labels": found.labels[:n], "unseen_labels": found.labels[n:]}
        return bool(calibrate(found.after[:n], others[0], found.after[n:], others[1], **labels).found.remembered.any())

    return any_found


def canary_shift(right: float) -> float:
    """Return the shift of included scores at which a guesser at both outer quarters is right at this rate."""

    def excess(shift: float) -> float:
        threshold = brentq(lambda t: stats.norm.sf(t) + stats.norm.sf(t - shift) - 0.5, -10, 20)
        return float(2 * stats.norm.sf(threshold - shift) - right)

    return float(brentq(excess, 0, 10)) if right > 0.5 else 0.0


def canaries(count: int, right: float) -> Callable[[Generator], list[Check]]:
    """Return the canary checks, beside an original that knows its canaries."""
    shift = canary_shift(right)

    def checks(draw: Generator) -> list[Check]:
        included = draw.random(count) < 0.5
        after, before = (draw.standard_normal(count) + far * included for far in (shift, 6.0))
        return canary_check(after, before, included, forgotten=included)

    return checks


def canary(count: int, right: float = 0.5) -> Callable[[Generator], Check]:
    """Return the canary check where a guesser is right at this rate."""
    checks = canaries(count, right)
    return lambda draw: checks(draw)[0]


def canary_leak(count: int) -> Callable[[Generator], bool]:
    """Return whether the canaries' ε is surely above 0 though nothing leaks."""
    checks = canaries(count, 0.5)
    return lambda draw: (checks(draw)[-1].statistic or 0) > 0


def sooner(effect: float = 0.0) -> Callable[[Generator], bool]:
    """Return whether the sign-flip test of ten heavy-tailed pairs rejects."""
    return lambda draw: sign_flip(draw.standard_t(3, REPEATS) + effect) <= 0.05


def says(check: Callable[[Generator], Check], verdict: str) -> Callable[[Generator], bool]:
    """Return whether a check has this verdict."""
    return lambda draw: check(draw).verdict == verdict


def misses(check: Callable[[Generator], Check], truth: float) -> Callable[[Generator], bool]:
    """Return whether the interval of a check leaves the truth out."""

    def outside(draw: Generator) -> bool:
        low, high = check(draw).interval or (0, 1)
        return not low <= truth <= high

    return outside
