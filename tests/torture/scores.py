"""Tables of scores that mean harm."""

import io
import random
import zipfile
from typing import Any

import numpy as np

GROUPS = ("forget", "retain", "unseen")
ODD: tuple[str, ...] = ("", "nan", "inf", "-1", "1e999", "x", "0.5", "9" * 400, "\x1b[31m", "é", '"', "#", "\u2028")


def scores(draw: random.Random) -> tuple[bytes, str]:
    """Return the content of a table that is wrong somewhere, and the name of its file."""
    if draw.random() < 0.5:
        return _csv(draw), "bad.csv"
    return _damaged(draw, _arrays(draw)), "bad.npz"


def _csv(draw: random.Random) -> bytes:
    count, classes = draw.randrange(1, 40), draw.randrange(1, 5)
    kind = draw.choice(["logit", "probability"])
    header = ["id", "label", "group", *(f"{kind}_{number}" for number in range(classes))]
    rows = [[f"s{row}", row % classes, GROUPS[row % 3], *([0.1] * classes)] for row in range(count)]
    table = [header, *(list(map(str, row)) for row in rows)]
    for _ in range(draw.randrange(1, 4)):
        row = draw.choice(table)
        change = draw.randrange(4)
        if change == 0 and row:
            row[draw.randrange(len(row))] = draw.choice(ODD)
        elif change == 1 and row:
            row.pop(draw.randrange(len(row)))
        elif change == 2:
            row.append(draw.choice(ODD))
        else:
            table.append(list(draw.choice(table)))
    mark = draw.choice([",", ",", ";", "\t"])
    return _damaged(draw, "\n".join(mark.join(row) for row in table).encode())


def _arrays(draw: random.Random) -> bytes:
    count = draw.randrange(0, 30)
    arrays: dict[str, Any] = {
        "id": np.arange(count),
        "label": np.zeros(count, dtype=np.int64),
        "group": np.array([GROUPS[row % 3] for row in range(count)], dtype=np.str_),
        "logits": np.zeros((count, 3), dtype=np.float32),
    }
    for _ in range(draw.randrange(1, 3)):
        name = draw.choice([*arrays, "owner", "saw", "model", "classes", "probabilities"])
        shape = draw.choice([(), (0,), (count,), (count, 3), (3, count), (2, 2, 2)])
        kind = draw.choice(["f8", "i8", "U3", "S2", "c16", "?", "M8[s]", "u1", "f2"])
        arrays[name] = np.zeros(shape, dtype=kind)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    if draw.random() < 0.1:  # a header that promises more than there is
        with zipfile.ZipFile(stream, "a") as archive:
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "<f4", "fortran_order": False, "shape": (1 << draw.randrange(20, 50), 3)}
            )
            archive.writestr("forgot.npy", header.getvalue())
    return stream.getvalue()


def _damaged(draw: random.Random, content: bytes) -> bytes:
    """Return the content, in one case of three with bytes changed or cut off."""
    if draw.random() < 2 / 3:
        return content
    damaged = bytearray(content)
    for _ in range(draw.randrange(1, 6)):
        if damaged:
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    return bytes(damaged[: draw.randrange(len(damaged) + 1)] if draw.random() < 0.3 else damaged)
