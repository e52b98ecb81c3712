"""Options that mean the same everywhere: plain dataclasses, for scripts and for the command line alike.

A field says with :class:`Option` how the command line offers it; :mod:`forgetkit.cli.option_groups` turns it into an
option of Typer's. A command takes a group (:class:`Source`, :class:`Compute`, :class:`Output` …) as one parameter.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from forgetkit.errors import ForgetkitError, did_you_mean

OPTIMIZERS = ("adam", "adamw", "adadelta", "sgd")
PRECISIONS = ("auto", "float32", "bfloat16")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1
INPUT, METHOD, OUTPUT, COMPUTE = "Input", "Method", "Output", "Compute"
DETAILS, LISTS, REQUESTS, RUN = "Method in detail", "Data and ID lists", "Requests", "Run"
SCORES = "Scores instead of checkpoints"
RARE = (SCORES, DETAILS, LISTS, REQUESTS, RUN)
"""Panels that a command's help shows with ``--help-all`` only, save for required options."""
PANELS = (INPUT, METHOD, OUTPUT, COMPUTE, *RARE)


@dataclass(frozen=True)
class Option:
    """How the command line offers a field or parameter.

    Attributes:
        help: one or two sentences.
        metavar: placeholder of the value; from the type if not given.
        flags: names of the option; from the field's name if not given.
        min: smallest value, if there is one.
        max: largest value, if there is one.
        envvar: environment variable that gives the value where the option does not.
        unset: what holds where the option is not given, if its default does not say it.
        panel: heading in the help, one of ``PANELS``; it also says whether the option is a rare one.
    """

    help: str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    envvar: str | None = None
    unset: str = ""
    panel: str = METHOD


@dataclass(frozen=True)
class Argument:
    """How the command line offers a positional argument: help, and placeholder."""

    help: str
    metavar: str


Checkpoint = Annotated[str, Argument("The checkpoint to start from.", "CHECKPOINT")]
Seed = Annotated[int, Option("Random seed.", metavar="N", min=0, max=LARGEST_SEED, panel=COMPUTE)]
OptimizerName = Annotated[str, Option("adam, adamw, adadelta or sgd.", metavar="NAME")]
Rate = Annotated[float, Option("Learning rate.", metavar="FLOAT")]
Momentum = Annotated[float, Option("Momentum of sgd.", metavar="FLOAT", min=0, max=1, panel=DETAILS)]
Log = Annotated[str | None, Option("Write a line of JSON per epoch or evaluation.", metavar="FILE", panel=OUTPUT)]
UtilityMargin = Annotated[
    float, Option("Accuracy that may be lost, on the tune half of the unseen samples.", metavar="SHARE")
]
Mask = Annotated[
    str | None, Option("Change only the weights that this file of mask allows.", metavar="FILE", panel=DETAILS)
]
Fresh = Annotated[bool, Option("Start over instead of continuing an interrupted run.", panel=RUN)]
Attributes = Annotated[
    str | None,
    Option("Table, CSV or parquet, with a column id and columns of attributes.", metavar="FILE", panel=LISTS),
]
Book = Option("The book of requests.", metavar="FILE", panel=REQUESTS)
KeepOptimizer = Annotated[
    bool, Option("Load the optimizer state beside the input, and save it beside the output.", panel=DETAILS)
]
Plugin = Annotated[
    list[Path] | None,
    Option(
        "Python file that registers models, data sets, methods or checks. Repeat for more.",
        metavar="FILE",
        envvar="FORGETKIT_PLUGINS",
        panel=RUN,
    ),
]
DataRoot = Annotated[
    str | None, Option("Folder of the data sets.", metavar="DIR", envvar="FORGETKIT_DATA", panel=LISTS)
]
Device = Annotated[
    str, Option("auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE", envvar="FORGETKIT_DEVICE", panel=COMPUTE)
]


@dataclass(frozen=True, kw_only=True)
class ListForm:
    """How ID lists are read."""

    id_column: Annotated[str, Option("Id column of .csv and .parquet ID lists.", "NAME", panel=LISTS)] = "id"
    strict: Annotated[bool, Option("Treat an id that is listed twice as an error.", panel=LISTS)] = False


@dataclass(frozen=True)
class DataPlace:
    """Where the data of a checkpoint is."""

    dataset: Annotated[
        str | None,
        Option(
            "digits, ham10000, folder:DIR, table:FILE.csv, arrays:FILE.npz, or torchvision's mnist, fashion-mnist, "
            "cifar10, cifar100, svhn (--download fetches them). A checkpoint names its own.",
            metavar="DATA",
            panel=INPUT,
        ),
    ] = None
    data_root: DataRoot = None
    download: Annotated[bool, Option("Fetch a data set that is missing.", panel=INPUT)] = False
    dataset_changed: Annotated[
        bool, Option("Accept data from which rows have been removed since the training.", panel=LISTS)
    ] = False
    column: Annotated[
        list[str] | None,
        Option("Read id, path, label or split from another column: label=class.", "COLUMN=NAME", panel=LISTS),
    ] = None
    plugin: Plugin = None

    def check(self) -> None:
        """Refuse a data root where the data set names its folder; raises ForgetkitError ``usage``."""
        folder = os.path.dirname((self.dataset or "").partition(":")[2])
        if folder and self.data_root not in {None, os.environ.get("FORGETKIT_DATA")}:
            message = f"not with --dataset {self.dataset}, which names its folder"
            raise ForgetkitError("usage", message, "leave it out, or name the file alone", option="data_root")


@dataclass(frozen=True)
class Source(DataPlace):
    """Where the data is."""

    unseen: Annotated[
        float | None,
        Option("Samples held out if the data has no test split.", "SHARE", unset="0.2, or as recorded", panel=LISTS),
    ] = None


@dataclass(frozen=True)
class Plugins:
    """What registers models and data sets."""

    plugin: Plugin = None


@dataclass(frozen=True)
class Compute:
    """On what the arithmetic runs."""

    device: Device = "auto"
    precision: Annotated[
        str,
        Option(
            "auto, float32 or bfloat16; auto depends on the hardware.",
            metavar="NAME",
            envvar="FORGETKIT_PRECISION",
            panel=RUN,
        ),
    ] = "auto"
    threads: Annotated[
        int,
        Option(
            "CPU threads; 0: OMP_NUM_THREADS, else all cores.",
            metavar="N",
            min=0,
            envvar="FORGETKIT_THREADS",
            panel=RUN,
        ),
    ] = 0


@dataclass(frozen=True)
class Say:
    """What is said, and how."""

    as_json: Annotated[bool, Option("Print one JSON document.", flags=("--json",), panel=OUTPUT)] = False
    quiet: Annotated[bool, Option("Only warnings and errors.", flags=("--quiet", "-q"), panel=OUTPUT)] = False
    dry_run: Annotated[
        bool, Option("Check everything, print the plan, write nothing.", flags=("--dry-run", "-n"), panel=OUTPUT)
    ] = False
    debug: Annotated[bool, Option("Show tracebacks.", envvar="FORGETKIT_DEBUG", panel=RUN)] = False


@dataclass(frozen=True)
class Target:
    """What is written."""

    out: Annotated[
        str | None, Option("Output.", metavar="PATH", flags=("--out", "-o"), unset="beside the input", panel=OUTPUT)
    ] = None
    force: Annotated[bool, Option("Replace an existing output.", flags=("--force", "-f"), panel=OUTPUT)] = False


@dataclass(frozen=True)
class Output(Say, Target):
    """What is written, and what is said."""


@dataclass(frozen=True)
class ResumableOutput(Output):
    """What is printed and written of a run that can be resumed."""

    fresh: Fresh = False


def choice(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``known``.

    Raises:
        ForgetkitError: ``usage``, with the nearest known value.
    """
    if value not in known:
        message = f"'{value}' is not one of {', '.join(known)}"
        raise ForgetkitError("usage", message, did_you_mean(value, known), option=_setting(name))
    return value


def positive(name: str, value: float, *, usual: float = 0.001) -> float:
    """Return ``value`` if it is a finite number above 0.

    Raises:
        ForgetkitError: ``usage``; the hint names the ``usual`` value.
    """
    if not 0 < value < 3e38:  # what float32 holds
        flag = f"--{_setting(name).replace('_', '-')}"
        message, hint = f"{value} is not above 0, or too large", f"for example {flag} {usual:g}"
        raise ForgetkitError("usage", message, hint, option=_setting(name))
    return value


def check_positive(settings: object, *names: str) -> None:
    """Refuse settings that are not above 0, or too large; raises ForgetkitError ``usage``, which names the default."""
    for name in names:
        positive(name, getattr(settings, name), usual=getattr(type(settings), name))


def refuse_given(settings: object, names: tuple[str, ...], why: str, hint: str) -> None:
    """Refuse settings without effect that are not the defaults of their class; raises ForgetkitError ``usage``."""
    for name in names:
        if getattr(settings, name) != getattr(type(settings), name):
            raise ForgetkitError("usage", why, hint, option=name)


def debugging() -> bool:
    """Return whether tracebacks are wanted, even where the options could not be read."""
    return "--debug" in sys.argv or os.environ.get("FORGETKIT_DEBUG", "") not in {"", "0"}


def _setting(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")
