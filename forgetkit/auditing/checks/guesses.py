"""A check by guesses: if nothing leaks, the number of correct ones is Binomial(guesses, ½), whatever the score."""

from dataclasses import dataclass, replace

from forgetkit.auditing.check import Check, CheckVerdict, check_of
from forgetkit.statistics.canary_guesses import guesses_needed
from forgetkit.statistics.intervals import accuracy, judge


@dataclass(frozen=True)
class Wording:
    """How a check says what it found.

    Attributes:
        passes: if nothing leaks.
        over: if the samples are over-forgotten.
        counted: how many guesses were right; ``{right}`` and ``{made}`` are the numbers.
        needed: of what more would decide.
        per_guess: how many of it make one guess.
    """

    passes: str
    over: str
    counted: str
    needed: str
    per_guess: int = 1


def guess_check(name: str, right: int, made: int, *, level: float, margin: float, wording: Wording) -> Check:
    """Return the check: it decides if it fails, or if so many guesses can pass.

    Args:
        name: id of the check.
        right: correct guesses.
        made: all guesses, at least 1.
        level: error rate, in (0, 0.5).
        margin: how far the share of correct guesses may be from ½.
        wording: how to say it.
    """
    estimate = accuracy(right, made, level=level)
    verdict: CheckVerdict = judge(estimate, null=0.5, margin=margin)
    possible = made >= guesses_needed(level=level, margin=margin)
    meaning = {"fail": "remembered" if estimate.value > 0.5 else f"over-forgotten: {wording.over}"}
    note = meaning.get(verdict, wording.passes if verdict == "pass" else "undecided")
    note += f"; {wording.counted.format(right=right, made=made)}"
    if verdict == "inconclusive":
        verdict = "inconclusive" if possible else "info"
        count = wording.per_guess * guesses_needed(power=0.9, level=level, margin=margin)
        note += f"; if nothing leaked, {count:,} {wording.needed} would pass in 9 of 10 audits"
    check = check_of(name, estimate, verdict, note, null=0.5, margin=margin)
    return replace(check, gating=possible or verdict == "fail", proves=True)
