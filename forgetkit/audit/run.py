"""One audit from beginning to end: read the subject, let the models speak once, check, judge."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.audit import checks as found
from forgetkit.audit.against import against, single_ids, without_smaller
from forgetkit.audit.check import Check, overall, with_control
from forgetkit.audit.checks import Scored, scored
from forgetkit.audit.report import document
from forgetkit.audit.subject import Rows, Subject
from forgetkit.checkpoint import load_model, not_finite
from forgetkit.compute import Machine
from forgetkit.data.dataset import Split
from forgetkit.errors import ForgetkitError
from forgetkit.ids import digest_of
from forgetkit.record import Record
from forgetkit.steps import on_machine, take
from forgetkit.training import Classifier, predict


@dataclass(frozen=True)
class Answers:
    """What one model says of all samples in question."""

    forget: Scored
    unseen: Scored
    retain: Scored
    earlier: Scored
    views: dict[str, Scored]

    @property
    def finite(self) -> bool:
        """Whether every φ is a number."""
        parts = (self.forget, self.unseen, self.retain, self.earlier)
        return all(bool(np.isfinite(part.phi).all()) for part in parts)


def run(
    subject: Subject,
    original: tuple[Path, Record] | None,
    machine: Machine,
    *,
    criterion: str,
    level: float,
    references: list[tuple[Path, Record]] | None = None,
    show_ids: bool = False,
) -> dict[str, Any]:
    """Run every check and return the report.

    Args:
        subject: what is judged.
        original: path and record of the original, the positive control.
        machine: where to compute.
        criterion: ``retrain`` (membership decides) or ``chance`` (accuracy on the ids decides).
        level: error rate of each check.
        references: models trained without the samples; loaded one at a time.
        show_ids: list single ids in the report.
    """
    model = load_model(subject.path, subject.record, finite=False)
    broken = not_finite(model.state_dict())
    after = None if broken else _answers(on_machine(model, subject.record, machine), subject, machine)
    if after and not after.finite:
        broken, after = "the output", None
    before = _control(original, subject, machine) if original and after else None
    train, retain_rows = subject.dataset.train, subject.retain_rows
    checks = [
        found.integrity(
            subject.record,
            original[1] if original else None,
            named=subject.named,
            broken=broken,
            duplicates=found.copies(train.images[subject.rows], train.images[retain_rows]),
        )
    ]
    single = None
    if after is None:
        checks += [Check(name, "not-run", "NaN or infinity") for name in ("utility", "membership", "chance")]
    else:
        checks += _judge(after, before, np.unique(train.labels[retain_rows]), subject, criterion, level)
        check, *single = found.single_ids(after.forget, after.unseen)
        checks.append(check)
        retrained = [_control(reference, subject, machine) for reference in references or []]
        if retrained:
            checks = without_smaller([*checks, *_against(after, before, retrained, level)])
    rates = {
        "forget": _rate(after.forget if after else None),
        "retain": _rate(after.retain if after else None),
        "unseen": _rate(after.unseen if after else None),
        "original_unseen": _rate(before.unseen if before else None),
    }
    verdict, reasons = overall(checks, original=original is not None)
    ids = train.ids_at(subject.rows)
    return document(
        verdict,
        reasons,
        checks,
        accuracy=rates,
        ids=_single_entry(ids, single, show_ids=show_ids),
        inputs={
            "checkpoint": subject.record.digest,
            "original": original[1].digest if original else None,
            "references": [record.digest for _, record in references or []],
            "dataset": subject.dataset.fingerprint,
            "ids": {"count": len(ids), "digest": digest_of(ids)},
        },
        policy={
            "criterion": criterion,
            "level": level,
            "membership_margin": found.MEMBERSHIP_MARGIN,
            "utility_margin": found.UTILITY_MARGIN,
        },
    )


def _answers(classifier: Classifier, subject: Subject, machine: Machine, *, control: bool = False) -> Answers:
    """Let a model speak once of every sample in question; of the control, forgotten and unseen samples are enough."""
    train, test, device = subject.dataset.train, subject.dataset.test, machine.device

    def said(split: Split, rows: Rows) -> Scored:
        images, labels = take(split, rows, device)
        return scored(predict(classifier, images), labels)

    images, labels = take(train, subject.rows, device)
    return Answers(
        forget=scored(predict(classifier, images), labels),
        unseen=said(test, subject.dataset.check_rows),
        retain=said(train, subject.retain_rows[:0] if control else subject.retain_rows),
        earlier=said(train, subject.earlier[:0] if control else subject.earlier),
        views={}
        if control
        else {view: scored(predict(classifier, found.view_of(images, view)), labels) for view in found.VIEWS},
    )


def _control(original: tuple[Path, Record], subject: Subject, machine: Machine) -> Answers:
    """Return what the original says.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` where it does not answer in numbers.
    """
    answers = _answers(on_machine(load_model(*original), original[1], machine), subject, machine, control=True)
    if not answers.finite:
        raise ForgetkitError("checkpoint-malformed", f"{original[0]}: the original's outputs are not finite")
    return answers


def _judge(
    after: Answers, before: Answers | None, kept: Rows, subject: Subject, criterion: str, level: float
) -> list[Check]:
    """Return every check but integrity and single ids; ``kept`` are the classes that keep retained samples."""
    classes = len(subject.dataset.classes)
    checks = _vanished(after, kept, criterion, level)
    checks += _forgetting(after, before, classes, criterion, level)
    checks += _utility(after, before, kept, level)
    alike = after.unseen.take(np.isin(after.unseen.labels, after.forget.labels))
    checks += found.exposures(after.forget, alike, level=level) if len(alike) else []
    if len(after.earlier):
        checks.append(_earlier(after.earlier, after.unseen, classes, criterion, level))
    return checks


def _against(after: Answers, before: Answers | None, references: list[Answers], level: float) -> list[Check]:
    """Return the checks against references."""
    single = single_ids(
        (after.forget.softmax, after.unseen.softmax),
        [(answers.forget.softmax, answers.unseen.softmax) for answers in references],
        after.forget.labels,
        after.unseen.labels,
    )
    if before is None or len(references) < 2:
        need = "needs --original" if before is None else "needs at least two references"
        return [Check("closer", "not-run", need), Check("rank", "not-run", need), single]
    said = [(answers.forget.softmax, answers.forget.phi) for answers in (after, before, *references)]
    return [*against(said[0], said[1], said[2:], level=level), single]


def _forgetting(after: Answers, before: Answers | None, classes: int, criterion: str, level: float) -> list[Check]:
    """Return the membership and chance checks; the one that the criterion names decides, beside its control."""
    by_rank = criterion == "retrain"

    def both(answers: Answers) -> list[Check]:
        rank = found.membership(answers.forget, answers.unseen, level=level)
        rank = rank if by_rank else replace(rank, gating=False, proves=False, verdict="info")
        return [rank, found.chance(answers.forget.right, classes, level=level, gating=not by_rank)]

    checks = both(after)
    if before is not None:
        controls = both(before)
        checks = [
            with_control(check, control) if check.proves else check
            for check, control in zip(checks, controls, strict=True)
        ]
        checks += [
            replace(control, id=f"{control.id}-original", verdict="info", gating=False, proves=False)
            for control in controls
        ]
    views = [
        found.chance(seen.right, classes, level=level, gating=False, view=view) for view, seen in after.views.items()
    ]
    return [*checks, *views]


def _vanished(after: Answers, kept: Rows, criterion: str, level: float) -> list[Check]:
    """Return the check on classes of which nothing was retained, if there are any."""
    gone = ~np.isin(after.forget.labels, kept)
    if criterion != "retrain" or not gone.any():
        return []
    return [found.vanished(after.forget.take(gone), level=level)]


def _utility(after: Answers, before: Answers | None, kept: Rows, level: float) -> list[Check]:
    """Return the utility checks, over the classes that keep retained samples."""
    if before is None:
        return [Check("utility", "not-run", "needs --original", gating=True)]
    mask = np.isin(after.unseen.labels, kept)
    if not mask.any():
        return [
            Check("utility", "inconclusive", "no unseen samples of classes that keep retained samples", gating=True)
        ]
    now, then = after.unseen.take(mask), before.unseen.take(mask)
    return [found.utility_check(now, then, level=level), found.worst_class(now, then)]


def _earlier(past: Scored, unseen: Scored, classes: int, criterion: str, level: float) -> Check:
    """Return the deciding check on what was forgotten before; it can only fail."""
    if criterion == "retrain":
        check = found.membership(past, unseen, level=level)
    else:
        check = found.chance(past.right, classes, level=level, gating=True)
    if check.verdict != "fail":
        check = replace(check, verdict="info", gating=False)
    return replace(check, group="earlier", proves=False)


def _rate(part: Scored | None) -> float | None:
    return float(part.right.mean()) if part is not None and len(part) else None


def _single_entry(ids: list[str], masks: list[NDArray[np.bool_]] | None, *, show_ids: bool) -> dict[str, Any]:
    """Return how many single ids stand out, and which ones if they may be shown."""
    entry = {}
    for name, mask in zip(("remembered", "over_forgotten"), masks or (None, None), strict=True):
        listed = [id_ for id_, hit in zip(ids, mask, strict=True) if hit] if mask is not None else []
        entry[name] = {"count": None if mask is None else len(listed), "ids": listed if show_ids else None}
    return entry
