"""What keeping freed memory saves: CPU time, page faults and peak memory of whole commands, by size of the images.

usage: python tests/benchmarks/bench_memory.py [SIZE ...]     (32 64 112 224 if not given)

256 photographs of smooth noise: decoding, `train` for 2 epochs in float32 with batches of 32, `finetune` for one epoch,
`audit` of the result. Each command runs twice: first with an empty GLIBC_TUNABLES, which leaves the allocator as the C
library sets it, then as it is. CPU time is that of the process, so other work on the machine hardly changes it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES, CLASSES = 256, 7


def make(root: Path, size: int) -> None:
    """Write square photographs of ``size`` pixels, one folder per class."""
    draw = np.random.default_rng(0)
    for number in range(IMAGES):
        folder = root / f"class{number % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        few = max(2, size // 12)
        noise = Image.fromarray(draw.integers(0, 256, (few, few, 3), np.uint8))
        noise.resize((size, size)).save(folder / f"{number:03d}.jpg", quality=90)


def measure(words: list[str], variables: dict[str, str]) -> str:
    """Run a command; return a cell: user and system seconds, thousands of page faults, peak memory in MB."""
    command, quiet = [sys.executable, "-m", "forgetkit", *words], subprocess.DEVNULL
    process = subprocess.Popen(command, env=os.environ | variables, stdout=quiet, stderr=quiet)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in ({0, 1, 3} if words[0] == "audit" else {0}):  # a verdict is an exit code
        raise SystemExit(f"{' '.join(words)}: exit {process.returncode}")
    faults, peak = used.ru_minflt / 1e3, used.ru_maxrss * 1024 / 1e6
    return f"{used.ru_utime:.1f} + {used.ru_stime:.1f} s, {faults:,.0f}k faults, {peak:,.0f} MB"


def compare(words: list[str], size: int) -> str:
    """Return the row of a command: measured as the C library sets the allocator, and as forgetkit does."""
    made = Path(words[words.index("-o") + 1]) if "-o" in words else None
    cells, contents = [], set()
    for variables in ({"GLIBC_TUNABLES": ""}, {}):
        if words[0] == "data":
            shutil.rmtree("cache", ignore_errors=True)
        elif made:
            made.unlink(missing_ok=True)
        cells.append(measure(words, variables))
        contents.add(made.read_bytes() if made else b"")
    same = "" if made is None else "yes" if len(contents) == 1 else "**no**"
    return f"| {size} | `{words[0]}` | {' | '.join(cells)} | {same} |"


def main() -> None:
    """Print a row for each size and command."""
    print("| pixels | command | as the C library does | freed memory kept | same bytes |\n|---|---|---|---|---|")
    # a child's peak memory begins with its parent's: this process imports no torch before the last of them
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        for size in [int(word) for word in sys.argv[1:]] or [32, 64, 112, 224]:
            data = f"folder:{size}"
            make(Path(str(size)), size)
            train = ["train", "--epochs", "2", "--batch-size", "32", "--precision", "float32", "--dataset", data]
            for words in (
                ["data", "pack", "--dataset", data],
                [*train, "-o", "model.st"],
                ["forget-ids", "model.st", "--count", "32", "-o", "ids.txt"],
                ["finetune", "model.st", "-i", "ids.txt", "--epochs", "1", "--stop", "published", "-o", "step.st"],
                ["audit", "step.st", "--original", "model.st"],
            ):
                print(compare(words, size), flush=True)
        os.chdir("..")
    from paired import machine

    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
