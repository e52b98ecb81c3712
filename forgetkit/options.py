"""Options that mean the same everywhere: plain dataclasses, for scripts and for the command line alike.

A field says with :class:`Option` how the command line offers it; :mod:`forgetkit.cli.option_groups` turns it into an
option of Typer's. A command takes a group (:class:`Source`, :class:`Compute`, :class:`Output` …) as one parameter.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from forgetkit.errors import ForgetkitError

OPTIMIZERS = ("adam", "adamw", "adadelta", "sgd")
PRECISIONS = ("auto", "float32", "bfloat16")
MOST = 1_000_000_000
LARGEST_SEED = 2**63 - 1
INPUT, METHOD, OUTPUT, COMPUTE = "Input", "Method", "Output", "Compute"


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
        panel: heading in the help.
    """

    help: str
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    envvar: str | None = None
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
Momentum = Annotated[float, Option("Momentum of sgd.", metavar="FLOAT", min=0, max=1)]
Log = Annotated[
    str | None, Option("Write one JSON object for each epoch or evaluation here.", metavar="FILE", panel=OUTPUT)
]
UtilityMargin = Annotated[
    float, Option("Largest loss of accuracy on the tune half of the unseen samples, as a fraction.", metavar="F")
]
Mask = Annotated[
    str | None,
    Option("Change only the weights that this file of the mask command allows.", metavar="FILE", panel=INPUT),
]
Fresh = Annotated[
    bool, Option("Start over instead of continuing an interrupted run.", flags=("--fresh",), panel=OUTPUT)
]
Attributes = Annotated[
    str | None,
    Option("Table, CSV or parquet, with a column id, and columns of attributes.", metavar="FILE.csv", panel=INPUT),
]
Book = Option("The book of requests.", metavar="FILE", flags=("--book",), panel=INPUT)
KeepOptimizer = Annotated[
    bool,
    Option(
        "Load the optimizer state beside the input, and save it beside the output.",
        flags=("--keep-optimizer",),
    ),
]
Plugin = Annotated[
    list[Path] | None,
    Option(
        "Python file that registers models, data sets, methods or checks. Repeat for more.",
        metavar="FILE",
        envvar="FORGETKIT_PLUGINS",
        panel=INPUT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ListForm:
    """How ID lists are read."""

    id_column: Annotated[str, Option("The id column of .csv and .parquet ID lists.", metavar="NAME", panel=INPUT)] = (
        "id"
    )
    strict: Annotated[
        bool, Option("Treat an id that is listed twice as an error.", flags=("--strict",), panel=INPUT)
    ] = False


@dataclass(frozen=True)
class Source:
    """Where the data is."""

    dataset: Annotated[
        str | None,
        Option("Data set to use if the one named in the record cannot be found.", metavar="NAME", panel=INPUT),
    ] = None
    data_root: Annotated[
        str | None, Option("Folder of the data sets.", metavar="DIR", envvar="FORGETKIT_DATA", panel=INPUT)
    ] = None
    download: Annotated[
        bool, Option("Fetch a missing data set. Nothing is fetched without it.", flags=("--download",), panel=INPUT)
    ] = False
    unseen: Annotated[
        float | None,
        Option(
            "Share of samples held out if the data has no test split; by default 0.2, or as recorded.",
            metavar="F",
            panel=INPUT,
        ),
    ] = None
    dataset_changed: Annotated[
        bool,
        Option(
            "Accept data from which rows have been removed since the training.",
            flags=("--dataset-changed",),
            panel=INPUT,
        ),
    ] = False
    column: Annotated[
        list[str] | None,
        Option(
            "Read id, path, label or split from the table's column NAME, as in label=class. Repeat for more.",
            metavar="COLUMN=NAME",
            panel=INPUT,
        ),
    ] = None
    plugin: Plugin = None

    def check(self) -> None:
        """Refuse a data root where the data set names its folder; raises ForgetkitError ``usage``."""
        folder = os.path.dirname((self.dataset or "").partition(":")[2])
        if folder and self.data_root not in {None, os.environ.get("FORGETKIT_DATA")}:
            message = f"not with --dataset {self.dataset}, which names its folder"
            raise ForgetkitError("usage", message, "leave it out, or name the file alone", option="data_root")


@dataclass(frozen=True)
class Plugins:
    """What registers models and data sets."""

    plugin: Plugin = None


@dataclass(frozen=True)
class Compute:
    """On what the arithmetic runs."""

    device: Annotated[
        str, Option("auto, cpu, cuda, cuda:N or mps.", metavar="DEVICE", envvar="FORGETKIT_DEVICE", panel=COMPUTE)
    ] = "auto"
    precision: Annotated[
        str,
        Option(
            "auto, float32 or bfloat16; auto depends on what the hardware supports.",
            metavar="NAME",
            envvar="FORGETKIT_PRECISION",
            panel=COMPUTE,
        ),
    ] = "auto"
    threads: Annotated[
        int, Option("CPU threads; 0 for all.", metavar="N", min=0, envvar="FORGETKIT_THREADS", panel=COMPUTE)
    ] = 0


@dataclass(frozen=True)
class Say:
    """What is said, and how."""

    as_json: Annotated[bool, Option("Print one JSON document.", flags=("--json",), panel=OUTPUT)] = False
    quiet: Annotated[bool, Option("Only warnings and errors.", flags=("--quiet", "-q"), panel=OUTPUT)] = False
    dry_run: Annotated[
        bool, Option("Check everything, print the plan, write nothing.", flags=("--dry-run", "-n"), panel=OUTPUT)
    ] = False
    debug: Annotated[bool, Option("Show tracebacks.", flags=("--debug",), envvar="FORGETKIT_DEBUG", panel=OUTPUT)] = (
        False
    )


@dataclass(frozen=True)
class Output(Say):
    """What is said, and what is written."""

    out: Annotated[
        str | None,
        Option(
            "Output file; by default beside the input (forget-ids: stdout).",
            metavar="FILE",
            flags=("--out", "-o"),
            panel=OUTPUT,
        ),
    ] = None
    force: Annotated[bool, Option("Replace an existing output.", flags=("--force", "-f"), panel=OUTPUT)] = False


@dataclass(frozen=True)
class ResumableOutput(Output):
    """What is printed and written of a run that can be resumed."""

    fresh: Fresh = False


def choice(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``known``.

    Raises:
        ForgetkitError: ``usage``, with the nearest known value.
    """
    from forgetkit.registry import did_you_mean

    if value not in known:
        message = f"'{value}' is not one of {', '.join(known)}"
        raise ForgetkitError("usage", message, did_you_mean(value, known), option=_setting(name))
    return value


def positive(name: str, value: float) -> float:
    """Return ``value`` if it is a finite number above 0; raises ForgetkitError ``usage`` if not."""
    if not 0 < value < 3e38:  # what float32 holds
        flag = f"--{_setting(name).replace('_', '-')}"
        message, hint = f"{value} is not above 0, or too large", f"for example {flag} 0.001"
        raise ForgetkitError("usage", message, hint, option=_setting(name))
    return value


def refuse_given(settings: object, names: tuple[str, ...], why: str, hint: str) -> None:
    """Refuse settings without effect that are not the defaults of their class; raises ForgetkitError ``usage``."""
    for name in names:
        if getattr(settings, name) != getattr(type(settings), name):
            raise ForgetkitError("usage", why, hint, option=name)


def check_optimizer(optimizer: str, rate: float, momentum: float, *, usual: float = 0.0) -> None:
    """Refuse an unknown optimizer, a rate that is not above 0, and a momentum, not the ``usual`` one, that has no use.

    Raises:
        ForgetkitError: ``usage``.
    """
    choice("optimizer", optimizer, OPTIMIZERS)
    positive("rate", rate)
    if momentum not in {0, usual} and optimizer != "sgd":
        message = f"{optimizer} has no momentum"
        raise ForgetkitError("usage", message, "use --optimizer sgd", option="momentum")


def debugging() -> bool:
    """Return whether tracebacks are wanted, even where the options could not be read."""
    return "--debug" in sys.argv or os.environ.get("FORGETKIT_DEBUG", "") not in {"", "0"}


def _setting(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")
