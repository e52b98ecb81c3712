"""One audit from beginning to end: read the subject, let the models speak once, check, judge."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.check import Check
from forgetkit.auditing.checks.canaries import canary_check
from forgetkit.auditing.checks.exchangeable import drawn_check
from forgetkit.auditing.checks.integrity import copies, integrity
from forgetkit.auditing.checks.one_model import Masks, single_ids
from forgetkit.auditing.checks.relearn import relearn_check
from forgetkit.auditing.checks.with_references import Against, against
from forgetkit.auditing.checks.without_references import alone
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import Answers, answers, answers_of, control
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.table import Audited, document
from forgetkit.auditing.self_check import self_check
from forgetkit.auditing.subject import Opened, Subject
from forgetkit.auditing.verdict import decided, overall
from forgetkit.data.dataset import images_at
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.id_list import digest_of
from forgetkit.models.checkpoint import load_model
from forgetkit.models.finite import not_finite
from forgetkit.statistics.exchangeability import Drawn, drawn
from forgetkit.training.classifier import Classifier, on_machine, take
from forgetkit.training.device import Machine
from forgetkit.training.outputs import software
from forgetkit.training.resume import Bookmark


@dataclass(frozen=True)
class Said:
    """What the models said: the one under audit (or what of it is not finite), the original, the references."""

    after: Answers | None
    broken: str | None
    before: Answers | None
    others: list[Answers]
    relearned: list[Check]


@dataclass(frozen=True)
class Found:
    """What the checks found, each by itself."""

    checks: list[Check]
    drawn: bool
    masks: Masks | None
    beside: Against


def run(
    subject: Subject,
    original: Opened | None,
    references: list[Opened],
    machine: Machine,
    *,
    policy: tuple[Policy, str | None],
    bookmark: Bookmark,
    relearn: bool = False,
    check_self: bool = False,
    show_ids: bool = False,
) -> Audited:
    """Run every check.

    Args:
        subject: what is judged.
        original: path and record of the original, the positive control.
        references: models trained without the samples; loaded one at a time.
        machine: where to compute.
        policy: what decides, and by how much; and the SHA-256 of its file, if it came from one.
        bookmark: where the audit stands.
        relearn: train copies on forgotten and on unseen samples, too.
        check_self: see how the checks do where the truth is known, too.
        show_ids: list single ids in the report.
    """
    rules, digest = policy
    said = _ask(subject, original, references, machine, bookmark, relearn=relearn)
    found = _check(said, subject, original, rules)
    checks = decided(found.checks, rules, drawn=found.drawn)
    verdict, reasons = overall(checks, original=original is not None)
    ids = subject.dataset.train.ids_at(subject.rows)
    after = said.after
    checked = self_check(after.unseen, after.forget.labels, policy=rules) if after and check_self else None
    report = document(
        verdict,
        reasons,
        checks,
        accuracy=_rates(said.after, said.before),
        ids=_single_entry(ids, found.masks, show_ids=show_ids),
        inputs={
            "checkpoint": subject.record.digest,
            "original": original[1].digest if original else None,
            "references": [record.digest for _, record in references],
            "dataset": subject.dataset.fingerprint,
            "ids": {"count": len(ids), "digest": digest_of(ids)},
        },
        policy=rules.to_json(digest),
        self_check=checked.to_json() if checked else None,
    )
    remembered = _listed(ids, found.masks[0] if found.masks else None)
    return Audited(report, _curves(said, found.beside), remembered, checked)


def _ask(
    subject: Subject,
    original: Opened | None,
    references: list[Opened],
    machine: Machine,
    bookmark: Bookmark,
    *,
    relearn: bool,
) -> Said:
    """Load the models one at a time and let each speak."""
    model = load_model(subject.path, subject.record, finite=False)
    if broken := not_finite(model.state_dict()):
        return Said(None, broken, None, [], [])
    classifier = on_machine(model, subject.record, machine)
    after = answers(classifier, subject, machine)
    if not after.finite:
        return Said(None, "the output", None, [], [])
    relearned = [_relearned(classifier, subject, machine)] if relearn else []
    before = control(original, subject, machine) if original else None
    return Said(after, None, before, answers_of(references, subject, machine, bookmark), relearned)


def asked_of(subject: Subject, references: list[Opened], machine: Machine) -> str:
    """Return the SHA-256 of what the references are asked."""
    asked = [subject.record.digest, subject.dataset.fingerprint, digest_of(subject.dataset.train.ids_at(subject.rows))]
    models = [record.digest for _, record in references]
    return hashlib.sha256(compact_json([*asked, models, machine.options(), software()]).encode()).hexdigest()


def _relearned(classifier: Classifier, subject: Subject, machine: Machine) -> Check:
    train, test, device = subject.dataset.train, subject.dataset.test, machine.device
    forget, retain = (take(train, rows, device) for rows in (subject.rows, subject.retain_rows))
    return relearn_check(classifier, forget, take(test, subject.dataset.check_rows, device), retain)


def _check(said: Said, subject: Subject, original: Opened | None, policy: Policy) -> Found:
    """Run the checks on what was said."""
    after, before, beside = said.after, said.before, Against([])
    checks = [_integrity(subject, original, said.broken)]
    if after is None:
        checks += [Check(name, "not-run", "NaN or infinity") for name in ("utility", "membership", "chance")]
        return Found(checks, True, None, beside)
    holds, masks = True, None
    if len(after.forget):
        draw = _drawn(after, said.others, subject, policy)
        holds = draw.holds or policy.assume_exchangeable
        checks.append(drawn_check(draw, assumed=policy.assume_exchangeable))
    checks += alone(after, before, subject, policy)
    if len(after.forget):
        beside = against(after, before, said.others, level=policy.level) if said.others else beside
        if len(after.unseen):
            single, masks = single_ids(after.forget, after.unseen)
            checks.append(single)
            masks = beside.masks or masks  # with the samples' difficulty taken off
        checks += [*beside.checks, *said.relearned]
    return Found([*checks, *_canaries(after, before, subject, policy)], holds, masks, beside)


def _canaries(after: Answers, before: Answers | None, subject: Subject, policy: Policy) -> list[Check]:
    """Return the checks on canaries, if the model was trained with any."""
    planted = subject.canaries
    if planted is None:
        return []
    forgotten = subject.record.forgotten.contains(subject.dataset.train.ids_at(planted.rows))
    control = before.canaries if before else None
    return canary_check(after.canaries, control, planted.included, forgotten=forgotten, level=policy.level)


def _integrity(subject: Subject, original: Opened | None, broken: str | None) -> Check:
    train = subject.dataset.train
    return integrity(
        subject.record,
        original[1] if original else None,
        named=subject.named,
        broken=broken,
        duplicates=copies(images_at(train, subject.rows), images_at(train, subject.retain_rows)),
    )


def _drawn(after: Answers, others: list[Answers], subject: Subject, policy: Policy) -> Drawn:
    """Ask whether the ids were drawn or chosen."""
    return drawn(
        after.forget.labels,
        subject.dataset.train.labels[subject.retain_rows],
        [(said.forget.phi, said.unseen.phi) for said in others],
        after.unseen.labels,
        margin=policy.membership_margin,
    )


def _rates(after: Answers | None, before: Answers | None) -> dict[str, float | None]:
    """Return the accuracies of the report."""
    parts = {
        "forget": after and after.forget,
        "retain": after and after.retain,
        "unseen": after and after.unseen,
        "original_unseen": before and before.unseen,
    }
    return {name: float(part.right.mean()) if part else None for name, part in parts.items()}


def _single_entry(ids: list[str], masks: Masks | None, *, show_ids: bool) -> dict[str, Any]:
    """Return how many single ids stand out, and which ones if they may be shown."""
    entry = {}
    for name, mask in zip(("remembered", "over_forgotten"), masks or (None, None), strict=True):
        listed = _listed(ids, mask)
        entry[name] = {"count": None if listed is None else len(listed), "ids": listed if show_ids else None}
    return entry


def _listed(ids: list[str], mask: NDArray[np.bool_] | None) -> list[str] | None:
    return None if mask is None else [id_ for id_, hit in zip(ids, mask, strict=True) if hit]


def _curves(said: Said, beside: Against) -> Curves | None:
    """Return what the figures of a report are drawn from."""
    after, before = said.after, said.before
    if after is None or len(after.forget) == 0:
        return None
    return Curves(
        forget=after.forget.phi,
        labels=after.forget.labels,
        unseen=after.alike.phi,
        unseen_labels=after.alike.labels,
        original=before.forget.phi if before else None,
        original_unseen=before.alike.phi if before else None,
        references=tuple(other.forget.phi for other in said.others),
        rank=beside.rank,
        closer=beside.closer,
    )
