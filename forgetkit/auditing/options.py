"""The options of an audit."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.errors import ForgetkitError
from forgetkit.options import (
    DETAILS,
    INPUT,
    OUTPUT,
    REQUESTS,
    SCORES,
    Attributes,
    Book,
    Compute,
    Fresh,
    ListForm,
    Option,
    Source,
)

Asked = Annotated[
    list[str] | None,
    Option(
        "ID list of the samples in question. Repeat for more.",
        metavar="FILE",
        flags=("--ids", "-i"),
        unset="all that the record calls forgotten",
        panel=INPUT,
    ),
]


@dataclass(frozen=True)
class Compared:
    """The samples in question, and the models to compare with."""

    ids: Asked = None
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
    attacks: Annotated[
        str,
        Option("Also make attacks of the field: all, or names with commas.", metavar="all|none|NAMES", panel=DETAILS),
    ] = "none"
    self_check: Annotated[
        bool, Option("Also measure how often the checks err at these numbers of samples.", panel=DETAILS)
    ] = False
    exit_zero: Annotated[bool, Option("Exit 0 whatever the verdict.")] = False
    commit: Annotated[
        str | None,
        Option(
            "Evaluate nothing: write which models and ids would be judged, and by which rules.",
            metavar="FILE",
            panel=DETAILS,
        ),
    ] = None


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
    by: Annotated[str | None, Option("Who closes it, for the book.", metavar="NAME", panel=REQUESTS)] = None


@dataclass(frozen=True)
class Files:
    """The report files; ``{name}`` in one is the name of the checkpoint."""

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


@dataclass(frozen=True)
class OfScores:
    """Scores instead of checkpoints: files that predict wrote, or any other tool."""

    scores: Annotated[
        str | None, Option("Judge these scores, without a model. .npz, .csv or .parquet.", "FILE", panel=SCORES)
    ] = None
    original_scores: Annotated[
        str | None, Option("Scores of the original: the positive control.", "FILE", panel=SCORES)
    ] = None
    reference_scores: Annotated[
        list[str] | None,
        Option("Scores of a model trained without the ids, or a folder. Repeat for more.", "PATH", panel=SCORES),
    ] = None
    shadow_scores: Annotated[
        list[str] | None,
        Option("Scores of a shadow model, twins after each other, or a folder. Repeat.", "PATH", panel=SCORES),
    ] = None

    @property
    def given(self) -> list[str]:
        """The options that are given."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value]


@dataclass(frozen=True)
class AuditOptions:
    """All options of an audit, except what is printed."""

    compared: Compared
    of_scores: OfScores
    closes: Closes
    judging: Judging
    files: Files
    form: ListForm
    source: Source
    compute: Compute
    fresh: Fresh = False

    def subjects(self, checkpoints: list[str]) -> list[str]:
        """Return what is judged: the checkpoints, or the scores.

        Raises:
            ForgetkitError: ``usage`` for neither, both, or options that do not go together.
        """
        scores, of_scores = self.of_scores.scores, self.of_scores.given
        if self.judging.commit and len(checkpoints) > 1:
            hint = "commit to the audit of one checkpoint, then make it"
            raise ForgetkitError("usage", "not with several checkpoints", hint, option="commit")
        if scores is None:
            if of_scores:
                message, hint = f"{of_scores[0]} is given, but no --scores", "name those of the model: --scores FILE"
                raise ForgetkitError("usage", message, hint)
            if not checkpoints:
                hint = "for example: forgetkit audit model.forget.st --original model.st"
                raise ForgetkitError("usage", "missing argument 'CHECKPOINT'", hint)
            if len(checkpoints) > 1 and self.closes.request is not None:
                hint = "audit the model that answered the request by itself"
                raise ForgetkitError("usage", "one audit closes a request, not several", hint, option="request")
            return checkpoints
        if checkpoints:
            hint = "leave one of them out: scores are judged without a model"
            raise ForgetkitError("usage", f"both a checkpoint, {checkpoints[0]}, and --scores are given", hint)
        compared, judging, closes = self.compared, self.judging, self.closes
        needs_model = {
            "--ids": compared.ids,
            "--original": compared.original,
            "--reference": compared.reference,
            "--shadows": compared.shadows,
            "--attributes": compared.attributes,
            "--relearn": judging.relearn,
            "--request": closes.request,
        }
        cures = {
            "--ids": "the groups are in the file",
            "--original": "give its scores: --original-scores FILE",
            "--reference": "give their scores: --reference-scores FILE",
            "--shadows": "give their scores: --shadow-scores FILE",
            "--attributes": "add a column 'owner' to the scores",
        }
        for option, value in needs_model.items():
            if value:
                hint = cures.get(option, "audit the checkpoint itself")
                raise ForgetkitError("usage", f"{option} does not go with --scores", hint)
        return [scores]
