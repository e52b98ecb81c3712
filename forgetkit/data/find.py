"""Where a data set is, and whether it is the one that a checkpoint knows."""

import hashlib
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path

from forgetkit.console import compact_json
from forgetkit.data.dataset import Dataset, fingerprint_of
from forgetkit.data.sources import DATASETS, Source
from forgetkit.errors import ForgetkitError
from forgetkit.record import check_shape
from forgetkit.storage import publish_text


def default_root() -> Path:
    """Return where data sets are kept: ``FORGETKIT_DATA``, else the user's data folder."""
    if given := os.environ.get("FORGETKIT_DATA"):
        return Path(given)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "forgetkit"


def open_dataset(name: str, root: Path, *, download: bool = False) -> Dataset:
    """Read the data set ``name`` below ``root``.

    Raises:
        ForgetkitError: ``dataset-unknown``, ``dataset-missing`` or ``dataset-malformed``.
    """
    reader = DATASETS[name]
    try:
        source = reader(root, download=download)
    except FileNotFoundError as problem:
        hint = f"fetch it with --dataset {name} --download, or say where it is: --data-root DIR or FORGETKIT_DATA"
        raise ForgetkitError("dataset-missing", f"{name} is not in {root}", hint) from problem
    except (OSError, ValueError, EOFError, zlib.error) as problem:
        raise ForgetkitError("dataset-malformed", f"{name} in {root} cannot be read: {problem}") from problem
    fingerprint = _fingerprint(name, source)
    _remember({"seen": {fingerprint: str(root.absolute())}})
    return Dataset(name, source.classes, source.train, source.test, fingerprint, root=root)


def find_dataset(name: str, fingerprint: str, roots: list[Path], *, download: bool = False) -> Dataset:
    """Find the data set with this ``fingerprint`` in one of ``roots`` or where it was last seen.

    Raises:
        ForgetkitError: ``checkpoint-mismatch`` where only another data set of that name was found;
            else what :func:`open_dataset` raises for the first root.
    """
    seen = _cache().get("seen", {}).get(fingerprint)
    first: ForgetkitError | None = None
    other: Path | None = None
    for root in dict.fromkeys([*roots, *([Path(seen)] if seen else [])]):
        try:
            dataset = open_dataset(name, root, download=download and root == roots[0])
        except ForgetkitError as problem:
            first = first or problem
            continue
        if dataset.fingerprint == fingerprint:
            return dataset
        other = other or root
    if other is not None or first is None:
        message = f"{name} in {other} is not the data set that the checkpoint was trained on (its fingerprint differs)"
        raise ForgetkitError("checkpoint-mismatch", message, "say where the right one is: --data-root DIR")
    raise first


def _fingerprint(name: str, source: Source) -> str:
    """Return the fingerprint, from the cache while the files that were read are unchanged."""
    states = [
        (str(path.absolute()), (found := path.stat()).st_size, found.st_mtime_ns, found.st_ctime_ns)
        for path in source.files
    ]
    key = hashlib.sha256(compact_json([name, states]).encode()).hexdigest()
    known = _cache().get("fingerprints", {}).get(key) if states else None
    if known is None:
        known = fingerprint_of(source.classes, source.train, source.test)
        _remember({"fingerprints": {key: known}})
    return str(known)


def _cache_path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "forgetkit" / "datasets.json"


def _cache() -> dict[str, dict[str, str]]:
    with suppress(OSError, ValueError, TypeError, RecursionError):
        content = json.loads(_cache_path().read_text())
        check_shape(content, dict, "the cache")
        for part in content.values():
            check_shape(part, dict, "the cache")
            check_shape(list(part.values()), [str], "the cache")
        return dict(content)
    return {}


def _remember(news: dict[str, dict[str, str]]) -> None:
    """Add ``news`` to the cache; a cache that cannot be written is no error."""
    cache = _cache()
    merged = {part: {**cache.get(part, {}), **news.get(part, {})} for part in {*cache, *news}}
    if merged != cache:
        with suppress(ForgetkitError):
            publish_text(_cache_path(), compact_json(merged) + "\n")
