"""The checks that need no references: the model under audit, and the original as the positive control."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from forgetkit.auditing.check import Check, with_control
from forgetkit.auditing.checks import one_model
from forgetkit.auditing.checks.exchangeable import harder_than_unseen
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import ModelPredictions, Predictions
from forgetkit.auditing.verdict import as_hint
from forgetkit.statistics.exchangeability import CHOSEN_LEVEL, class_mix
from forgetkit.statistics.strata import Labels

SURELY_GONE = 20
"""Retained samples of a class that a draw would have, of which none is there: a class that only missed the draw has one
in all but e⁻²⁰ of draws."""


def checks_without_references(
    after: ModelPredictions,
    before: ModelPredictions | None,
    policy: Policy,
    *,
    classes: Sequence[str] = (),
    drawn: bool = False,
) -> list[Check]:
    """Return every check that needs no references.

    Args:
        after: predictions of the model under audit.
        before: those of the original, the positive control.
        policy: the criterion and the margins.
        classes: names of the classes, for the notes; none where they have only numbers.
        drawn: whether the retained samples may be a draw of all.
    """
    kept = np.unique(after.retain.labels)
    checks = _utility(after, before, kept, policy, classes=classes)
    if len(after.forget):
        checks = [*_vanished(after, kept, policy, classes, drawn=drawn), *_forgetting(after, before, policy), *checks]
    if len(after.unseen_alike):
        checks += one_model.exposures(after.forget, after.unseen_alike, level=policy.level)
    if len(after.earlier):
        check = _earlier(after, policy)
        drawn = policy.assume_exchangeable or (_earlier_is_mixed(after) and not _earlier_is_harder(before, policy))
        checks.append(check if drawn else as_hint(check))
    return checks


def _forgetting(after: ModelPredictions, before: ModelPredictions | None, policy: Policy) -> list[Check]:
    """Return the membership and chance checks; the one that the criterion names decides, with its control."""
    checks = _membership_and_chance(after, policy)
    if before is not None:
        controls = _membership_and_chance(before, policy)
        checks = [
            with_control(check, control) if check.proves else check
            for check, control in zip(checks, controls, strict=True)
        ]
        checks += [
            replace(control, id=f"{control.id}-original", verdict="info", gating=False, proves=False)
            for control in controls
        ]
    views = [
        one_model.chance(seen.correct, after.classes, level=policy.level, gating=False, view=view)
        for view, seen in after.views.items()
    ]
    return [*checks, *views]


def _membership_and_chance(model: ModelPredictions, policy: Policy) -> list[Check]:
    """Return the membership and the chance check of one model; the one that the criterion is about decides."""
    rank = one_model.membership(model.forget, model.unseen, level=policy.level, margin=policy.membership_margin)
    by_rank = policy.criterion == "retrain"
    return [
        rank if by_rank else replace(rank, gating=False, proves=False, verdict="info"),
        _chance(model.forget, model.classes, policy, gating=not by_rank),
    ]


def _chance(part: Predictions, classes: int, policy: Policy, *, gating: bool) -> Check:
    at_most = policy.chance == "at-most"
    return one_model.chance(part.correct, classes, level=policy.level, gating=gating, at_most=at_most)


def _vanished(
    after: ModelPredictions, kept: Labels, policy: Policy, classes: Sequence[str], *, drawn: bool
) -> list[Check]:
    """Return the check on classes of which nothing was retained, if there are any."""
    gone = ~np.isin(after.forget.labels, kept)
    if drawn:  # as many of each class as among unseen samples
        shares = np.bincount(after.unseen.labels, minlength=after.classes) / max(1, len(after.unseen))
        gone &= shares[after.forget.labels] * len(after.retain) >= SURELY_GONE
    if policy.criterion != "retrain" or not gone.any():
        return []
    return [one_model.vanished(after.forget.take(gone), level=policy.level, classes=classes)]


def _utility(
    after: ModelPredictions, before: ModelPredictions | None, kept: Labels, policy: Policy, *, classes: Sequence[str]
) -> list[Check]:
    """Return the utility checks, over the classes that keep retained samples."""
    if before is None:
        return [Check("utility", "not-run", "needs --original", gating=True)]
    mask = np.isin(after.unseen.labels, kept)
    if not mask.any():
        note = "no unseen samples of classes that keep retained samples"
        return [Check("utility", "inconclusive", note, gating=True, weak=True)]
    now, then = after.unseen.take(mask), before.unseen.take(mask)
    check = one_model.utility_check(now, then, level=policy.level, margin=policy.utility_margin)
    return [check, one_model.worst_class(now, then, classes=classes)]


def _earlier_is_mixed(after: ModelPredictions) -> bool:
    """Say whether the samples forgotten before have the classes of a random draw."""
    others = np.concatenate([after.forget.labels, after.retain.labels])
    return class_mix(after.earlier.labels, others) > CHOSEN_LEVEL


def _earlier_is_harder(before: ModelPredictions | None, policy: Policy) -> bool:
    """Say whether the original is less certain of the samples forgotten before than of unseen ones."""
    return before is not None and harder_than_unseen(before.earlier, before.unseen, level=policy.level)


def _earlier(after: ModelPredictions, policy: Policy) -> Check:
    """Return the deciding check on the samples forgotten before; it can only fail."""
    if policy.criterion == "retrain":
        margin = policy.membership_margin
        check = one_model.membership(after.earlier, after.unseen, level=policy.level, margin=margin)
    else:
        check = _chance(after.earlier, after.classes, policy, gating=True)
    if check.verdict != "fail":
        check = replace(check, verdict="info", gating=False)
    return replace(check, group="earlier", proves=False)
