"""The attacks of the field as checks, and whether any of them tells the model from models that never saw the ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forgetkit.auditing.check import ATTACKS, Check, check_of
from forgetkit.auditing.checks.attacks import (
    Answers,
    Family,
    Reading,
    family_of,
    outside_of,
    read,
    read_matched,
)
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.shadow_predictions import ShadowPredictions
from forgetkit.statistics.attack_nulls import holm, rank_p
from forgetkit.statistics.intervals import references_needed

MATCHED = ("ulira", "ruli")
"""Attacks that compare an id with itself in other models."""
CHOSEN = "the ids were chosen, not drawn: only the same attack on {needed} references would show what is right"
TOO_FEW = "no p: too few ids"
DIVERGED = "the little training on the retain set diverged"
NOTHING_RETAINED = "needs the model itself, and retained samples that could remind it"


@dataclass(frozen=True)
class Attacked:
    """What attacks may look at.

    Attributes:
        after: the model under audit.
        before: the original, if it was given.
        references: models trained without the ids.
        shadows: shadow models, if there are any.
    """

    after: Answers
    before: Answers | None
    references: Sequence[Answers]
    shadows: ShadowPredictions | None = None


def attack_checks(
    names: Sequence[str], models: Attacked, reminded: Attacked | None, policy: Policy, *, drawn: bool
) -> list[Check]:
    """Return a check for each attack, and one over all of them.

    Args:
        names: of :data:`forgetkit.auditing.check.ATTACKS`.
        models: what the models say.
        reminded: what they say after they were reminded of the retain set, for ``rea``; None if there is none.
        policy: level, and which attacks decide.
        drawn: whether the ids may be taken for a random draw of their classes.
    """
    readings: dict[str, Reading] = {}
    checks = []
    for name in (name for name in ATTACKS if name in names):
        known = reminded if name == "rea" else models
        why = NOTHING_RETAINED if known is None else "" if _finite(known) else DIVERGED
        found = why if why or known is None else _read(name, known, policy, drawn)
        if isinstance(found, str) or known is None:
            checks.append(Check(f"attack-{name}", "not-run", str(found)))
            continue
        readings[name] = found
        control = None if known.before is None else _read(name, replace(known, after=known.before), policy, drawn)
        checks.append(_check(name, found, control if isinstance(control, Reading) else None, policy, drawn=drawn))
    return [*checks, _over_all(readings, len(models.references), policy.level)]


def _finite(models: Attacked) -> bool:
    """Say whether every φ is finite; a training may have diverged."""
    answers = [models.after, *([models.before] if models.before else []), *models.references]
    return all(bool(np.isfinite(part.phi).all()) for pair in answers for part in pair)


def _read(name: str, models: Attacked, policy: Policy, drawn: bool) -> Reading | str:
    """Make one attack."""
    family: Family = family_of(models.after, models.references)
    if name not in MATCHED:
        outside = None if models.shadows is None else outside_of(models.shadows)
        return read(name, family, outside, level=policy.level, drawn=drawn)
    if models.shadows is None:
        return f"needs --shadows that took the same step, and --reference with {references_needed(policy.level)} models"
    return read_matched(name, family, models.shadows, level=policy.level)


def _check(name: str, found: Reading, control: Reading | None, policy: Policy, *, drawn: bool) -> Check:
    """Return the check of one attack; it decides only by an exact p, and where the policy names it."""
    parts = [_outcome(found, policy.level, drawn=drawn)]
    if found.few is not None:
        few, (low, high) = found.few, found.few.tpr.wide
        parts.append(
            f"finds {few.tpr.value:.1%} [{low:.1%}, {high:.1%}] at 1% false alarms "
            f"(by chance up to {few.by_chance:.1%}; perfect separation would show {few.ceiling:.1%} to 100%)"
        )
    caught = control is not None and control.p is not None and control.p <= policy.level
    if control is not None:
        parts.append(f"from the original {control.estimate.value:.3f}" + ("" if caught else ", not told apart either"))
    check = replace(check_of(f"attack-{name}", found.estimate, "info", "; ".join(parts), null=found.null), p=found.p)
    if check.id not in policy.deciding or found.distances is None:
        return check
    if found.p is not None and found.p <= policy.level:
        return replace(check, verdict="fail", gating=True)
    return replace(check, verdict="pass", gating=True, proves=True) if caught else replace(check, proves=True)


def _outcome(found: Reading, level: float, *, drawn: bool) -> str:
    """Say whether the attack tells the model from others, and by which test."""
    if found.p is None:
        return TOO_FEW if drawn else CHOSEN.format(needed=references_needed(level))
    by = "exact p" if found.distances is not None else "p"
    if found.p > level:
        return f"does not tell it from models that never saw the ids ({by} {found.p:.2g})"
    side = "remembered" if found.estimate.value > found.null else "over-forgotten"
    return f"tells it from models that never saw the ids: {side} ({by} {found.p:.2g}, this attack alone)"


def _over_all(readings: dict[str, Reading], references: int, level: float) -> Check:
    """Return the check over all attacks: p of the strongest, corrected for how many were made."""
    judged = {name: one for name, one in readings.items() if one.p is not None}
    if not judged:
        need = references_needed(level)
        return Check("attacks", "not-run", f"no attack could be judged: give --reference with {need} models")
    ranked = [one.distances for one in judged.values() if one.distances is not None]
    exact = len(ranked) == len(judged)
    p = rank_p(np.stack(ranked)) if exact else holm([one.p for one in judged.values() if one.p is not None])
    name = min(judged, key=lambda name: (judged[name].p, -_distance(judged[name])))
    count, others = len(judged), f"{references} models" if exact else "models"
    made = f"{count} attack{'s' * (count > 1)}"
    word = f"p {p:.2g}, corrected for {made}" if count > 1 else f"p {p:.2g}"
    if p > level:
        note = f"none of {made} tells it from {others} that never saw the ids ({word})"
    else:
        strongest = judged[name]
        side = "remembered" if strongest.estimate.value > strongest.null else "over-forgotten"
        note = f"attack-{name} tells it from {others} that never saw the ids: {side} ({word})"
    return Check("attacks", "info", note, n=judged[name].estimate.n, p=p)


def _distance(found: Reading) -> float:
    """Return how far the model lies from where it should, in the terms of its null."""
    return float(found.distances[0]) if found.distances is not None else abs(found.estimate.value - found.null)
