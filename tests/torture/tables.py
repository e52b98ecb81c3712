"""Tables, attributes, folders of images and policies that mean harm."""

import io
import os
import random
import struct
from pathlib import Path

SPLITS = ("train", "Train", "training", "test", "Testing", "val", "valid", "validation", "fold1", "a", "é")
"""Names of a folder's upper level: some are splits."""


def picture(side: int = 8, grey: int = 7) -> bytes:
    """Return a grey PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.new("L", (side, side), grey).save(stream, "PNG")
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


def table(draw: random.Random, secret: str) -> None:
    _clean()
    Path("bad").mkdir()
    for number in range(4):
        Path(f"bad/{number}.png").write_bytes(picture(grey=number))
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


def folder(draw: random.Random, secret: str) -> None:
    _clean()
    upper = draw.sample(SPLITS, draw.randint(1, 3)) if draw.random() < 0.5 else [""]
    for place, (part, label) in enumerate((part, label) for part in upper for label in ("a", "b")):
        Path("bad", part, label).mkdir(parents=True)
        for number in range(3):
            Path("bad", part, label, f"{number}.png").write_bytes(picture(grey=3 * place + number))
    kind, path = draw.randrange(6), Path("bad", upper[0], "a/1.png")
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
        Path(draw.choice(["bad/test", "bad/é\n", "bad/c"])).mkdir(exist_ok=True)


def attributes(draw: random.Random) -> bytes:
    """Return a table of attributes of ``model.st``'s ids with something wrong in it, or nothing."""
    between = draw.choice(",;\t|")
    rows = [["id", "person"], *([str(number), f"p{number % 3}"] for number in range(9))]
    wrong = ["", "nan", " 3", "p1 ", "\0", '"', "99999", "x" * 200_000, "é", "1", "p0,p1", "\u200b", "p\x1b[31m"]
    for _ in range(draw.randint(0, 3)):
        rows[draw.randrange(10)][draw.randrange(2)] = draw.choice(wrong)
    if draw.random() < 0.3:
        rows[draw.randrange(10)].append("more")
    text = draw.choice(["\n", "\r\n", "\r"]).join(between.join(row) for row in rows)
    content = text.encode(draw.choice(["utf-8"] * 4 + ["utf-8-sig", "utf-16", "cp1252"]), "replace")
    return content[: draw.randrange(len(content))] if draw.random() < 0.2 else content


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
