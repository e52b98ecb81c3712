"""What an audit judges, gathered from checkpoints: each model is loaded once, evaluated, and put away."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from forgetkit.auditing.check import ONLY_CANARIES, Check
from forgetkit.auditing.checks.attack_checks import Attacked
from forgetkit.auditing.checks.canaries import canary_check
from forgetkit.auditing.checks.integrity import copies, integrity
from forgetkit.auditing.checks.lookup import MOST_IDS, MOST_UNSEEN, drawn, lookup_check
from forgetkit.auditing.checks.registered import run_registered
from forgetkit.auditing.checks.relearn import relearn_check
from forgetkit.auditing.policy import Policy
from forgetkit.auditing.predictions import ModelPredictions, predict_control, predict_references, predict_subject
from forgetkit.auditing.relearned import relearned_by_references, relearned_by_shadows
from forgetkit.auditing.shadow_predictions import ShadowPredictions, predict_shadows
from forgetkit.auditing.subject import Opened, Subject
from forgetkit.data.dataset import images_at
from forgetkit.files.id_list import digest_of
from forgetkit.models.checkpoint import load_model
from forgetkit.models.finite import not_finite
from forgetkit.training.classifier import Classifier, Samples, on_machine, take
from forgetkit.training.device import Machine
from forgetkit.training.resume import Bookmark
from forgetkit.training.shadows import Shadows


@dataclass(frozen=True)
class Evidence:
    """What an audit judges.

    Attributes:
        ids: the ids in question, in row order.
        inputs: digests of the models and samples, as the report has them.
        after: predictions of the model under audit; None where its numbers are not finite.
        before: predictions of the original, if it was given.
        references: predictions of each reference.
        integrity: the check that needs no predictions.
        others: checks that were run on the models themselves, in the order of the report.
        classes: names of the classes; none where they have only numbers.
        shadows: predictions of the shadow models, if there are any.
        by_owner: whether the samples are known to be all samples of some people.
        weights: whether the models themselves were seen, or only their scores.
        attacks: the attacks to make, names of :data:`forgetkit.auditing.check.ATTACKS`.
        reminded: what the models say after a little training on the retain set, if the attack ``rea`` is made.
    """

    ids: list[str]
    inputs: dict[str, Any]
    after: ModelPredictions | None
    before: ModelPredictions | None
    references: list[ModelPredictions]
    integrity: Check
    others: list[Check]
    classes: Sequence[str] = ()
    shadows: ShadowPredictions | None = None
    by_owner: bool = False
    weights: bool = True
    attacks: tuple[str, ...] = ()
    reminded: Attacked | None = None


def evidence_of(
    subject: Subject,
    original: Opened | None,
    references: list[Opened],
    machine: Machine,
    *,
    policy: Policy,
    bookmark: Bookmark,
    relearn: bool = False,
    shadows: Shadows | None = None,
    attributes: str | None = None,
) -> Evidence:
    """Evaluate the models and run the checks on the models themselves.

    Args:
        subject: what is judged.
        original: path and record of the original, the positive control.
        references: models trained without the samples.
        machine: where to compute.
        policy: what decides, and by how much.
        bookmark: where the audit stands.
        relearn: also train copies on forgotten and on unseen samples.
        shadows: shadow models of the original, if any.
        attributes: table with the column that their samples are grouped by.

    Raises:
        ForgetkitError: ``checkpoint-malformed`` for a damaged file, or an original or a reference whose outputs are not
            finite; ``plugin-malformed`` for a registered check that fails.
    """
    model = load_model(subject.path, subject.record, finite=False)
    broken = not_finite(model.state_dict())
    classifier = on_machine(model, subject.record, machine)
    after = None if broken else predict_subject(classifier, subject, machine)
    if after is not None and not after.finite:
        after, broken = None, "the output"
    known, before, others = None, None, list[Check]()
    if after is not None:
        if len(subject.rows):
            others.append(_lookup(classifier, subject, machine.device))
        if relearn:
            others.append(_relearn(classifier, subject, machine.device))
        if original is not None:
            known, before = predict_control(original, subject, machine, earlier=True)
        others += _canary_checks(after, before, subject, policy)
    checked, classes = None if after is None else classifier, subject.dataset.classes
    samples = partial(_samples, subject, machine.device)
    others += run_registered(checked, known, samples, classes=len(classes), policy=policy)
    found = [] if after is None else predict_references(references, subject, machine, bookmark)
    judging = shadows if after is not None and len(subject.rows) else None
    if relearn and found and len(subject.rows):
        taught = classifier, known, references, subject, machine
        others.append(relearned_by_references(*taught, level=policy.level, bookmark=bookmark))
    elif relearn and judging:
        others.append(relearned_by_shadows(classifier, judging, subject, machine))
    of_shadows = predict_shadows(judging, subject, machine, attributes=attributes) if judging else None
    ids = subject.dataset.train.ids_at(subject.rows)
    inputs, whole = inputs_of(subject, original, references, shadows), _integrity(subject, original, broken)
    return Evidence(ids, inputs, after, before, found, whole, others, classes, of_shadows)


def _samples(subject: Subject, device: str) -> tuple[Samples, Samples, Samples]:
    """Return the images and labels of the forget set, the retain set and the check half."""
    train, test = subject.dataset.train, subject.dataset.test
    forget, retain = (take(train, rows, device) for rows in (subject.rows, subject.retain_rows))
    return forget, retain, take(test, subject.dataset.check_rows, device)


def _lookup(classifier: Classifier, subject: Subject, device: str) -> Check:
    """Return the check whether the images of the ids are looked up, on some of them."""
    check_rows = subject.dataset.check_rows
    ids = take(subject.dataset.train, subject.rows[drawn(len(subject.rows), MOST_IDS)], device)
    return lookup_check(
        classifier, ids, take(subject.dataset.test, check_rows[drawn(len(check_rows), MOST_UNSEEN)], device)
    )


def _relearn(classifier: Classifier, subject: Subject, device: str) -> Check:
    """Return the check whether the ids are learned again sooner than unseen samples."""
    if not len(subject.rows):
        return Check("relearn", "not-run", ONLY_CANARIES)
    forget, retain, unseen = _samples(subject, device)
    return relearn_check(classifier, forget, unseen, retain)


def _canary_checks(
    after: ModelPredictions, before: ModelPredictions | None, subject: Subject, policy: Policy
) -> list[Check]:
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
        copied=len(subject.dataset.copies),
    )


def inputs_of(
    subject: Subject, original: Opened | None, references: list[Opened], shadows: Shadows | None
) -> dict[str, Any]:
    """Return digests of the models and samples, as the report has them; nothing is evaluated."""
    ids = subject.dataset.train.ids_at(subject.rows)
    return {
        "checkpoint": subject.record.digest,
        "original": original[1].digest if original else None,
        "references": [record.digest for _, record in references],
        **({"shadows": [one.record.digest for one in shadows.members]} if shadows else {}),
        "dataset": subject.dataset.fingerprint,
        "ids": {"count": len(ids), "digest": digest_of(ids)},
    }
