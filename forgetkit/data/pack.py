"""Images decoded once, into a file of the cache that later commands map into memory.

A pack is an ``.npy`` file, uint8 of shape ``(rows, channels, height, width)``, training split first, and beside it a
note, a ``.json`` file that describes it. There is one pack for each place of a data set: when the data change, the next
command replaces it, so that deleted images do not survive here. A pack is valid while name, size and times of all files
of the data are unchanged, and its own size and times or else its checksum.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.cache import cache_folder, load_array, states
from forgetkit.data.listing import Listing, Stored
from forgetkit.data.readers.images import Shape, read_images, shape_of
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell, progress
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.publish import claimed, publish, publish_text
from forgetkit.files.record import check_shape

Images = NDArray[np.uint8]
PACK, NOTE = ".npy", ".json"


@dataclass(frozen=True)
class Origin:
    """What the note of a pack says.

    Attributes:
        name: of the data set, as for ``--dataset``.
        root: folder of the data set.
        options: settings needed to read the data set.
        key: digest over name, size and times of all its files.
        shape: rows, channels, height, width.
        sha256: of the pack, in hex.
        state: size and times of the pack.
    """

    name: str
    root: str
    options: Mapping[str, Any]
    key: str
    shape: list[int]
    sha256: str = ""
    state: str = ""


def packs_folder() -> Path:
    """Return the folder of all packs."""
    return cache_folder() / "packs"


def pack_path(place: Path, key: str) -> Path:
    """Return the path of the pack for data in ``place`` whose files have the digest ``key``."""
    name = hashlib.sha256(os.fsencode(place.absolute())).hexdigest()[:16]
    return packs_folder() / f"{name}-{key[:16]}{PACK}"


def packed(samples: Listing | Stored, place: Path, note: Origin, tell: Tell) -> tuple[Images, bool]:
    """Return the images of a data set, and whether this call decoded them.

    Args:
        samples: image files that :func:`forgetkit.data.readers.images.check_files` accepted, or rows of an array.
        place: path of the data set.
        note: of its pack, without shape, checksum and state.
        tell: told the progress.

    Raises:
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    path = pack_path(place, note.key)
    images = sound(path, note.key)
    if images is not None and len(images) == len(samples):
        return images, False
    return _made(path, samples, note, tell), True


def sound(path: Path, key: str) -> Images | None:
    """Return the images of a pack, mapped into memory; None unless it is what its note says."""
    note = read_note(path)
    images = load_array(path, mapped=True) if note and note.key == key else None
    if note is None or images is None or images.dtype != np.uint8 or list(images.shape) != note.shape:
        return None
    with suppress(OSError):
        if note.state == state_of(path):
            return images
        if note.sha256 == checksum(path):
            _write_note(path, note)
            return images
    return None


def read_note(path: Path) -> Origin | None:
    """Return the note of a pack, or None where it cannot be read."""
    with suppress(OSError, ValueError, TypeError, RecursionError):
        content = json.loads(path.with_suffix(NOTE).read_text())
        texts = dict.fromkeys(("name", "root", "key", "sha256", "state"), str)
        check_shape(content, {**texts, "options": dict, "shape": [int]}, "the note")
        return Origin(**content)
    return None


def state_of(path: Path) -> str:
    """Return size and times of a pack; raises OSError where there is none."""
    return compact_json(states([path])[0][1:])


def files_in(folder: Path) -> list[Path]:
    """Return all files in the folder of packs, sorted; none where it cannot be read."""
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def stem_of(file: Path) -> str:
    """Return the stem of the pack that a file belongs to: the pack, its note, its lock, or an unfinished pack."""
    return file.name.lstrip(".").partition(".")[0]


def _write_note(path: Path, note: Origin) -> None:
    """Write the note of a pack, if possible; without a note, the pack is made again."""
    with suppress(OSError, ForgetkitError):
        content = {**asdict(note), "state": state_of(path) if path.exists() else ""}
        publish_text(path.with_suffix(NOTE), json.dumps(content, sort_keys=True) + "\n")


def _made(path: Path, samples: Listing | Stored, note: Origin, tell: Tell) -> Images:
    """Decode the images; return them mapped from the new pack, or in memory if no pack can be written.

    Raises:
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    shape = samples.shape if isinstance(samples, Stored) else shape_of(samples)
    note = replace(note, shape=[len(samples), *shape])
    waiting = Note(f"another process is writing {path.name}: waiting for it")
    try:
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with claimed((path,), force=True, wait=lambda: tell(waiting)):
            if (images := sound(path, note.key)) is not None:  # another process made it while this one waited
                return images
            _write_note(path, note)
            _write_note(path, replace(note, sha256=_write(path, samples, note, tell)))
    except ForgetkitError as problem:
        with suppress(OSError):
            path.with_suffix(NOTE).unlink()
        if problem.code not in {"out-of-space", "output-unwritable"}:
            raise
        return _in_memory(samples, shape)
    for old in files_in(path.parent):
        if stem_of(old) != path.stem and stem_of(old).partition("-")[0] == path.stem.partition("-")[0]:
            with suppress(OSError):
                old.unlink()
    mapped = sound(path, note.key)
    return _in_memory(samples, shape) if mapped is None else mapped


def _write(path: Path, samples: Listing | Stored, note: Origin, tell: Tell) -> str:
    """Write a pack, whole or not at all; return its SHA-256.

    Raises:
        ForgetkitError: as :func:`forgetkit.files.publish.publish`, and ``dataset-malformed``.
    """
    digest = hashlib.sha256()
    label = f"reading the images of {note.name}"

    def write(temporary: Path) -> None:
        """Write header and images, and take their digest."""
        header = io.BytesIO()
        form = {"descr": "|u1", "fortran_order": False, "shape": tuple(note.shape)}
        np.lib.format.write_array_header_1_0(header, form)
        rows = (image.tobytes() for image in progress(_decoded(samples), label, len(samples), tell))
        with temporary.open("wb") as stream:  # not a memory map: there, a full disk kills the process
            for content in chain([header.getvalue()], rows):
                stream.write(content)
                digest.update(content)

    publish(path, write)
    return digest.hexdigest()


def _decoded(samples: Listing | Stored) -> Iterator[Images]:
    return samples.decode(samples.rows) if isinstance(samples, Stored) else read_images(samples)


def _in_memory(samples: Listing | Stored, shape: Shape) -> Images:
    images = np.empty((len(samples), *shape), np.uint8)
    for row, image in enumerate(_decoded(samples)):
        images[row] = image
    return images


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file; raises OSError where it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
