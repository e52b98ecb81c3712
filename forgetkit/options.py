"""The vocabulary: options that mean the same in every command.

A command takes a group (:class:`Source`, :class:`Compute`, :class:`Output` …) as one parameter;
:mod:`forgetkit.cli.option_groups` lays its fields out as options of the command line.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from forgetkit.console import Console
from forgetkit.errors import ForgetkitError

OPTIMIZERS = ("adam", "adamw", "adadelta", "sgd")
PRECISIONS = ("auto", "float32", "bfloat16")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1
INPUT, METHOD, OUTPUT, COMPUTE = "Input", "Method", "Output", "Compute"

Checkpoint = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="The checkpoint to start from.", show_default=False)
]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, max=LARGEST_SEED, help="Seed of everything random.", rich_help_panel=COMPUTE)
]
OptimizerName = Annotated[
    str, typer.Option(metavar="NAME", help="adam, adamw, adadelta or sgd.", rich_help_panel=METHOD)
]
Rate = Annotated[float, typer.Option(metavar="FLOAT", help="Learning rate.", rich_help_panel=METHOD)]
Momentum = Annotated[
    float, typer.Option(metavar="FLOAT", min=0, max=1, help="Momentum of sgd.", rich_help_panel=METHOD)
]
Log = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write one JSON object an epoch or look here.", rich_help_panel=OUTPUT),
]
UtilityMargin = Annotated[
    float,
    typer.Option(metavar="F", help="Accuracy on the tune half that a search may lose.", rich_help_panel=METHOD),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Which weights may move: a file that mask wrote. The others stay.", rich_help_panel=INPUT
    ),
]
Fresh = Annotated[
    bool,
    typer.Option(
        "--fresh", help="Start over, even where an interrupted run could be gone on with.", rich_help_panel=OUTPUT
    ),
]
Book = typer.Option("--book", metavar="FILE", help="The book of requests.", rich_help_panel=INPUT)
KeepOptimizer = Annotated[
    bool,
    typer.Option(
        "--keep-optimizer",
        help="Go on with the optimizer state beside the input, and write it beside the output.",
        rich_help_panel=METHOD,
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Python file that registers models or data sets. Repeat for more.",
        envvar="FORGETKIT_PLUGINS",
        rich_help_panel=INPUT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ListForm:
    """How ID lists are to be read."""

    id_column: Annotated[
        str, typer.Option(metavar="NAME", help="The id column of .csv and .parquet ID lists.", rich_help_panel=INPUT)
    ] = "id"
    strict: Annotated[
        bool, typer.Option("--strict", help="Take an id that is listed twice for an error.", rich_help_panel=INPUT)
    ] = False


@dataclass(frozen=True, kw_only=True)
class Lists(ListForm):
    """The ID lists of a step."""

    ids: Annotated[
        list[str],
        typer.Option(
            "--ids", "-i", metavar="FILE", help="ID list; - is stdin. Repeat for more.", rich_help_panel=INPUT
        ),
    ]


@dataclass(frozen=True)
class Booked:
    """The request that a step fulfils."""

    request: Annotated[
        str | None,
        typer.Option(metavar="REQUEST", help="The request in --book that this fulfils.", rich_help_panel=INPUT),
    ] = None
    book: Annotated[str | None, Book] = None


@dataclass(frozen=True)
class Source:
    """Where the data is."""

    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Data set, when the record's name does not lead to it.", rich_help_panel=INPUT
        ),
    ] = None
    data_root: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder of the data sets.", envvar="FORGETKIT_DATA", rich_help_panel=INPUT),
    ] = None
    download: Annotated[
        bool,
        typer.Option(
            "--download", help="Fetch a missing data set. Nothing is fetched without it.", rich_help_panel=INPUT
        ),
    ] = False
    unseen: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Share to put aside where the data have no test split: 0.2, or what a checkpoint's record says.",
            rich_help_panel=INPUT,
        ),
    ] = None
    dataset_changed: Annotated[
        bool,
        typer.Option(
            "--dataset-changed",
            help="Accept data from which rows were taken out since the training.",
            rich_help_panel=INPUT,
        ),
    ] = False
    plugin: Plugin = None


@dataclass(frozen=True)
class Plugins:
    """What registers models and data sets."""

    plugin: Plugin = None


@dataclass(frozen=True)
class Training:
    """How to train; what is not given comes from the defaults, or from the recipe of a checkpoint."""

    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MOST, help="Passes over the data.", rich_help_panel=METHOD)
    ] = None
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", help="adam, adamw, adadelta or sgd.", rich_help_panel=METHOD)
    ] = None
    rate: Annotated[float | None, typer.Option(metavar="FLOAT", help="Learning rate.", rich_help_panel=METHOD)] = None
    momentum: Annotated[
        float | None, typer.Option(metavar="FLOAT", min=0, max=1, help="Momentum of sgd.", rich_help_panel=METHOD)
    ] = None
    weight_decay: Annotated[
        float | None, typer.Option(metavar="FLOAT", min=0, help="Weight decay.", rich_help_panel=METHOD)
    ] = None
    schedule: Annotated[
        str | None, typer.Option(metavar="NAME", help="Rate over time: constant or cosine.", rich_help_panel=METHOD)
    ] = None
    augment: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Random changes of images: none, flip, flip-crop.", rich_help_panel=METHOD),
    ] = None
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=MOST, help="Samples in a step.", rich_help_panel=METHOD)
    ] = None
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="last|best", help="Weights to keep: last epoch's, or best on the tune half.", rich_help_panel=METHOD
        ),
    ] = None


@dataclass(frozen=True)
class Compute:
    """On what the arithmetic runs."""

    device: Annotated[
        str,
        typer.Option(
            metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.", envvar="FORGETKIT_DEVICE", rich_help_panel=COMPUTE
        ),
    ] = "auto"
    precision: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="auto, float32 or bfloat16; auto looks at what the hardware multiplies.",
            envvar="FORGETKIT_PRECISION",
            rich_help_panel=COMPUTE,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="CPU threads; 0 for all.", envvar="FORGETKIT_THREADS", rich_help_panel=COMPUTE
        ),
    ] = 0


@dataclass(frozen=True)
class Say:
    """What is said, and how."""

    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=OUTPUT)] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.", rich_help_panel=OUTPUT)] = (
        False
    )
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Check everything, say the plan, write nothing.", rich_help_panel=OUTPUT),
    ] = False
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks.", envvar="FORGETKIT_DEBUG", rich_help_panel=OUTPUT)
    ] = False

    def console(self) -> Console:
        """Return the sink for all that the command says."""
        return Console(as_json=self.as_json, quiet=self.quiet, dry_run=self.dry_run)


@dataclass(frozen=True)
class Output(Say):
    """What is said, and what is written."""

    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Where to write; else a step writes beside its input, forget-ids to stdout.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Replace an existing output.", rich_help_panel=OUTPUT)
    ] = False


@dataclass(frozen=True)
class LongRun(Output):
    """What is said and written of a run that goes on where an earlier one stood."""

    fresh: Fresh = False


def choice(option: str, value: str, known: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``known``.

    Raises:
        ForgetkitError: ``usage``, with the nearest known value.
    """
    from forgetkit.registry import did_you_mean

    if value not in known:
        raise ForgetkitError(
            "usage", f"{option}: '{value}' is not one of {', '.join(known)}", did_you_mean(value, known)
        )
    return value


def positive(option: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0; raises ForgetkitError ``usage`` if not."""
    if not 0 < value < 3e38:  # what float32 holds
        raise ForgetkitError("usage", f"{option}: {value} is not above 0, or too large", f"for example {option} 0.001")
    return value


def check_optimizer(optimizer: str, rate: float, momentum: float) -> None:
    """Refuse an optimizer that there is not, a rate not above 0, a momentum that would not be used.

    Raises:
        ForgetkitError: ``usage``.
    """
    choice("--optimizer", optimizer, OPTIMIZERS)
    positive("--rate", rate)
    if momentum and optimizer != "sgd":
        raise ForgetkitError("usage", f"--momentum does not go with {optimizer}", "use --optimizer sgd")


def debugging() -> bool:
    """Say whether tracebacks are wanted, also where the options could not be read."""
    return "--debug" in sys.argv or os.environ.get("FORGETKIT_DEBUG", "") not in {"", "0"}
