"""``forgetkit audit``: has the model forgotten?"""

import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forgetkit.cli.console import Console, is_terminal, print_error, typed
from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    DETAILS,
    INPUT,
    OUTPUT,
    REQUESTS,
    Argument,
    Attributes,
    Book,
    Compute,
    Fresh,
    ListForm,
    Option,
    Say,
    Source,
)

if TYPE_CHECKING:
    from forgetkit.auditing.closing import Closing
    from forgetkit.auditing.report.files import Reports
    from forgetkit.auditing.result import Audited
    from forgetkit.auditing.run import Case
    from forgetkit.files.record import Record


@dataclass(frozen=True)
class Compared:
    """The samples in question, and the models to compare with."""

    ids: Annotated[
        list[str] | None,
        Option(
            "ID list of the samples in question. Repeat for more.",
            metavar="FILE",
            flags=("--ids", "-i"),
            unset="all that the record calls forgotten",
            panel=INPUT,
        ),
    ] = None
    original: Annotated[
        str | None, Option("The original model: the positive control.", metavar="CHECKPOINT", panel=INPUT)
    ] = None
    reference: Annotated[
        list[str] | None,
        Option("Model trained without the ids, or a folder of them. Repeat for more.", metavar="PATH", panel=INPUT),
    ] = None
    shadows: Annotated[
        str | None, Option("Shadow models of the original: the twin test.", metavar="FOLDER", panel=INPUT)
    ] = None
    attributes: Attributes = None


@dataclass(frozen=True)
class Judging:
    """The rules of the audit."""

    criterion: Annotated[
        str | None,
        Option(
            "Goal: like a retrained model, or accuracy at chance.",
            metavar="retrain|chance",
            unset="retrain, or the policy's",
        ),
    ] = None
    level: Annotated[
        float | None, Option("Error rate of each check.", "FLOAT", min=0.001, max=0.2, unset="0.05, or the policy's")
    ] = None
    policy: Annotated[str | None, Option("Rules that were agreed on, in TOML.", metavar="FILE")] = None
    relearn: Annotated[
        bool,
        Option(
            "Also teach the ids again: sooner than unseen samples, or than references or shadow models?", panel=DETAILS
        ),
    ] = False
    self_check: Annotated[
        bool, Option("Also measure how often the checks err at these numbers of samples.", panel=DETAILS)
    ] = False
    exit_zero: Annotated[bool, Option("Exit 0 whatever the verdict.")] = False


@dataclass(frozen=True)
class Closes:
    """The request in a book that the audit closes."""

    request: Annotated[
        str | None, Option("Request in --book to close on exit code 0; it names the ids.", "REQUEST", panel=REQUESTS)
    ] = None
    book: Annotated[str | None, Book] = None
    accept: Annotated[
        str | None, Option("Close it whatever the verdict; the book keeps the reason.", "REASON", panel=REQUESTS)
    ] = None


@dataclass(frozen=True)
class Files:
    """The report files."""

    junit: Annotated[str | None, Option("Also write JUnit XML.", metavar="FILE", panel=OUTPUT)] = None
    summary: Annotated[
        str | None,
        Option("Also write Markdown, which GITHUB_STEP_SUMMARY gets in any case.", metavar="FILE", panel=OUTPUT),
    ] = None
    html: Annotated[
        str | None, Option("Also write one web page, complete in itself.", metavar="FILE", panel=OUTPUT)
    ] = None
    remembered_out: Annotated[
        str | None, Option("Also write the ids that stand out as remembered.", metavar="FILE", panel=OUTPUT)
    ] = None
    all: Annotated[bool, Option("Print every measurement, not only what decides.", panel=OUTPUT)] = False
    show_ids: Annotated[bool, Option("List single ids in the report.", panel=OUTPUT)] = False


def audit(
    checkpoint: Annotated[str, Argument("The model to judge.", "CHECKPOINT")],
    *,
    compared: Compared,
    closes: Closes,
    judging: Judging,
    files: Files,
    fresh: Fresh = False,
    form: ListForm,
    source: Source,
    compute: Compute,
    say: Say,
) -> None:
    """Judge whether samples were forgotten.

    Exit code 0: forgotten; 1: not forgotten, over-forgotten, or accuracy lost; 3: inconclusive. A check passes only if
    its confidence interval lies within the margin and the original model fails the same check. An inconclusive report
    says what would decide.

    Examples:
        forgetkit audit model.forget.st --original model.st
        forgetkit audit model.forget.st --original model.st --shadows model.shadows
        forgetkit audit model.relabel.st --original model.st --reference refs --json
        forgetkit audit model.neutralize.st --original model.st --criterion chance
        forgetkit audit model.forget.st --original model.st --request case-7 --book requests.db --html audit.html
    """
    from forgetkit.auditing.closing import closing_of
    from forgetkit.auditing.policy import policy_of
    from forgetkit.auditing.report.files import Reports
    from forgetkit.auditing.run import run

    console = Console(say)
    reports = Reports(files.junit, files.summary, files.html, files.remembered_out)
    with nullcontext() if say.dry_run else reports.erring(checkpoint):
        policy, digest = policy_of(judging.policy, criterion=judging.criterion, level=judging.level)
        closing = closing_of(closes.request, closes.book, closes.accept)
        case = _case(checkpoint, compared, closing, source, compute, form, console)
        reports.check((*case.paths, *_read(compared, judging, closes)), console)
        if say.dry_run:
            case.check_weights()
            console.note("dry run: nothing was computed")
            return
        found = run(
            case,
            policy,
            digest,
            relearn=judging.relearn,
            self_check=judging.self_check,
            show_ids=files.show_ids,
            fresh=fresh,
            typed=typed(),
            priced=not (say.as_json or say.quiet),
            tell=console,
        )
        _print(found, checkpoint, console, complete=files.all)  # before anything else can fail
    _finish(found, checkpoint, case.subject.record, reports=reports, closing=closing, console=console)
    if not judging.exit_zero and found.exit_code:
        raise typer.Exit(found.exit_code)


def _finish(
    found: "Audited",
    checkpoint: str,
    record: "Record",
    *,
    reports: "Reports",
    closing: "Closing | None",
    console: Console,
) -> None:
    """Write the reports and close the request; errors are words even with ``--json``, as the one document is out."""
    try:
        request = closing.booking.request if closing else None
        reports.write(found, checkpoint, console, console.warnings, record, request=request)
        if closing:
            closing.close(found, record, console)
    except ForgetkitError as problem:
        print_error(problem, as_json=False)
        raise typer.Exit(problem.status) from problem


def _case(
    checkpoint: str,
    compared: Compared,
    closing: "Closing | None",
    source: Source,
    compute: Compute,
    form: ListForm,
    console: Console,
) -> "Case":
    """Read and check the records of all checkpoints, and whether the audit may close its request."""
    from forgetkit.auditing.run import open_case

    case = open_case(
        checkpoint,
        compared.ids or (closing.asked if closing else []),
        original=compared.original,
        references=compared.reference or [],
        shadows=compared.shadows,
        attributes=compared.attributes,
        source=source,
        compute=compute,
        form=form,
        tell=console,
    )
    if closing:
        closing.check(case.subject)
    return case


def _read(compared: Compared, judging: Judging, closes: Closes) -> list[Path]:
    """Return the files that were read and that no report may replace, except the checkpoints."""
    names = (*(compared.ids or []), compared.attributes, judging.policy, closes.book)
    return [Path(name) for name in names if name and name != "-"]


def _print(found: "Audited", checkpoint: str, console: Console, *, complete: bool) -> None:
    """Print the result on stdout, and with ``--json`` its verdict on stderr as well."""
    from forgetkit.auditing.report.terminal import WIDTH, heading

    title = f"{heading(found.report, checkpoint)}"
    if console.says.as_json:
        console.note(title)
        for reason in found.reasons:
            console.note(f"  because {reason}")
    shown = is_terminal(sys.stdout)
    width = shutil.get_terminal_size((WIDTH, 24)).columns if sys.stdout.isatty() else WIDTH
    text = title if console.says.quiet else found.text(checkpoint, complete=complete, width=width, colour=shown)
    console.result([text], found.report, styled=True)
