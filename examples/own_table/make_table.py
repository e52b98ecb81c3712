"""Write a small table of real images: python make_table.py [FOLDER].

The images are scikit-learn's digits, 1,797 scans of 8×8 pixels, as PNG files. Their writers are not published, so the
column ``user`` is invented: a hash gives each of five users about a fifth of the images. ``split`` is that of
``--dataset digits``: 500 images are for testing.
"""

import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

USERS = ("alice", "bob", "carol", "dave", "erin")


def main(folder: Path) -> None:
    """Write ``digits.csv`` and the images that it names."""
    digits = load_digits()
    order = np.random.RandomState(0).permutation(len(digits.target))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "digits.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["id", "path", "label", "split", "user"])
        for row, scan in enumerate(order):
            id_ = f"scan-{scan:04}"
            pixels = (digits.images[scan] * 15).astype(np.uint8)  # 0 to 16 becomes 0 to 240
            Image.fromarray(pixels).save(folder / "images" / f"{id_}.png")
            user = USERS[hashlib.sha256(id_.encode()).digest()[0] % len(USERS)]
            split = "train" if row < 1297 else "test"
            table.writerow([id_, f"images/{id_}.png", digits.target[scan], split, user])


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
