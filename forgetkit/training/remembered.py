"""What a model showed on the unseen samples, left by one command for the next.

A step measures its input as the step before measured its output: the same weights on the same samples. In a stream of
requests on few ids this takes longer than all else. What was measured is kept in the cache under a digest of everything
that it depends on, to the last bit; where that is not known for sure, nothing is kept.
"""

import hashlib
import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from forgetkit.data.cache import cache_folder, keep_array, load_array
from forgetkit.data.dataset import Dataset
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.record import Record
from forgetkit.models.build import MODELS
from forgetkit.training.device import Machine
from forgetkit.training.evaluate import OnUnseen
from forgetkit.training.outputs import software

KEPT = 64
"""Measurements that are kept, the latest ones."""
LIBRARIES = ("numpy", "torchvision", "timm")
"""What arithmetic or models depend on besides what a record names."""
SETTINGS = ("ATEN_", "DNNL_", "KMP_", "MKL_", "OMP_", "ONEDNN_", "OPENBLAS_", "TORCH_")
"""Beginnings of environment variables that choose kernels."""


def recall_unseen(record: Record, dataset: Dataset, machine: Machine) -> OnUnseen | None:
    """Return what the model of ``record`` showed on the unseen split when it was last measured, or None."""
    path = _path(record, dataset, machine)
    found = load_array(path) if path else None
    labels, rows = dataset.test.labels, dataset.tune_rows
    size = len(labels) + len(rows)
    if found is None or found.dtype != np.float64 or found.shape != (size,) or not np.isfinite(found).all():
        return None
    right, scores = found[: len(labels)] > 0, found[len(labels) :]
    return OnUnseen(*map(torch.from_numpy, (right, labels, rows, scores)))


def keep_unseen(record: Record, dataset: Dataset, machine: Machine, measured: OnUnseen) -> None:
    """Keep what was measured of the model of ``record``, if possible, and remove what was kept long ago."""
    path = _path(record, dataset, machine)
    if path is None or len(measured.scores) != len(measured.labels):
        return
    keep_array(path, np.concatenate([measured.right.double().numpy(), measured.scores.numpy()]))
    with suppress(OSError):
        kept = sorted(path.parent.glob("*.npy"), key=lambda one: one.stat().st_mtime_ns)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)


def _path(record: Record, dataset: Dataset, machine: Machine) -> Path | None:
    """Return where a measurement is kept, by all that it depends on; None where that is not known.

    The code of a model that a plugin registers is not; a GPU measures faster than a file is read.
    """
    processor = getattr(torch.cpu, "get_capabilities", None)
    name = record.model["name"]
    built_in = ":" in name or (name in MODELS and MODELS[name].__module__.startswith("forgetkit."))
    if machine.device != "cpu" or processor is None or not built_in:
        return None
    of_model = [record.digest, record.model, record.input, record.classes]
    of_machine = [machine.options(), dict(processor()), torch.backends.cpu.get_cpu_capability()]
    chosen = {key: value for key, value in os.environ.items() if key.startswith(SETTINGS)}
    versions = [software(), [_version(library) for library in LIBRARIES]]
    said = compact_json([*of_model, dataset.fingerprint, *of_machine, chosen, *versions])
    return cache_folder() / "unseen" / f"{hashlib.sha256(said.encode()).hexdigest()}.npy"


def _version(library: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(library)
    return None
