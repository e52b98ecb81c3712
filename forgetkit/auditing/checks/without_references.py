"""The checks of a model beside the original alone, and how a control weighs them. No references."""

from dataclasses import replace

import numpy as np

from forgetkit.auditing.check import Check, with_control
from forgetkit.auditing.checks import one_model as found
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import Answers, Scored
from forgetkit.auditing.subject import Rows, Subject
from forgetkit.auditing.verdict import hint
from forgetkit.statistics.exchangeability import CHOSEN_LEVEL, class_mix


def alone(after: Answers, before: Answers | None, subject: Subject, policy: Policy) -> list[Check]:
    """Return every check on what was asked without references.

    Args:
        after: what the model under audit says.
        before: what the original says, the positive control.
        subject: what is judged.
        policy: the criterion and the margins.
    """
    classes = len(subject.dataset.classes)
    kept = np.unique(subject.dataset.train.labels[subject.retain_rows])
    checks = _utility(after, before, kept, policy)
    if len(after.forget):
        checks = [*_vanished(after, kept, policy), *_forgetting(after, before, classes, policy), *checks]
    if len(after.alike):
        checks += found.exposures(after.forget, after.alike, level=policy.level)
    if len(after.earlier):
        check = _earlier(after.earlier, after.unseen, classes, policy)
        checks.append(check if policy.assume_exchangeable or _mixed(subject) else hint(check))
    return checks


def _forgetting(after: Answers, before: Answers | None, classes: int, policy: Policy) -> list[Check]:
    """Return the membership and chance checks; the one that the criterion names decides, beside its control."""
    checks = _both(after, classes, policy)
    if before is not None:
        controls = _both(before, classes, policy)
        checks = [
            with_control(check, control) if check.proves else check
            for check, control in zip(checks, controls, strict=True)
        ]
        checks += [
            replace(control, id=f"{control.id}-original", verdict="info", gating=False, proves=False)
            for control in controls
        ]
    views = [
        found.chance(seen.right, classes, level=policy.level, gating=False, view=view)
        for view, seen in after.views.items()
    ]
    return [*checks, *views]


def _both(answers: Answers, classes: int, policy: Policy) -> list[Check]:
    """Return the membership and the chance check of one model; the one that the criterion is about decides."""
    rank = found.membership(answers.forget, answers.unseen, level=policy.level, margin=policy.membership_margin)
    by_rank = policy.criterion == "retrain"
    return [
        rank if by_rank else replace(rank, gating=False, proves=False, verdict="info"),
        _chance(answers.forget, classes, policy, gating=not by_rank),
    ]


def _chance(part: Scored, classes: int, policy: Policy, *, gating: bool) -> Check:
    at_most = policy.chance == "at-most"
    return found.chance(part.right, classes, level=policy.level, gating=gating, at_most=at_most)


def _vanished(after: Answers, kept: Rows, policy: Policy) -> list[Check]:
    """Return the check on classes of which nothing was retained, if there are any."""
    gone = ~np.isin(after.forget.labels, kept)
    if policy.criterion != "retrain" or not gone.any():
        return []
    return [found.vanished(after.forget.take(gone), level=policy.level)]


def _utility(after: Answers, before: Answers | None, kept: Rows, policy: Policy) -> list[Check]:
    """Return the utility checks, over the classes that keep retained samples."""
    if before is None:
        return [Check("utility", "not-run", "needs --original", gating=True)]
    mask = np.isin(after.unseen.labels, kept)
    if not mask.any():
        note = "no unseen samples of classes that keep retained samples"
        return [Check("utility", "inconclusive", note, gating=True)]
    now, then = after.unseen.take(mask), before.unseen.take(mask)
    check = found.utility_check(now, then, level=policy.level, margin=policy.utility_margin)
    return [check, found.worst_class(now, then)]


def _mixed(subject: Subject) -> bool:
    """Whether what was forgotten before has the classes of a random draw."""
    labels, others = subject.dataset.train.labels, np.concatenate([subject.rows, subject.retain_rows])
    return class_mix(labels[subject.earlier], labels[others]) > CHOSEN_LEVEL


def _earlier(past: Scored, unseen: Scored, classes: int, policy: Policy) -> Check:
    """Return the deciding check on what was forgotten before; it can only fail."""
    if policy.criterion == "retrain":
        check = found.membership(past, unseen, level=policy.level, margin=policy.membership_margin)
    else:
        check = _chance(past, classes, policy, gating=True)
    if check.verdict != "fail":
        check = replace(check, verdict="info", gating=False)
    return replace(check, group="earlier", proves=False)
