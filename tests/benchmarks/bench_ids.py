"""Time reading, checking, drawing from and sorting an ID list, against the plain Python that a user would write.

usage: python tests/benchmarks/bench_ids.py [IDS]     (a million if not given)
Prints the seconds of both, the best of three, and their ratio. Both must agree on the ids.
"""

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from forgetkit.files.id_list import check_known, draw, read_ids


def forgetkit_way(path: str, known: dict[str, int], count: int) -> list[str]:
    """Read, check, draw and sort as the commands do."""
    found = read_ids(path)
    check_known(found, known, "benchmark")
    return sorted(draw(found.ids, count, 0))


def plain_way(path: str, known: dict[str, int], count: int) -> list[str]:
    """Do the same without line numbers, messages or formats."""
    with open(path, encoding="utf-8") as stream:
        ids = list(dict.fromkeys(line.strip() for line in stream if line.strip() and not line.startswith("#")))
    if not known.keys() >= set(ids):
        raise SystemExit("unknown ids")
    return sorted(sorted(ids, key=lambda id_: hashlib.blake2b(id_.encode(), digest_size=16, key=b"0").digest())[:count])


def best(work: Callable[[], list[str]]) -> tuple[float, list[str]]:
    """Return the least seconds of three runs, and the result."""
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds), result


def main(size: int) -> None:
    """Write a list of ``size`` ids and time both ways on it."""
    known = {str(row): row for row in range(size)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "ids.txt")
        Path(path).write_text("".join(f"{id_}\n" for id_ in known))
        ours, found = best(lambda: forgetkit_way(path, known, size // 20))
        plain, expected = best(lambda: plain_way(path, known, size // 20))
    if found != expected:
        raise SystemExit("the two ways differ")
    print(f"{size} ids: forgetkit {ours:.2f} s, plain Python {plain:.2f} s, ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
