"""Write the table of docs/tutorial.md: python make_scans.py [FOLDER].

The images are MNIST's, read from the folder FORGETKIT_DATA in torchvision's layout. Of the 539 people who wrote its
training digits, 25 are the customers here, `w2195` to `w2219`, with all their digits; the last 4,000 test digits, by
other people, are unseen. The writers come from MNIST/writers.csv (columns `id`, the row, and `writer`), or otherwise
from the labels of QMNIST, as NIST published them, which torchvision downloads.

``scans.csv`` is the data set, ``writers.csv`` names the writer of each scan. One scan of w2206 occurs a second time,
under another id and without a writer, as in real archives.
"""

import csv
import os
import sys
from pathlib import Path

from PIL import Image
from torchvision.datasets import MNIST, QMNIST

CUSTOMERS = {f"w{number}" for number in range(2195, 2220)}
COPIED = "w2206"
UNSEEN = 4_000


def main(folder: Path, root: Path) -> None:
    """Write the images and both tables."""
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    if not (root / "MNIST").exists():
        print(f"downloading MNIST and the names of its writers into {root}, about 100 MB", file=sys.stderr)
    train, test = MNIST(root, train=True, download=True), MNIST(root, train=False, download=True)
    chosen = [(row, writer) for row, writer in enumerate(writers(root)) if writer in CUSTOMERS]
    rows = [(f"scan-{row:05}", train, row, "train") for row, _ in chosen]
    owners = [(f"scan-{row:05}", writer) for row, writer in chosen]
    first = next(row for row, writer in chosen if writer == COPIED)
    rows.append(("scan-99999", train, first, "train"))
    rows += [(f"test-{row:05}", test, row, "test") for row in range(len(test) - UNSEEN, len(test))]
    lines = [(id_, f"scans/{id_}.png", int(digits.targets[row]), split) for id_, digits, row, split in rows]
    for id_, digits, row, _ in rows:
        Image.fromarray(digits.data[row].numpy()).save(folder / "scans" / f"{id_}.png")
    write(folder / "scans.csv", [("id", "path", "label", "split"), *lines])
    write(folder / "writers.csv", [("id", "writer"), *owners])


def writers(root: Path) -> list[str]:
    """Return the writer of each training digit, in MNIST's order."""
    table = root / "MNIST" / "writers.csv"
    if table.exists():
        with table.open(encoding="utf-8") as stream:
            return [row["writer"] for row in csv.DictReader(stream)]
    labels = QMNIST(root, what="train", compat=False, download=True).targets
    return [f"w{int(row[2]):04}" for row in labels]


def write(path: Path, rows: list[tuple[object, ...]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."), Path(os.environ.get("FORGETKIT_DATA", "data")))
