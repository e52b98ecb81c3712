"""Checkpoints that mean harm: a whole one, changed."""

import json
import random
import struct
from hashlib import sha256

JUNK: list[object] = [
    None,
    True,
    0,
    -1,
    2**70,
    1e308,
    "",
    "x" * 2000,
    "../../etc/passwd",
    [],
    {},
    [[]],
    {"a": {}},
    "\ud800",
]
JUNK += ["evil.module:load", "os:system", "torchvision:evil", "timm:evil", "\x1b[31m", "torchvision:../../evil"]


def parts(whole: bytes) -> tuple[dict[str, object], bytes]:
    """Return header and data of a file that is whole."""
    (length,) = struct.unpack("<Q", whole[:8])
    header: dict[str, object] = json.loads(whole[8 : 8 + length])
    return header, whole[8 + length :]


def joined(header: object, data: bytes) -> bytes:
    """Return a file of a header, JSON or text, and data."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def flip(whole: bytes, draw: random.Random) -> bytes:
    """Flip up to eight bits, half of the time in the header."""
    content = bytearray(whole)
    end = len(content) if draw.random() < 0.5 else 8 + len(joined(parts(whole)[0], b""))
    for _ in range(draw.randint(1, 8)):
        content[draw.randrange(min(end, len(content)))] ^= 1 << draw.randrange(8)
    return bytes(content)


def cut(whole: bytes, draw: random.Random) -> bytes:
    """Cut it off, or put something after it."""
    return whole[: draw.randrange(len(whole))] if draw.random() < 0.7 else whole + draw.randbytes(draw.randint(1, 99))


def length(whole: bytes, draw: random.Random) -> bytes:
    """Say another length of the header."""
    number = draw.choice([0, 1, 2, 7, 2**31, 2**63, 2**64 - 1, len(whole), len(whole) - 8, draw.getrandbits(64)])
    return struct.pack("<Q", number) + whole[8:]


def header(whole: bytes, draw: random.Random) -> bytes:
    """Change names, shapes, types or offsets of a tensor."""
    entries, data = parts(whole)
    names = [name for name in entries if name != "__metadata__"]
    name, other = draw.sample(names, 2)
    entry = dict(entries[name])  # type: ignore[call-overload]
    kind = draw.randrange(7)
    if kind == 0:
        entries[draw.choice(["", "../" + name, "x" * 5000, name.upper(), "\u0000"])] = entries.pop(name)
    elif kind == 1:
        entry["shape"] = draw.choice([[], [-1], [2**40, 2**40], [0], entry["shape"][::-1], "x", [1.5], None])
    elif kind == 2:
        entry["dtype"] = draw.choice(["F64", "I64", "F8_E4M3", "BOOL", "x", 7, None])
    elif kind == 3:
        entry["data_offsets"] = dict(entries[other])["data_offsets"]  # type: ignore[call-overload]
    elif kind == 4:
        entry["data_offsets"] = draw.choice([[0, 2**63], [-1, 4], [4, 0], [0], [], "x", [0.5, 4.0], [0, len(data) + 1]])
    elif kind == 5:
        entries[f"{name}.more"] = entry
    else:
        del entries[name]
        entry = {}
    if entry and kind in {1, 2, 3, 4}:
        entries[name] = entry
    return joined(entries, data)


def doubled(whole: bytes, draw: random.Random) -> bytes:
    """Let a key stand twice in the header."""
    entries, data = parts(whole)
    name = draw.choice(list(entries))
    text = json.dumps(entries)
    return joined(f"{text[:-1]}, {json.dumps(name)}: {json.dumps(entries[draw.choice(list(entries))])}}}", data)


def record(whole: bytes, draw: random.Random) -> bytes:
    """Put junk in some place of the record."""
    entries, data = parts(whole)
    content = json.loads(dict(entries["__metadata__"])["forgetkit"])  # type: ignore[call-overload]
    place = content
    while True:
        key = draw.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if isinstance(place[key], dict | list) and place[key] and draw.random() < 0.7:
            place = place[key]
        else:
            place[key] = draw.choice(JUNK)
            break
    text = json.dumps(content)
    if draw.random() < 0.1:
        text = draw.choice([text[:-5], "[" * 100_000, "NaN", '{"version":1}', text.replace("1", "1e999", 1), ""])
    entries["__metadata__"] = {"format": "pt", "forgetkit": text}
    return joined(entries, data)


def numbers(whole: bytes, draw: random.Random) -> bytes:
    """Write NaN or infinity into the data."""
    at = len(whole) - 4 * draw.randint(1, 100)
    return whole[:at] + struct.pack("<f", draw.choice([float("nan"), float("inf"), -float("inf")])) + whole[at + 4 :]


def magic(whole: bytes, draw: random.Random) -> bytes:
    """Begin like another format."""
    begins = [
        b"PK\x03\x04",
        b"\x80\x02}q\x00.",
        b"GGUF\x03\x00\x00\x00",
        b"\x89PNG",
        b"\x1f\x8b",
        b"\x93NUMPY",
        b"{",
        b"",
    ]
    return draw.choice(begins) + draw.choice([whole[8:], draw.randbytes(200), b""])


def signed(whole: bytes, draw: random.Random) -> bytes:
    """Write NaN or infinity into the data, and the digest that fits."""
    entries, data = parts(numbers(whole, draw))
    content = json.loads(dict(entries["__metadata__"])["forgetkit"])  # type: ignore[call-overload]
    content["digest"] = digest_of(entries, data)
    entries["__metadata__"] = {"format": "pt", "forgetkit": json.dumps(content)}
    return joined(entries, data)


def digest_of(entries: dict[str, object], data: bytes) -> str:
    """Return a checkpoint's digest as docs/formats.md says it is made, from header and data alone."""
    total = sha256()
    for name in sorted(entries.keys() - {"__metadata__"}, key=str.encode):
        entry = dict(entries[name])  # type: ignore[call-overload]
        begin, end = entry["data_offsets"]
        total.update(json.dumps([name, entry["dtype"], entry["shape"]], separators=(",", ":")).encode() + b"\n")
        total.update(data[begin:end])
    return total.hexdigest()


def tensors(whole: bytes) -> dict[str, tuple[object, object, bytes]]:
    """Return dtype, shape and data of each tensor of a file that is whole."""
    entries, data = parts(whole)
    found = {}
    for name in entries.keys() - {"__metadata__"}:
        entry = dict(entries[name])  # type: ignore[call-overload]
        found[name] = (entry["dtype"], entry["shape"], data[slice(*entry["data_offsets"])])
    return found


CHANGES = (flip, cut, length, header, doubled, record, numbers, magic, record, signed)
"""The ways to change a checkpoint; a trial takes one by its number."""
