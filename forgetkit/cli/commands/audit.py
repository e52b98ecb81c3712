"""``forgetkit audit``: has the model forgotten?"""

import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.auditing.options import AuditOptions
from forgetkit.cli.console import Console, is_terminal, print_error, typed
from forgetkit.errors import ForgetkitError
from forgetkit.options import Argument, Say

if TYPE_CHECKING:
    from forgetkit.auditing.closing import Closing
    from forgetkit.auditing.policy import Policy
    from forgetkit.auditing.report.files import Reports
    from forgetkit.auditing.result import Audited
    from forgetkit.auditing.run import Case
    from forgetkit.auditing.scores.run import ScoreCase


@dataclass(frozen=True)
class Job:
    """One model to judge, its records or scores read and checked.

    Attributes:
        name: the checkpoint or the scores, as the user named them.
        case: what is judged.
        reports: where to write.
        policy: what decides.
        digest: SHA-256 of the policy's file, if it came from one.
        attacks: the attacks of the field to make.
        closing: the request that the audit closes, if any.
        warnings: codes and messages of the warnings so far.
    """

    name: str
    case: "Case | ScoreCase"
    reports: "Reports"
    policy: "Policy"
    digest: str | None
    attacks: tuple[str, ...]
    closing: "Closing | None"
    warnings: list[dict[str, str]]


def audit(
    checkpoint: Annotated[
        list[str] | None, Argument("The model to judge. Of several, a line each.", "CHECKPOINT")
    ] = None,
    *,
    given: AuditOptions,
    say: Say,
) -> None:
    """Judge whether samples were forgotten.

    Exit code 0: forgotten; 1: not forgotten, over-forgotten, or accuracy lost; 3: inconclusive. A check passes only if
    its confidence interval lies within the margin and the original model fails the same check. An inconclusive report
    says what would decide. Of several models, the worst exit code counts.

    Examples:
        forgetkit audit model.forget.st --original model.st
        forgetkit audit model.forget.st --original model.st --shadows model.shadows
        forgetkit audit model.relabel.st --original model.st --reference refs --json
        forgetkit audit model.neutralize.st --original model.st --criterion chance
        forgetkit audit model.forget.st --original model.st --request case-7 --book requests.db --html audit.html
        forgetkit audit --scores scores.npz --original-scores original.npz
    """
    console, names = Console(say), given.subjects(checkpoint or [])
    several = len(names) > 1
    from forgetkit.auditing.predictions import keeping_predictions
    from forgetkit.auditing.verdict import worst
    from forgetkit.data.of_checkpoint import keeping_data

    with keeping_data():
        jobs = [_job(name, given, console, several=several) for name in names]
    if say.dry_run:
        for job in jobs:
            job.case.check_whole()
        console.note("dry run: nothing was computed")
        return
    if given.judging.commit is not None:
        _commit(jobs[0], given.judging.commit, console, relearn=given.judging.relearn)
        return
    with keeping_predictions() if several else nullcontext():
        found = [_judge(job, given, console, several=several) for job in jobs]
    code = worst(one.exit_code for one in found)
    if several and say.as_json:
        audits = [
            {"checkpoint": job.name, "report": {**one.report, "warnings": job.warnings}}
            for job, one in zip(jobs, found, strict=True)
        ]
        console.result([], {"ok": True, "exit_code": code, "audits": audits})
    if not given.judging.exit_zero and code:
        raise typer.Exit(code)


def _job(name: str, given: AuditOptions, console: Console, *, several: bool) -> Job:
    """Read and check what one audit needs."""
    from forgetkit.auditing.closing import closing_of
    from forgetkit.auditing.policy import attacks_of, policy_of
    from forgetkit.auditing.report.files import Reports

    judging, closes, files, said = given.judging, given.closes, given.files, len(console.warnings)
    reports = Reports(files.junit, files.summary, files.html, files.remembered_out).named(name, several=several)
    with nullcontext() if console.says.dry_run else reports.erring(name):
        policy, digest = policy_of(judging.policy, criterion=judging.criterion, level=judging.level)
        attacks = attacks_of(judging.attacks)
        closing = closing_of(closes.request, closes.book, closes.accept, closes.by)
        case = _case(name, given, closing, console)
        read = (*(given.compared.ids or []), given.compared.attributes, judging.policy, closes.book)
        reports.check((*case.paths, *(Path(file) for file in read if file and file != "-")), console)
        return Job(name, case, reports, policy, digest, attacks, closing, console.warnings[said:])


def _case(name: str, given: AuditOptions, closing: "Closing | None", console: Console) -> "Case | ScoreCase":
    """Read and check scores, or the records of all checkpoints, and whether the audit may close its request."""
    scores, compared = given.of_scores, given.compared
    if scores.scores is not None:
        from forgetkit.auditing.scores.run import open_scores

        others = {"references": scores.reference_scores or (), "shadows": scores.shadow_scores or ()}
        return open_scores(name, original=scores.original_scores, **others)
    from forgetkit.auditing.run import open_case

    case = open_case(
        name,
        compared.ids or (closing.asked if closing else []),
        original=compared.original,
        references=compared.reference or [],
        shadows=compared.shadows,
        attributes=compared.attributes,
        source=given.source,
        compute=given.compute,
        form=given.form,
        tell=console,
    )
    if closing:
        closing.check(case.subject)
    return case


def _judge(job: Job, given: AuditOptions, console: Console, *, several: bool) -> "Audited":
    """Judge one model, print the result, write the reports, close the request."""
    said = len(console.warnings)
    with job.reports.erring(job.name):
        found = _run(job, given, console)
        job.warnings.extend(console.warnings[said:])
        _print(found, job.name, console, complete=given.files.all, several=several)  # before anything else can fail
    try:
        request = job.closing.booking.request if job.closing else None
        record = job.case.record
        job.reports.write(found, job.name, console, job.warnings, record, request=request)
        if job.closing and record:
            job.closing.close(found, record, console)
    except ForgetkitError as problem:  # in words even with --json, as the one document is out
        print_error(problem, as_json=False)
        raise typer.Exit(problem.status) from problem
    return found


def _commit(job: Job, name: str, console: Console, *, relearn: bool) -> None:
    """Write which audit will be made, and by which rules; a commitment is never replaced by another."""
    from forgetkit.attestation.commitment import commitment_of
    from forgetkit.auditing.run import Case
    from forgetkit.cli.results import document
    from forgetkit.files.publish import check_target, publish_text

    if not isinstance(job.case, Case):
        raise ForgetkitError("usage", "not with --scores", "commit to the audit of a checkpoint", option="commit")
    target = Path(name)
    optional = [*(f"attack-{attack}" for attack in job.attacks), *(["relearn"] if relearn else [])]
    text = commitment_of(job.case.inputs, job.policy.to_json(job.digest), optional)
    done = target.is_file() and target.read_bytes() == text.encode()
    if not done:
        check_target(target, force=False, inputs=tuple(job.case.paths), option="--commit")
        publish_text(target, text)
    console.note(
        f"audit: {target} {'is up to date' if done else 'written'}  sha256:{sha256(text.encode()).hexdigest()}"
    )
    console.note("now hand it to whoever will check the audit; then repeat the command without --commit")
    result = document("audit", target, job.case.subject.record, up_to_date=done)
    console.result([str(target)], {**result, "metrics": {}})


def _run(job: Job, given: AuditOptions, console: Console) -> "Audited":
    from forgetkit.auditing.run import run
    from forgetkit.auditing.scores.run import ScoreCase, run_scores

    case, judging, show_ids = job.case, given.judging, given.files.show_ids
    common: dict[str, Any] = {"self_check": judging.self_check, "show_ids": show_ids, "typed": typed(), "tell": console}
    common["attacks"] = job.attacks
    if isinstance(case, ScoreCase):
        return run_scores(case, job.policy, job.digest, **common)
    priced = not (console.says.as_json or console.says.quiet)
    return run(case, job.policy, job.digest, relearn=judging.relearn, fresh=given.fresh, priced=priced, **common)


def _print(found: "Audited", name: str, console: Console, *, complete: bool, several: bool) -> None:
    """Print the result on stdout, and with ``--json`` its verdict on stderr as well; of several models a line each."""
    from forgetkit.auditing.report.terminal import WIDTH, heading

    title = f"{heading(found.report, name)}"
    if console.says.as_json:
        console.note(title)
        for reason in found.reasons:
            console.note(f"  because {reason}")
        if several:  # one document for all
            return
    shown = is_terminal(sys.stdout)
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    brief = console.says.quiet or (several and not complete)
    text = title if brief else found.text(name, complete=complete, width=width, colour=shown)
    console.result([text], found.report, styled=True)
