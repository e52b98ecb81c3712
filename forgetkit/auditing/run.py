"""One audit from beginning to end: of checkpoints, or of modules and tensors in memory."""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from forgetkit.auditing.arguments import compared, refuse_samples, whole
from forgetkit.auditing.cure import cure_of
from forgetkit.auditing.evidence import evidence_of, inputs_of
from forgetkit.auditing.in_memory import SETS, evidence_in_memory
from forgetkit.auditing.judge import judge
from forgetkit.auditing.policy import Policy, attacks_of, policy_of
from forgetkit.auditing.reminding import with_attacks
from forgetkit.auditing.result import Audited
from forgetkit.auditing.subject import Opened, Subject, open_original, open_references, subject_of
from forgetkit.events import Note, Tell, silent
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.id_digests import KeySet
from forgetkit.files.id_list import IdList, as_list, digest_of
from forgetkit.files.record import Record
from forgetkit.models.checkpoint import load_tensors
from forgetkit.options import Compute, ListForm, Source
from forgetkit.training.classifier import Samples
from forgetkit.training.device import Machine, set_up
from forgetkit.training.outputs import software
from forgetkit.training.resume import Bookmark, kept_beside
from forgetkit.training.shadows import Shadows, shadows_of


@dataclass(frozen=True)
class Case:
    """The checkpoints of an audit, their records read and checked, and where to compute.

    Attributes:
        subject: what is judged.
        original: path and record of the original, if it was given.
        references: those of the models trained without the samples.
        machine: where to compute.
        shadows: shadow models of the original, if they were given.
        attributes: table with the column that their samples are grouped by.
    """

    subject: Subject
    original: Opened | None
    references: list[Opened]
    machine: Machine
    shadows: Shadows | None = None
    attributes: str | None = None

    @property
    def compared(self) -> list[Opened]:
        """The models to compare with."""
        return [*self.references, *([self.original] if self.original else [])]

    @property
    def paths(self) -> list[Path]:
        """The checkpoints."""
        shadows = [one.path for one in self.shadows.members] if self.shadows else []
        return [self.subject.path, *(path for path, _ in self.compared), *shadows]

    @property
    def record(self) -> Record | None:
        """The record of the model under audit."""
        return self.subject.record

    @property
    def inputs(self) -> dict[str, Any]:
        """Digests of the models and samples, as the report will have them."""
        return inputs_of(self.subject, self.original, self.references, self.shadows)

    def check_whole(self) -> None:
        """Read every checkpoint that the audit compares with; raises ForgetkitError for a damaged one."""
        for path, record in self.compared:
            load_tensors(path, record)

    def asked(self) -> str:
        """Return the SHA-256 of what the references are evaluated on, by which an interrupted audit is known again."""
        subject = self.subject
        about = [subject.record.digest, subject.dataset.fingerprint]
        ids = digest_of(subject.dataset.train.ids_at(subject.rows))
        models = [record.digest for _, record in self.references]
        text = compact_json([*about, ids, models, self.machine.options(), software()])
        return hashlib.sha256(text.encode()).hexdigest()


def audit(
    checkpoint: str | Path | nn.Module,
    ids: str | Path | Iterable[str] | None = None,
    *,
    original: str | Path | nn.Module | None = None,
    references: Iterable[str | Path | nn.Module] = (),
    policy: str | Path | Policy | None = None,
    forget: Samples | None = None,
    retain: Samples | None = None,
    unseen: Samples | None = None,
    shadows: str | Path | None = None,
    relearn: bool = False,
    attacks: str = "none",
    self_check: bool = False,
    show_ids: bool = False,
    fresh: bool = False,
    source: Source | None = None,
    compute: Compute | None = None,
    tell: Tell = silent,
) -> Audited:
    """Judge whether a model has forgotten samples: a checkpoint, or a module in memory.

    A module is audited on ``forget``, ``retain`` and ``unseen``: pairs of images, of any shape and dtype that the
    module accepts, and labels, int64 of shape ``(samples,)``. It maps images to logits of shape ``(samples, classes)``;
    its weights and mode stay as they are. Checks that need a record are not run.

    Args:
        checkpoint: the model to judge: the path of a checkpoint, or a module.
        ids: the ids in question, or the path of an ID list; without it, all that the record names as forgotten.
        original: the model trained on everything, the positive control; without it, the best verdict is inconclusive.
        references: models trained without the ids; a path may be a folder of checkpoints.
        policy: what decides, and by how much: the path of a TOML file, or a policy.
        forget: the samples that a module should have forgotten.
        retain: samples that it was trained on and should still know.
        unseen: samples that it was never trained on.
        shadows: folder of shadow models of the original.
        relearn: also count the steps that teach the samples again, compared with unseen samples.
        attacks: the attacks of the field to make: ``all``, ``none``, or names with commas between them.
        self_check: also measure how often the checks err at these numbers of samples.
        show_ids: list single ids in the report.
        fresh: start over, even if an interrupted audit of the same checkpoints could be resumed.
        source: where the data is, if the record of the checkpoint does not lead to it.
        compute: device, precision and threads; float32 unless it says otherwise.
        tell: told what is read and left out.

    Raises:
        ForgetkitError: for what cannot be read or does not fit together; its code says why.
    """
    made, report = attacks_of(attacks), dict[str, Any](self_check=self_check, show_ids=show_ids)
    rules, digest = (policy, None) if isinstance(policy, Policy) else policy_of(policy)
    samples = dict(zip(SETS, (forget, retain, unseen), strict=True))
    known, others = compared(original, references, modules=isinstance(checkpoint, nn.Module))
    if isinstance(checkpoint, nn.Module):
        parts = whole(samples, ids)
        evidence = evidence_in_memory(checkpoint, known, others, parts, policy=rules, relearn=relearn, attacks=made)
        return judge(evidence, rules, digest=digest, **report)
    refuse_samples(samples)
    about = {"original": known, "references": others, "shadows": shadows, "source": source, "compute": compute}
    case = open_case(checkpoint, [] if ids is None else [as_list(ids, "ids")], **about, tell=tell)
    return run(case, rules, digest, relearn=relearn, attacks=made, fresh=fresh, tell=tell, **report)


def open_case(
    checkpoint: str | Path,
    lists: Sequence[str | IdList] | KeySet,
    *,
    original: str | Path | None,
    references: Sequence[str | Path],
    shadows: str | Path | None = None,
    attributes: str | None = None,
    source: Source | None = None,
    compute: Compute | None = None,
    form: ListForm | None = None,
    tell: Tell = silent,
) -> Case:
    """Read and check the records of all checkpoints, and set up the machine.

    Args:
        checkpoint: the model under audit.
        lists: ID lists, or the paths of some, or digests of the ids; none for every id that the record names as
            forgotten.
        original: the model trained on everything.
        references: models trained without the ids, or folders of them.
        shadows: folder of shadow models of the original.
        attributes: table with the column that their samples are grouped by.
        source: where the data is, if the record does not lead to it.
        compute: device, precision and threads; float32 unless it says otherwise.
        form: how lists are to be read.
        tell: told what is read and left out.

    Raises:
        ForgetkitError: as :func:`forgetkit.auditing.subject.subject_of`, ``open_original`` and ``open_references``.
    """
    compute = compute or Compute()
    subject = subject_of(str(checkpoint), lists, form or ListForm(), source=source or Source(), tell=tell)
    known = None if original is None else open_original(str(original), subject)
    others = open_references([str(one) for one in references], subject, tell)
    judges = None if shadows is None else shadows_of(subject.path, subject.record, str(shadows), tell)
    precision = "float32" if compute.precision == "auto" else compute.precision
    machine = set_up(compute.device, precision, compute.threads)
    tell(Note(f"audit: {subject.size} of {subject.dataset.name}, {machine}"))
    return Case(subject, known, others, machine, judges, attributes)


def run(
    case: Case,
    policy: Policy,
    digest: str | None = None,
    *,
    relearn: bool = False,
    attacks: tuple[str, ...] = (),
    self_check: bool = False,
    show_ids: bool = False,
    fresh: bool = False,
    typed: Sequence[str] | None = None,
    priced: bool = False,
    tell: Tell = silent,
) -> Audited:
    """Evaluate the models of a case and judge; resume an interrupted audit of the same models.

    Args:
        case: what is judged.
        policy: what decides, and by how much.
        digest: SHA-256 of the policy's file, if it came from one.
        relearn: also train copies on forgotten and on unseen samples.
        attacks: the attacks of the field to make, names of :data:`forgetkit.auditing.check.ATTACKS`.
        self_check: also measure how often the checks err at these numbers of samples.
        show_ids: list single ids in the report.
        fresh: start over.
        typed: the words of the command of this audit, which what would decide it repeats.
        priced: whether to estimate what it costs to decide an inconclusive verdict.
        tell: told where an interrupted audit is resumed.

    Raises:
        ForgetkitError: as :func:`forgetkit.auditing.evidence.evidence_of`.
    """
    subject, original, references, machine = case.subject, case.original, case.references, case.machine
    kept = kept_beside(subject.path, case.asked(), fresh=fresh, tell=tell) if references else nullcontext(Bookmark())
    with kept as bookmark:
        evidence = evidence_of(
            *(subject, original, references, machine),
            policy=policy,
            bookmark=bookmark,
            relearn=relearn,
            shadows=case.shadows,
            attributes=case.attributes,
        )
    evidence = with_attacks(evidence, attacks, subject, original, references, machine)
    found = judge(evidence, policy, digest=digest, self_check=self_check, show_ids=show_ids)
    words = typed or ["forgetkit", "audit", str(subject.path), *(["--original", str(original[0])] if original else [])]
    known, timed = original is not None, machine if priced else None
    cure = cure_of(found.judgement, subject, timed, original=known, references=len(references), typed=words)
    return replace(found, cure=cure)
