"""The check without statistics: finite weights, the record, the lineage, copies of forgotten images."""

import numpy as np
from numpy.typing import NDArray

from forgetkit.auditing.check import Check
from forgetkit.auditing.subject import descends
from forgetkit.files.record import Record

FROM_SCRATCH = "trained from scratch without these ids, by its record"


def integrity(
    record: Record, original: Record | None, *, named: bool, broken: str | None, duplicates: int, copied: int = 0
) -> Check:
    """Check weights, record and lineage.

    Args:
        record: of the model under audit.
        original: of the original, if it was given.
        named: whether the record names every id in question as forgotten.
        broken: name of a tensor that is not finite, if any.
        duplicates: number of retained samples that equal a forgotten image.
        copied: number of unseen samples that equal a training image, by which nothing is judged.
    """
    faults = []
    if broken:
        faults.append(f"'{broken}' contains NaN or infinity")
    if not named:
        faults.append("the record does not name these ids as forgotten")
    if original is not None and record.digest == original.digest:
        faults.append("the weights are the original's, bit for bit")
    elif original is not None and not descends(record, original):
        faults.append("the record does not lead back to the original, nor to a training by its recipe")
    if duplicates:
        faults.append(f"{duplicates} retained samples are exact copies of forgotten images")
    last = record.steps[-1] if record.steps else None
    scratch = last is not None and last.command == "train" and last.parent is None
    note = "; ".join(faults) or (FROM_SCRATCH if scratch else "weights, record and lineage are in order")
    if copied:
        note += f"; {copied} unseen samples are exact copies of training images and were left out"
    return Check("integrity", "fail" if faults else "pass", note, gating=True)


def copies(forget: NDArray[np.uint8], retain: NDArray[np.uint8]) -> int:
    """Count the images of ``retain`` that equal one of ``forget``, byte for byte."""
    if len(forget) == 0 or len(retain) == 0:
        return 0
    keys = [_hashes(images) for images in (forget, retain)]
    maybe = np.flatnonzero(np.isin(keys[1], keys[0]))
    known = {image.tobytes() for image in forget[np.isin(keys[0], keys[1])]}
    return sum(retain[row].tobytes() in known for row in maybe)


def _hashes(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return a 64-bit linear hash of each image; equal images have equal hashes."""
    flat = images.reshape(len(images), -1)
    weights = np.random.RandomState(0).randint(-(2**62), 2**62, size=flat.shape[1], dtype=np.int64)
    parts = [(flat[start : start + 4096].astype(np.int64) * weights).sum(1) for start in range(0, len(flat), 4096)]
    return np.concatenate(parts)
