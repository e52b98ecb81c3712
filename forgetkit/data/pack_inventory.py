"""The packs in the cache: their data, whether they are intact, and whether the data have changed."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetkit.data.cache import recall
from forgetkit.data.open import find_source
from forgetkit.data.pack import PACK, Origin, checksum, files_in, packs_folder, read_note, stem_of
from forgetkit.errors import ForgetkitError

UNCHANGED, CHANGED, GONE, UNKNOWN = "unchanged", "changed", "gone", "unknown"
INTACT, DAMAGED, UNFINISHED = "intact", "damaged", "unfinished"


@dataclass(frozen=True)
class Kept:
    """A pack and the files that belong to it.

    Attributes:
        path: of the pack, also if it is unfinished.
        files: that exist: pack, note, lock, unfinished pack.
        note: of the pack; None where it cannot be read.
    """

    path: Path
    files: list[Path]
    note: Origin | None

    @property
    def bytes(self) -> int:
        """Size of all files in bytes."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    def remove(self) -> None:
        """Remove all files.

        Raises:
            ForgetkitError: ``output-unwritable``.
        """
        try:
            for file in self.files:
                file.unlink(missing_ok=True)
        except OSError as problem:
            raise ForgetkitError("output-unwritable", f"{problem.filename}: {problem.strerror}") from problem


def kept_packs() -> list[Kept]:
    """Return every pack, finished or not, in the order of the names of the data sets."""
    by_stem: dict[str, list[Path]] = {}
    for file in files_in(packs_folder()):
        by_stem.setdefault(stem_of(file), []).append(file)
    found = []
    for stem, files in by_stem.items():
        path = packs_folder() / f"{stem}{PACK}"
        found.append(Kept(path, files, read_note(path)))
    return sorted(found, key=lambda kept: (kept.note.name if kept.note else "", kept.path))


def condition_of(kept: Kept) -> str:
    """Say whether a pack has its checksum."""
    if not kept.path.exists():
        return UNFINISHED
    with suppress(OSError):
        if kept.note and checksum(kept.path) == kept.note.sha256:
            return INTACT
    return DAMAGED


def source_of(kept: Kept) -> str:
    """Say whether the files from which a pack was made have changed; no image is read."""
    note = kept.note
    if note is None:
        return UNKNOWN
    kind, colon, file = note.name.partition(":")
    name = f"{kind}:{Path(note.root) / file}" if colon else note.name
    try:
        unseen, columns, size = (note.options.get(key) for key in ("unseen", "columns", "image_size"))
        _, now, _ = find_source(name, Path(note.root), unseen=unseen, columns=columns or {}, image_size=size)
    except ForgetkitError as problem:
        return {"dataset-missing": GONE, "dataset-unknown": UNKNOWN}.get(problem.code, CHANGED)
    return UNCHANGED if now.key == note.key else CHANGED


def entries(packs: list[Kept]) -> Iterator[dict[str, Any]]:
    """Yield a description of each pack, as JSON values."""
    fingerprints = recall().get("fingerprints", {})
    for kept in packs:
        note = kept.note
        yield {
            "name": note and note.name,
            "place": note and note.root,
            "samples": note and note.shape[0],
            "shape": note and note.shape[1:],
            "bytes": kept.bytes,
            "fingerprint": note and fingerprints.get(note.key),
            "checksum": condition_of(kept),
            "source": source_of(kept),
            "path": str(kept.path),
        }
