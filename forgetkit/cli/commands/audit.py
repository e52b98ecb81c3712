"""``forgetkit audit``: was it forgotten?"""

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from forgetkit.cli.console import Console
from forgetkit.options import INPUT, OUTPUT, Argument, Compute, Fresh, ListForm, Option, Say, Source


@dataclass(frozen=True)
class Compared:
    """What is asked about, and the models to compare with."""

    ids: Annotated[
        list[str] | None,
        Option(
            "The ids in question; else all the record names.",
            metavar="FILE",
            flags=(
                "--ids",
                "-i",
            ),
            panel=INPUT,
        ),
    ] = None
    original: Annotated[str | None, Option("The model trained on everything.", metavar="CHECKPOINT", panel=INPUT)] = (
        None
    )
    reference: Annotated[
        list[str] | None,
        Option(
            "A model trained again without the ids, or a folder of them. Repeat for more.",
            metavar="FILE-or-FOLDER",
            panel=INPUT,
        ),
    ] = None


@dataclass(frozen=True)
class Judging:
    """What decides."""

    criterion: Annotated[
        str | None,
        Option(
            "Like a retrained model, or at chance; retrain, if neither this nor a policy says so.",
            metavar="retrain|chance",
        ),
    ] = None
    level: Annotated[
        float | None,
        Option(
            "Error rate of each check; 0.05, if neither this nor a policy says so.", metavar="P", min=0.001, max=0.2
        ),
    ] = None
    policy: Annotated[
        str | None,
        Option("What decides, and by how much, agreed on before: TOML.", metavar="FILE"),
    ] = None
    relearn: Annotated[
        bool,
        Option("Count the steps that teach the ids again, beside unseen samples.", flags=("--relearn",)),
    ] = False
    self_check: Annotated[
        bool,
        Option(
            "Say how often the checks err, and what they see, at these numbers of samples.", flags=("--self-check",)
        ),
    ] = False
    exit_zero: Annotated[bool, Option("Exit 0 whatever the verdict.", flags=("--exit-zero",))] = False


@dataclass(frozen=True)
class Files:
    """What is written beside the verdict."""

    junit: Annotated[str | None, Option("Write JUnit XML, too.", metavar="FILE", panel=OUTPUT)] = None
    summary: Annotated[
        str | None,
        Option(
            "Write Markdown, too; else append to GITHUB_STEP_SUMMARY where that is set.", metavar="FILE", panel=OUTPUT
        ),
    ] = None
    html: Annotated[
        str | None,
        Option("Write a page that opens without a network, too.", metavar="FILE", panel=OUTPUT),
    ] = None
    remembered_out: Annotated[
        str | None,
        Option("Write the ids that stand out as remembered, too.", metavar="FILE", panel=OUTPUT),
    ] = None
    show_ids: Annotated[bool, Option("List single ids in the report.", flags=("--show-ids",), panel=OUTPUT)] = False


def audit(
    checkpoint: Annotated[str, Argument("The model to judge.", "CHECKPOINT")],
    *,
    compared: Compared,
    judging: Judging,
    files: Files,
    fresh: Fresh = False,
    form: ListForm,
    source: Source,
    compute: Compute,
    say: Say,
) -> None:
    """Judge whether samples were forgotten: exit 0 forgotten, 1 not, 3 inconclusive.

    A check passes only if its interval lies inside its margin, and could have failed: the original must fail it.
    Few ids end inconclusive, with the number that would decide. An asterisk marks the checks that decide.

    Examples:
        forgetkit audit model.relabel.st --original model.st
        forgetkit audit model.relabel.st --original model.st --reference refs --json
        forgetkit audit model.relabel.st --original model.st --ids ids.txt --html audit.html
        forgetkit audit model.neutralize.st --original model.st --criterion chance --exit-zero
    """
    from forgetkit.auditing.policy import policy_of
    from forgetkit.auditing.report.files import Reports
    from forgetkit.auditing.run import open_case, run
    from forgetkit.files.lineage import lineage

    console = Console(say)
    reports = Reports(files.junit, files.summary, files.html, files.remembered_out)
    with nullcontext() if say.dry_run else reports.erring(checkpoint):
        policy, digest = policy_of(judging.policy, criterion=judging.criterion, level=judging.level)
        case = open_case(
            checkpoint,
            compared.ids or [],
            original=compared.original,
            references=compared.reference or [],
            source=source,
            compute=compute,
            form=form,
            tell=console,
        )
        subject = case.subject
        reports.check((subject.path, *(path for path, _ in case.compared), *_read(compared, judging)))
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
            tell=console,
        )
        reports.write(found, checkpoint, console, console.warnings, lineage(checkpoint, subject.record))
        lines = found.lines(checkpoint)
        if say.as_json or not sys.stdout.isatty():  # else the verdict is there already
            for line in takewhile(bool, lines):
                console.note(line)
        console.result(lines, found.report)
    if not judging.exit_zero and found.exit_code:
        raise typer.Exit(found.exit_code)


def _read(compared: Compared, judging: Judging) -> list[Path]:
    """Return the files that were read and that no report may replace, except the checkpoints."""
    return [Path(name) for name in (*(compared.ids or []), judging.policy) if name and name != "-"]
