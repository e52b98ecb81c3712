"""ID lists that mean harm, and the line that a message about one must name."""

import gzip
import json
import random
from dataclasses import dataclass

SEPARATORS = {b"\n": 1, b"\r\n": 1, b"\n\n# x\n": 3}
"""What may stand between two ids, and how many lines it ends."""
LOUD = (b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[31m")
"""What is refused before a list is taken apart: no UTF-8, or control characters."""
UNKNOWN = (b"person-1", b'"', b"a,b", b"{", b"=", "é\u202e".encode(), b"[1]", b"null", b'{"id": [1]}')
UNKNOWN += (b'{"id": 1e400}', b'{"ID": "x"}', b"x" * 1025, b"x" * 1_000_000)


@dataclass(frozen=True)
class Malformed:
    """An ID list; ``line`` is the one that the message must name, None where that does not follow from its making."""

    name: str
    content: bytes
    line: int | None = None


def malformed(draw: random.Random) -> Malformed:
    """Return an ID list with something wrong in it."""
    lines = [f"person-{draw.randrange(96):03}".encode() for _ in range(draw.randint(1, 30))]
    wrong, at = draw.choice([*LOUD, *UNKNOWN, lines[0]]), draw.randint(0, len(lines))
    lines.insert(at, wrong)
    between = draw.choice([*SEPARATORS, b"\r"])
    form = draw.choice([text, table, objects, text, parquet])
    found = form(lines, between, at, draw)
    if wrong in lines[:at] + lines[at + 1 :]:  # a duplicate is only a warning
        found = Malformed(found.name, found.content)
    kind = draw.randrange(10)
    if kind < 6:
        return damaged(found, kind, draw)
    return found


def text(lines: list[bytes], between: bytes, at: int, draw: random.Random) -> Malformed:
    """Return a plain list; an old Mac's line ends are control characters of the first line."""
    content = between.join(lines) + draw.choice([b"\n", b""])
    return Malformed("bad.txt", content, at * SEPARATORS[between] + 1 if between in SEPARATORS else 1)


def table(lines: list[bytes], between: bytes, at: int, draw: random.Random) -> Malformed:
    """Return a CSV table, perhaps without a column ``id`` or with a quote that nothing ends."""
    head = draw.choice([b"id\n", b"", b"id,id\n", b"x,id\n1,", b'"id\n'])
    content = head + between.join(lines) + draw.choice([b"\n", b""])
    plain = head == b"id\n" and between in (b"\n", b"\r\n") and lines[at] != b'"'
    return Malformed("bad.csv", content, at + 2 if plain else None)


def objects(lines: list[bytes], between: bytes, at: int, draw: random.Random) -> Malformed:
    """Return JSON lines, or what is none under that name."""
    if draw.random() < 0.3:
        line = at * SEPARATORS[between] + 1 if between in SEPARATORS and lines[at] in LOUD else 1
        return Malformed("bad.jsonl", between.join(lines), line)
    content = b"\n".join(json.dumps({"id": line.decode("latin-1")}).encode() for line in lines)
    return Malformed("bad.jsonl", content, at + 1)


def parquet(lines: list[bytes], between: bytes, at: int, draw: random.Random) -> Malformed:
    """Return what is no parquet file under that name."""
    return Malformed("bad.parquet", between.join(lines))


def damaged(found: Malformed, kind: int, draw: random.Random) -> Malformed:
    """Return the list with a byte order mark, or cut, emptied, replaced, blown up, or with a bit flipped."""
    content = found.content
    if kind == 0 and found.name != "bad.parquet":
        return Malformed(found.name, b"\xef\xbb\xbf" + content, found.line)
    if kind == 1:
        packed = gzip.compress(content)
        content = packed[: draw.randrange(3, len(packed))]
    elif kind == 2:
        content = draw.choice([b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbf"])
    elif kind == 3:
        content = draw.randbytes(draw.randint(1, 500))
    elif kind == 4:
        if draw.random() >= 0.02:
            return found
        content = gzip.compress(b"0" * 50_000_000)
    elif kind == 5:
        changed = bytearray(content)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        content = bytes(changed)
    return Malformed(found.name, content)
