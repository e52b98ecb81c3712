"""How often something happens, and how that is shown."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.random import Generator
from scipy import stats

LEVEL = 0.05


@dataclass(frozen=True)
class Event:
    """Something that may or may not happen in one simulated audit."""

    check: str
    what: str
    setting: str
    happens: Callable[[Generator], bool]


@dataclass(frozen=True)
class Rate:
    """How often it happened."""

    check: str
    what: str
    setting: str
    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The share of trials in which it happened."""
        return self.hits / self.trials

    @property
    def bound(self) -> float:
        """The most that is no finding: 5 % and three standard errors."""
        return LEVEL + 3 * sqrt(LEVEL * (1 - LEVEL) / self.trials)

    @property
    def interval(self) -> tuple[float, float]:
        """Return the exact 95 % interval of the true rate (Clopper & Pearson)."""
        found = stats.binomtest(self.hits, self.trials).proportion_ci(0.95, "exact")
        return found.low, found.high


def measure(event: Event, trials: int, seed: int) -> Rate:
    """Let an event happen or not, ``trials`` times; each trial has a generator of its own."""
    hits = sum(bool(event.happens(np.random.default_rng([seed, trial]))) for trial in range(trials))
    return Rate(event.check, event.what, event.setting, hits, trials)


def null_table(rates: Iterable[Rate]) -> Iterator[str]:
    """Yield a Markdown table of what must be rare, a line at a time."""
    yield "| check | what must be rare | setting | rate | bound | |"
    yield "|---|---|---|---|---|---|"
    for rate in rates:
        word = "" if rate.value <= rate.bound else "**above**"
        cells = rate.check, rate.what, rate.setting, f"{rate.value:.2%} of {rate.trials}", f"{rate.bound:.2%}", word
        yield f"| {' | '.join(cells)} |"


def power_table(rates: Iterable[Rate]) -> Iterator[str]:
    """Yield a Markdown table of what should be frequent: one line for each event, its settings side by side."""
    rows: dict[tuple[str, str], list[Rate]] = {}
    for rate in rates:
        rows.setdefault((rate.check, rate.what), []).append(rate)
    yield "| check | what should be frequent | how often |"
    yield "|---|---|---|"
    for (check, what), found in rows.items():
        yield f"| {check} | {what} | {'; '.join(f'{rate.setting}: {rate.value:.0%}' for rate in found)} |"
