"""What the attacks of an audit need beyond its predictions; checkpoints are loaded one at a time."""

from dataclasses import replace

from forgetkit.auditing.checks.attack_checks import Attacked
from forgetkit.auditing.checks.attacks import Answers
from forgetkit.auditing.checks.rea import reminded
from forgetkit.auditing.evidence import Evidence
from forgetkit.auditing.subject import Opened, Subject
from forgetkit.training.classifier import load_classifier, take
from forgetkit.training.device import Machine


def with_attacks(
    evidence: Evidence,
    attacks: tuple[str, ...],
    subject: Subject,
    original: Opened | None,
    references: list[Opened],
    machine: Machine,
) -> Evidence:
    """Return evidence for these attacks; for ``rea``, each model is trained a little on the retain set.

    Args:
        evidence: of the same models.
        attacks: names of :data:`forgetkit.auditing.check.ATTACKS`.
        subject: what is judged.
        original: path and record of the original, if it was given.
        references: those of models trained without the ids.
        machine: where to compute.

    Raises:
        ForgetkitError: as loading a checkpoint.
    """
    evidence = replace(evidence, attacks=attacks)
    if "rea" not in attacks or evidence.after is None or not len(subject.rows) or not len(subject.retain_rows):
        return evidence
    train, test, device = subject.dataset.train, subject.dataset.test, machine.device
    forget, retain = (take(train, rows, device) for rows in (subject.rows, subject.retain_rows))
    unseen = take(test, subject.dataset.check_rows, device)

    def after(one: Opened) -> Answers:
        """Return what a model then says."""
        return reminded(load_classifier(*one, machine), forget, unseen, retain)

    before = None if original is None else after(original)
    again = Attacked(after((subject.path, subject.record)), before, [after(one) for one in references])
    return replace(evidence, reminded=again)
