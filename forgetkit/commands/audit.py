"""``forgetkit audit``: was it forgotten?"""

from pathlib import Path
from typing import Annotated

import typer

from forgetkit.options import INPUT, METHOD, OUTPUT, Compute, ListForm, Say, Source, choice


def audit(
    checkpoint: Annotated[str, typer.Argument(metavar="CHECKPOINT", help="The model to judge.", show_default=False)],
    *,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--ids", "-i", metavar="FILE", help="The ids in question; else all the record names.", rich_help_panel=INPUT
        ),
    ] = None,
    original: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="The model trained on everything.", rich_help_panel=INPUT)
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE-or-FOLDER",
            help="A model trained again without the ids, or a folder of them. Repeat for more.",
            rich_help_panel=INPUT,
        ),
    ] = None,
    criterion: Annotated[
        str,
        typer.Option(metavar="retrain|chance", help="Like a retrained model, or at chance.", rich_help_panel=METHOD),
    ] = "retrain",
    level: Annotated[
        float, typer.Option(metavar="P", min=0.001, max=0.2, help="Error rate of each check.", rich_help_panel=METHOD)
    ] = 0.05,
    junit: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write JUnit XML, too.", rich_help_panel=OUTPUT)
    ] = None,
    summary: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write Markdown, too; else append to GITHUB_STEP_SUMMARY where that is set.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 whatever the verdict.", rich_help_panel=METHOD)
    ] = False,
    form: ListForm,
    source: Source,
    compute: Compute,
    show_ids: Annotated[
        bool, typer.Option("--show-ids", help="List single ids in the report.", rich_help_panel=OUTPUT)
    ] = False,
    say: Say,
) -> None:
    """Judge whether samples were forgotten: exit 0 forgotten, 1 not, 3 inconclusive.

    A check passes only if its interval lies inside its margin, and could have failed: the original must fail it.
    Few ids end inconclusive, with the number that would decide. An asterisk marks the checks that decide.

    Examples:
        forgetkit audit model.relabel.st --original model.st
        forgetkit audit model.relabel.st --original model.st --ids ids.txt --json
        forgetkit audit model.relabel.st --original model.st --reference refs
        forgetkit audit model.neutralize.st --original model.st --criterion chance --exit-zero
    """
    from forgetkit.audit.check import EXIT_CODES
    from forgetkit.audit.outputs import Reports
    from forgetkit.audit.report import table
    from forgetkit.audit.run import run
    from forgetkit.audit.subject import check_original, open_references, subject_of
    from forgetkit.checkpoint import load_tensors
    from forgetkit.compute import set_up
    from forgetkit.request import open_checkpoint

    choice("--criterion", criterion, ("retrain", "chance"))
    console = say.console()
    console.note(f"audit: reading {checkpoint}")
    subject = subject_of(checkpoint, ids or [], form, source=source, console=console)
    first = open_checkpoint(original) if original is not None else None
    if first:
        check_original(subject, first[1], original or "")
    references = open_references(reference or [], subject, console)
    reports = Reports(junit, summary)
    compared = [*references, *([first] if first else [])]
    reports.check((subject.path, *(path for path, _ in compared)))
    machine = set_up(compute.device, "float32" if compute.precision == "auto" else compute.precision, compute.threads)
    console.note(f"audit: {len(subject.rows)} ids of {subject.dataset.name}, {machine.device} {machine.precision}")
    if say.dry_run:
        for path, record in compared:
            load_tensors(path, record)
        console.note("dry run: nothing was computed")
        return
    found = run(subject, first, machine, criterion=criterion, level=level, references=references, show_ids=show_ids)
    reports.write(found, Path(checkpoint).name)
    verdict = found["verdict"]
    console.result(table(checkpoint, found), found)
    if not exit_zero and EXIT_CODES[verdict]:
        raise typer.Exit(EXIT_CODES[verdict])
