"""The options that all steps have; without torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

from forgetkit.errors import ForgetkitError
from forgetkit.options import INPUT, REQUESTS, Book, Compute, ListForm, Log, Mask, Option, ResumableOutput, Seed, Source

IdFiles = Annotated[
    list[str], Option("ID list; - is stdin. Repeat for more.", metavar="FILE", flags=("--ids", "-i"), panel=INPUT)
]


@dataclass(frozen=True, kw_only=True)
class Lists(ListForm):
    """ID lists."""

    ids: IdFiles


@dataclass(frozen=True)
class Booked:
    """The request that a step answers."""

    request: Annotated[
        str | None, Option("Request in --book that this run answers.", metavar="REQUEST", panel=REQUESTS)
    ] = None
    book: Annotated[str | None, Book] = None


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """What every unlearning step has in common: what it reads, where it computes, and what it writes."""

    ids: IdFiles = field(default_factory=list, metadata={"required": True})  # on the command line
    form: ListForm = field(default_factory=ListForm)
    booked: Booked = field(default_factory=Booked)
    seed: Seed = 0
    source: Source = field(default_factory=Source)
    compute: Compute = field(default_factory=Compute)
    output: ResumableOutput = field(default_factory=ResumableOutput)

    def writing(self, out: str | Path | None) -> Self:
        """Return the same with ``out`` as the output, if it is given."""
        return self if out is None else replace(self, output=replace(self.output, out=str(out)))


@dataclass(frozen=True, kw_only=True)
class MethodOptions(StepOptions):
    """The same, for a method that trains: it may be limited to some weights, and keeps a log."""

    mask: Mask = None
    log: Log = None


@dataclass(frozen=True, kw_only=True)
class QueueOptions(StepOptions):
    """The same, for a step that can answer several requests, each with a list of its own."""

    ids: IdFiles = field(default_factory=list)
    requests: Annotated[
        list[str],
        Option(
            "Answer several requests in turn: an ID list for each, or a folder of lists. Repeat for more.",
            metavar="FILE-or-FOLDER",
            panel=REQUESTS,
        ),
    ] = field(default_factory=list)

    def check(self, command: str) -> None:
        """Refuse both ids and requests, and neither of them; raises ForgetkitError ``usage``."""
        if not self.ids and not self.requests:
            hint = f"for example: forgetkit {command} model.st --ids ids.txt, or --requests FOLDER for several requests"
            raise ForgetkitError("usage", "missing option '--ids' / '-i'", hint)
        if self.ids and self.requests:
            raise ForgetkitError("usage", "not with --ids", "put those ids into a list of their own", option="requests")
