"""Time `forgetkit where-used` over many checkpoints, in CPU seconds of the whole command, and where they go.

usage: python tests/benchmarks/bench_where_used.py
Each file is the header of a trained and unlearned model, without tensors; 600 ids are looked for.
"""

import cProfile
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from forgetkit.files.header import dumps, read_record
from forgetkit.files.holdings import holding_of
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record
from forgetkit.files.wanted_ids import Wanted

IDS = [str(row) for row in range(0, 60_000, 100)]


def made(folder: Path) -> Record:
    """Train a small model, relabel 60 ids, and return the record."""
    command = [sys.executable, "-m", "forgetkit"]
    (folder / "few.txt").write_text("".join(f"{row}\n" for row in range(60)))
    train = ["train", "--dataset", "digits", "--epochs", "1", "-q", "-o", "m.st"]
    relabel = ["relabel", "m.st", "--ids", "few.txt", "--rate", "0.01", "--allow-unforgotten", "-q", "-o", "f.st"]
    for words in (train, relabel):
        subprocess.run([*command, *words], cwd=folder, check=True, capture_output=True)
    return read_record(folder / "f.st")


def write(folder: Path, record: Record, files: int, trained: int, forgotten: int) -> None:
    """Write headers whose record lists so many ids."""
    folder.mkdir()
    salt = record.forgotten.salt
    keys = KeySet.of(map(str, range(trained)), salt) if trained else None
    one = replace(record, trained=keys, forgotten=KeySet.of(map(str, range(forgotten)), salt))
    entry = dumps(replace(one, digest="0" * 64)).replace("\\", "\\\\").replace('"', '\\"')
    for number in range(files):
        text = '{"__metadata__":{"forgetkit":"' + entry.replace("0" * 64, f"{number:064x}", 1) + '"}}'
        header = text.encode()
        (folder / f"{number}.st").write_bytes(len(header).to_bytes(8, "little") + header)


def seconds(folder: Path) -> tuple[float, float]:
    """Return the CPU and the wall-clock seconds of the command over a folder."""
    command = [sys.executable, "-m", "forgetkit", "where-used", "--ids", "ids.txt", folder.name, "-q", "--json"]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    if ran.returncode not in {0, 1}:
        raise SystemExit(ran.stderr)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, ended - begun


def profile(folder: Path, most: int) -> None:
    """Print which functions take the time, over the first files of a folder."""
    wanted, profiler = Wanted(IDS), cProfile.Profile()
    files = sorted(folder.iterdir())[:most]
    profiler.enable()
    for path in files:
        holding_of(path, wanted)
    profiler.disable()
    stats = pstats.Stats(profiler)
    whole = sum(entry[2] for entry in stats.stats.values())  # type: ignore[attr-defined]
    top = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:6]  # type: ignore[attr-defined]
    for (_, _, name), entry in top:
        print(f"    {entry[2] / whole:4.0%}  {name}")


def main() -> None:
    """Make the files, and time the command."""
    os.environ.setdefault("FORGETKIT_THREADS", "1")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        record = made(folder)
        (folder / "ids.txt").write_text("".join(f"{id_}\n" for id_ in IDS))
        for files, trained, forgotten in ((10_000, 0, 60), (10_000, 1_297, 60), (1_000, 60_000, 600)):
            there = folder / f"{files}-{trained}"
            write(there, record, files, trained, forgotten)
            found = [seconds(there) for _ in range(3)]
            cpu, wall = (sorted(one)[1] for one in zip(*found, strict=True))
            size = (there / "0.st").stat().st_size
            print(f"{files} files of {size:,} bytes, {trained} trained ids: {cpu:.2f} s of CPU ({wall:.2f} s)")
            profile(there, 200)


if __name__ == "__main__":
    main()
