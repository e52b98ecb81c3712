"""Input that means harm: checkpoints, ID lists, tables, folders, policies."""

import gzip
import io
import json
import os
import random
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from forgetkit import cli
from tests.torture.trial import Tally, over, source, start, wait

BATCH = 100
"""Cases that one forked process tries."""
SLOWEST, LARGEST = 2.0, 1024
"""Seconds of a case, and MB that a process takes beyond what it began with (torch, above all)."""

Case = tuple[str, Callable[[], object], str]
"""A name, what writes the input, and the command that reads it."""


def tried(folder: Path, cases: Iterable[Case], *, names: str = "") -> Tally:
    """Try cases in forked processes: exit 2 with one ``error:`` line, or exit 0; no traceback, output, memory, delay.

    Args:
        folder: where.
        cases: a name, what writes the input, and the command that reads it.
        names: what each message must name, if anything.
    """
    tally, batch, listed = Tally(), list[Case](), list(cases)
    for number, case in enumerate(listed):
        if number % BATCH == 0 and number and over():
            break
        batch.append(case)
        if len(batch) == BATCH or number == len(listed) - 1:
            _try(folder, batch, tally, names)
            batch = []
    return tally


def _try(folder: Path, batch: list[Case], tally: Tally, names: str) -> None:
    def work() -> int:
        before, taken = set(os.listdir()), _memory()
        for name, write, command in batch:
            write()
            begun = time.process_time()
            os.truncate(2, 0)
            os.lseek(2, 0, os.SEEK_SET)
            code = cli.run(command.split())
            sys.stderr.flush()
            took, said = time.process_time() - begun, Path(".stderr").read_text(errors="replace")
            errors = [line for line in said.splitlines() if line.startswith("error:")]
            fault = ""
            if code not in {0, 2} or (code == 2 and len(errors) != 1) or "Traceback" in said:
                fault = f"exit {code}: {said}"
            elif took > SLOWEST:
                fault = f"{took:.1f} s"
            elif code == 2 and names and names not in errors[0]:
                fault = f"the message does not name {names}: {errors[0]}"
            elif new := {name for name in os.listdir() if not name.startswith("bad")} - before:
                fault = f"left {new}"
            with Path("../results").open("a") as stream:
                stream.write(json.dumps([name, code, fault]) + "\n")
        return 0 if _memory() - taken < LARGEST else 9

    inner, results = folder / "inner", folder / "results"
    results.unlink(missing_ok=True)
    inner.mkdir(exist_ok=True)
    for name in ("small.npz", "model.st", "ids.txt"):
        if not (inner / name).exists():
            (inner / name).write_bytes((folder / name).read_bytes())
    ended = wait(start(work, inner), inner, 0.0)
    found = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    for name, _, fault in found:
        tally.count(not fault, f"{name}: {fault}")
    tally.count(ended.code == 0 and len(found) == len(batch), f"{batch[len(found) - 1][0]}: ended {ended}")
    tally.trials -= 1
    results.unlink(missing_ok=True)


def _memory() -> int:
    """Return the most MB that this process took so far; in a fork, what it began with counts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def r6(folder: Path, trials: int) -> Tally:
    """Malformed checkpoints: refused, or loaded with the very tensors of the record."""
    whole, draw = (folder / "model.st").read_bytes(), source("R6")

    def case(number: int) -> Case:
        name, change = CHANGES[number % len(CHANGES)]
        content = change(whole, random.Random(draw.random()))
        command = "relabel bad.st -i ids.txt --rate 0.1 -n -q" if number % 3 else "inspect bad.st -q"
        return name, lambda: _put("bad.st", content), command

    (folder / "inner").mkdir(exist_ok=True)
    (folder / "inner" / "bad.st").touch()
    return tried(folder, (case(number) for number in range(trials)))


def _put(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)


def _header(whole: bytes) -> tuple[dict[str, object], bytes]:
    (length,) = struct.unpack("<Q", whole[:8])
    header: dict[str, object] = json.loads(whole[8 : 8 + length])
    return header, whole[8 + length :]


def _joined(header: object, data: bytes) -> bytes:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def flip(whole: bytes, draw: random.Random) -> bytes:
    """Flip up to eight bits, half of the time in the header."""
    content = bytearray(whole)
    end = len(content) if draw.random() < 0.5 else 8 + len(_joined(_header(whole)[0], b""))
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
    entries, data = _header(whole)
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
    return _joined(entries, data)


def doubled(whole: bytes, draw: random.Random) -> bytes:
    """Let a key stand twice in the header."""
    entries, data = _header(whole)
    name = draw.choice(list(entries))
    text = json.dumps(entries)
    return _joined(f"{text[:-1]}, {json.dumps(name)}: {json.dumps(entries[draw.choice(list(entries))])}}}", data)


def record(whole: bytes, draw: random.Random) -> bytes:
    """Put junk in some place of the record."""
    entries, data = _header(whole)
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
    return _joined(entries, data)


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
CHANGES = [(change.__name__, change) for change in (flip, cut, length, header, doubled, record, numbers, magic, record)]


def r7(folder: Path, trials: int) -> Tally:
    """Malformed ID lists; the message names the file, and the line where there is one."""
    draw = source("R7")

    def case(number: int) -> Case:
        own = random.Random(draw.random())
        name, content = malformed_list(own)
        command = f"forget-ids model.st --ids {name} --check -q"
        return name, lambda: _only(name, content), command

    return tried(folder, (case(number) for number in range(trials)), names="bad.")


def _only(name: str, content: bytes) -> None:
    for path in Path().glob("bad.*"):
        path.unlink()
    Path(name).write_bytes(content)


def malformed_list(draw: random.Random) -> tuple[str, bytes]:
    """Return name and content of an ID list with something wrong in it."""
    lines = [f"person-{draw.randrange(96):03}".encode() for _ in range(draw.randint(1, 30))]
    wrong = [
        b"\0",
        b"\xff\xfe",
        b"x" * draw.choice([1025, 1_000_000]),
        b"person-1",
        b"\xed\xa0\x80",
        b'"',
        b"a,b",
        b"{",
        b"=",
    ]
    wrong += [
        lines[0],
        "é\u202e".encode(),
        b"\x1b[31m",
        b"[1]",
        b"null",
        b'{"id": [1]}',
        b'{"id": 1e400}',
        b'{"ID": "x"}',
    ]
    lines.insert(draw.randint(0, len(lines)), draw.choice(wrong))
    content = draw.choice([b"\n", b"\r\n", b"\r", b"\n\n# x\n"]).join(lines) + draw.choice([b"\n", b""])
    suffix = draw.choice([".txt", ".csv", ".jsonl", ".txt", ".parquet"])
    if suffix == ".csv":
        content = draw.choice([b"id\n", b"", b"id,id\n", b"x,id\n1,", b'"id\n']) + content
    elif suffix == ".jsonl" and draw.random() < 0.7:
        content = b"\n".join(json.dumps({"id": line.decode("latin-1")}).encode() for line in lines)
    kind = draw.randrange(10)
    if kind == 0:
        content = b"\xef\xbb\xbf" + content
    elif kind == 1:
        packed = gzip.compress(content)
        content = packed[: draw.randrange(3, len(packed))]
    elif kind == 2:
        content = draw.choice([b"", b"\n\n", b"# nothing\n", b"\xef\xbb\xbf"])
    elif kind == 3:
        content = draw.randbytes(draw.randint(1, 500))
    elif kind == 4 and draw.random() < 0.02:
        content = gzip.compress(b"0" * 50_000_000)
    elif kind == 5:
        content = bytearray(content)  # type: ignore[assignment]
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)  # type: ignore[index]
        content = bytes(content)
    return f"bad{suffix}", content


def r8(folder: Path, trials: int) -> Tally:
    """Malformed tables, folders and policies; nothing outside their folder is opened."""
    secret = folder / "secret.png"
    secret.write_bytes(picture())
    opened = folder / "opened"
    opened.unlink(missing_ok=True)
    path = str(secret.resolve())

    def watch(event: str, given: tuple[object, ...]) -> None:
        if event == "open" and isinstance(given[0], str | bytes | os.PathLike):
            name = os.path.realpath(os.fspath(given[0]))
            if name == path:
                with open(os.open(opened, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a") as stream:
                    stream.write(event + "\n")

    hooked: list[int] = []

    def hook() -> None:
        if os.getpid() not in hooked:  # in the forked process alone: a hook cannot be taken away
            hooked.append(os.getpid())
            sys.addaudithook(watch)

    draw = source("R8")

    def case(number: int) -> Case:
        own = random.Random(draw.random())
        if number % 3 == 0:
            content = policy(own)
            command = "audit model.st --original model.st --ids ids.txt --policy bad.toml -n -q"
            return "policy", lambda: (hook(), _only("bad.toml", content))[1], command
        if number % 3 == 1:
            return "table", lambda: (hook(), _table(own, path))[1], "train --dataset table:bad.csv -n -q -o new.st"
        return "folder", lambda: (hook(), _folder(own, path))[1], "train --dataset folder:bad -n -q -o new.st"

    tally = tried(folder, (case(number) for number in range(trials)))
    tally.count(not opened.exists(), "a file outside was opened")
    tally.trials -= 1
    return tally


def picture(side: int = 8) -> bytes:
    """Return a grey PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (side, side), 7).save(stream, "PNG")
    return stream.getvalue()


def bomb() -> bytes:
    """Return a PNG that says it is 60,000 pixels wide and high."""
    content = bytearray(picture())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    return bytes(content)


def broken_picture(draw: random.Random) -> bytes:
    """Return an image file with something wrong in it, or nothing."""
    content = bytearray(picture())
    for _ in range(draw.randint(0, 4)):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return draw.choice(
        [bytes(content), bomb(), bytes(content[: draw.randrange(len(content))]), b"", b"GIF89a", picture(9)]
    )


def _table(draw: random.Random, secret: str) -> None:
    _clean()
    Path("bad").mkdir()
    for number in range(4):
        Path(f"bad/{number}.png").write_bytes(picture())
    if draw.random() < 0.5:
        Path("bad/1.png").write_bytes(broken_picture(draw))
    if draw.random() < 0.3:
        Path("bad/2.png").unlink()
        Path("bad/2.png").symlink_to(secret)
    rows = [
        [str(number), f"bad/{number}.png", "ab"[number % 2], "train" if number < 3 else "test"] for number in range(4)
    ]
    wrong = [
        "",
        secret,
        "../secret.png",
        "bad/../../secret.png",
        "bad/\0.png",
        "bad",
        "/dev/zero",
        "x" * 300,
        "é",
        "0",
        "a",
    ]
    for _ in range(draw.randint(0, 2)):
        rows[draw.randrange(4)][draw.randrange(4)] = draw.choice(wrong)
    head = draw.choice(["id,image,label,split"] * 6 + ["id,image,label,label", "image,label", "", "id,image"])
    text = "\n".join([head, *(",".join(row) for row in rows)]) + "\n"
    if draw.random() < 0.2:
        text = text[: draw.randrange(len(text))] + draw.choice(['"', "\0", ",,,,", "\r"])
    Path("bad.csv").write_text(text)


def _folder(draw: random.Random, secret: str) -> None:
    _clean()
    for label in ("a", "b"):
        Path("bad", label).mkdir(parents=True)
        for number in range(3):
            Path("bad", label, f"{number}.png").write_bytes(picture())
    kind, path = draw.randrange(6), Path("bad/a/1.png")
    if kind == 0:
        path.write_bytes(broken_picture(draw))
    elif kind == 1:
        path.unlink()
        path.symlink_to(secret)
    elif kind == 2:
        Path("bad/c").symlink_to(Path(secret).parent)
    elif kind == 3:
        path.unlink()
        path.symlink_to("1.png")
    elif kind == 4:
        path.unlink()
        os.mkfifo(path)
    else:
        Path(draw.choice(["bad/test", "bad/é\n", "bad/c"])).mkdir()


def _clean() -> None:
    for path in sorted(Path().glob("bad*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            for inner in sorted(path.rglob("*"), reverse=True):
                inner.rmdir() if inner.is_dir() and not inner.is_symlink() else inner.unlink()
            path.rmdir()
        else:
            path.unlink()


def policy(draw: random.Random) -> bytes:
    """Return a policy with something wrong in it, or nothing."""
    lines = ["criterion = 'retrain'", "level = 0.05", "utility_margin = 0.02", "membership_margin = 0.1"]
    wrong = ["level = 'x'", "level = nan", "level = 1e999", "[a", "evil = 1", "level = 0.05\nlevel = 0.1", "level = -1"]
    wrong += ["criterion = 'x'", "\0", "criterion = []", "include = '../secret.png'", "level = 0.05" + "0" * 10_000]
    lines[draw.randrange(4)] = draw.choice(wrong)
    content = "\n".join(lines).encode()
    return draw.choice([content, content, b"\xff" + content, draw.randbytes(50), b""])
