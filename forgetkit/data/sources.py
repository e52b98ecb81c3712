"""DATASETS: the readers of data sets; a new one is one decorated function."""

import inspect
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from forgetkit.data.dataset import Split, row_numbers
from forgetkit.data.listing import Listing as Listing
from forgetkit.data.listing import Source as Source
from forgetkit.data.readers.arrays import read_arrays
from forgetkit.data.readers.folder import read_folder
from forgetkit.data.readers.ham10000 import read_ham10000
from forgetkit.data.readers.idx import read_idx
from forgetkit.data.readers.table import read_table
from forgetkit.errors import ForgetkitError
from forgetkit.registry import Registry, malformed_plugin, parameters_of

Reader = Callable[..., Source]
"""Reads a data set below a folder, its first parameter; raises FileNotFoundError where it is not there.

A reader whose name ends in a colon reads a path of the user's, ``arrays:FILE.npz``: its first parameter is that path.
One that names ``download`` is told whether it may fetch what is missing; one that names ``columns``, which column of a
table has ``id``, ``path``, ``label`` or ``split``, where it has another name.
"""


def check_reader(name: str, reader: Reader) -> None:
    """Refuse a reader that could not be called.

    Raises:
        ForgetkitError: ``plugin-malformed``; names the parameter.
    """
    parameters = parameters_of("reader", name, reader, typed=False)
    passed = {"download", _path_parameter(parameters)}
    for key, parameter in parameters.items():
        if key not in passed and parameter.default is parameter.empty:
            hint = "def reader(root: Path, *, download: bool) -> Source; give any other parameter a default"
            raise malformed_plugin("reader", name, f"it has a parameter '{key}', for which there is no value", hint)


def call_reader(reader: Reader, path: Path, *, download: bool, columns: Mapping[str, str]) -> Source:
    """Return what ``reader`` reads at ``path``; it is passed what its signature names.

    Raises:
        ForgetkitError: ``usage`` for ``columns`` where it reads no table.
    """
    parameters = inspect.signature(reader).parameters
    given: dict[str, Any] = {"download": download} if "download" in parameters else {}
    if columns and "columns" not in parameters:
        message, hint = "only a table has columns", "leave the option out, or name a table: --dataset table:FILE.csv"
        raise ForgetkitError("usage", message, hint, option="column")
    given |= {"columns": columns} if columns else {}
    key = _path_parameter(parameters)
    if key and parameters[key].kind is inspect.Parameter.POSITIONAL_ONLY:
        return reader(path, **given)
    return reader(**given, **({key: path} if key else {}))


def _path_parameter(parameters: Mapping[str, inspect.Parameter]) -> str | None:
    """Return the parameter that is passed the path: the first one, or ``root`` where all are keyword-only."""
    positional = (
        key for key, one in parameters.items() if key != "download" and one.kind is not inspect.Parameter.KEYWORD_ONLY
    )
    return next(positional, "root" if "root" in parameters else None)


DATASETS: Registry[Reader] = Registry("dataset", check_reader)
register_dataset = DATASETS.register
"""Make the :data:`Reader` below known to ``--dataset``: ``@register_dataset`` or ``@register_dataset("name")``."""


@register_dataset("digits")
def digits(root: Path, *, download: bool) -> Source:
    """Read scikit-learn's digits: 1,797 real 8×8 images, 1,297 of them for training; no download.

    The file is read from the package of scikit-learn without importing it. The order is a permutation seeded with 0
    (NumPy's frozen legacy stream); pixels have values from 0 to 16.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ForgetkitError("dataset-missing", "digits is a file of scikit-learn, which is not installed")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.int64)
    order = np.random.RandomState(0).permutation(len(table))
    images = table[order, :-1].astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = table[order, -1]
    classes = tuple(str(digit) for digit in range(10))
    return Source(classes, _split(images[:1297], labels[:1297]), _split(images[1297:], labels[1297:]), (path,))


def _split(images: Any, labels: Any) -> Split:  # noqa: ANN401 - torchvision's sets hold tensors, arrays or lists
    """Return a split with row numbers as ids, of images ``(rows, height, width[, channels])`` or NCHW uint8."""
    images, labels = np.asarray(images), np.asarray(labels, dtype=np.int64)
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images, but {len(labels)} labels")
    return Split(row_numbers(len(labels)), np.ascontiguousarray(images), labels)


def _torchvision(kind: str, root: Path, download: bool, pattern: str) -> Source:
    """Read a data set of torchvision, of any layout; images have shape ``(rows, channels, height, width)``."""
    from torchvision import datasets

    # The reader of MNIST would prefer a pickle that an old release left; nothing here reads pickles.
    reader = type(kind, (getattr(datasets, kind),), {"_check_legacy_exist": lambda _: False})
    halves = [{"split": "train"}, {"split": "test"}] if kind == "SVHN" else [{"train": True}, {"train": False}]
    try:
        train, test = (reader(str(root), download=download, **half) for half in halves)
    except (RuntimeError, AssertionError, KeyError, TypeError) as problem:
        missing = isinstance(problem, RuntimeError) and "not found" in str(problem)
        raise (FileNotFoundError if missing else ValueError)(str(problem) or "not in its format") from problem
    classes = tuple(getattr(train, "classes", None) or row_numbers(10))
    return Source(classes, split_of(train), split_of(test), tuple(sorted(root.glob(pattern))))


def split_of(samples: Any) -> Split:  # noqa: ANN401 - any torchvision set
    """Return a data set of torchvision (``data`` with ``targets`` or ``labels``) as a split, in its row order."""
    images = np.asarray(samples.data)
    labels = samples.targets if hasattr(samples, "targets") else samples.labels
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3 and images.shape[1] != 3:
        images = images.transpose(0, 3, 1, 2)
    return _split(images, labels)


@register_dataset("mnist")
def mnist(root: Path, *, download: bool) -> Source:
    """Read MNIST: 60,000 + 10,000 grey 28×28 digits."""
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return _mnist("MNIST", root, download, [f"{digit} - {name}" for digit, name in enumerate(names)])


@register_dataset("fashion-mnist")
def fashion_mnist(root: Path, *, download: bool) -> Source:
    """Read Fashion-MNIST: 60,000 + 10,000 grey 28×28 pieces of clothing."""
    clothes = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]
    return _mnist("FashionMNIST", root, download, [*clothes, "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"])


def _mnist(kind: str, root: Path, download: bool, classes: list[str]) -> Source:
    """Read a data set in the files of MNIST; torchvision, whose import takes as long as torch's, only fetches them."""
    raw = root / kind / "raw"
    halves = [[raw / f"{part}-{of}-ubyte" for of in ("images-idx3", "labels-idx1")] for part in ("train", "t10k")]
    if download and not all(path.is_file() for half in halves for path in half):
        return _torchvision(kind, root, download, f"{kind}/raw/*-ubyte")
    train, test = (_split(read_idx(images, 3)[:, None], read_idx(labels, 1)) for images, labels in halves)
    return Source(tuple(classes), train, test, tuple(sorted(raw.glob("*-ubyte"))))


@register_dataset("cifar10")
def cifar10(root: Path, *, download: bool) -> Source:
    """Read CIFAR-10: 50,000 + 10,000 colour 32×32 images, from the published batches if their MD5 is right."""
    return _torchvision("CIFAR10", root, download, "cifar-10-batches-py/*")


@register_dataset("cifar100")
def cifar100(root: Path, *, download: bool) -> Source:
    """Read CIFAR-100: 50,000 + 10,000 colour 32×32 images, from the published batches if their MD5 is right."""
    return _torchvision("CIFAR100", root, download, "cifar-100-python/*")


@register_dataset("svhn")
def svhn(root: Path, *, download: bool) -> Source:
    """Read SVHN: 73,257 + 26,032 colour 32×32 house numbers (``extra`` is not used)."""
    return _torchvision("SVHN", root, download, "*_32x32.mat")


@register_dataset("ham10000")
def ham10000(root: Path, *, download: bool) -> Source:
    """Read HAM10000: 10,015 dermatoscopic images, 7 classes; no lesion is in both splits. It cannot be downloaded."""
    return read_ham10000(root)


@register_dataset("arrays:")
def arrays(path: Path, *, download: bool) -> Source:
    """Read ``arrays:FILE.npz``: images, labels, and optionally split, ids and names of classes."""
    return read_arrays(path)


@register_dataset("table:")
def table(path: Path, *, download: bool, columns: Mapping[str, str] = MappingProxyType({})) -> Source:
    """Read ``table:FILE.csv`` or ``table:FILE.parquet``: a row per sample, image files or pixels, and attributes."""
    return read_table(path, columns)


@register_dataset("folder:")
def folder(path: Path, *, download: bool) -> Source:
    """Read ``folder:DIR``: a folder of images per class, optionally below ``train`` and ``test``."""
    return read_folder(path)
