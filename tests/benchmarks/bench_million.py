"""A million samples of 32×32: how long commands take, and how much memory of their own (RssAnon) they need.

usage: python tests/benchmarks/bench_million.py [SAMPLES] [--grey]     (a million in colour if not given)
Makes the data in a temporary folder (3 GB in colour, the pack as much again). Each command is a process of its own, one
thread; /proc is asked every 20 ms. RssAnon is what the process cannot give back; the mapped pack is not part of it.
`train` is one whole epoch of a linear model on 8×8 means, a model that costs next to nothing, and then the first
minutes of an epoch of `convnet`, which is stopped: its memory does not grow from step to step. The search of `relabel`
may end without a rate (exit 1): there is little that so small a model could have memorised. It measures as much.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STOP_AFTER = 120.0
"""Seconds after which an epoch of convnet is stopped."""
LINEAR = """
from torch import nn
from forgetkit.models import register_model

@register_model("linear")
def linear(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * in_channels, classes))
"""


def make(path: Path, samples: int, *, grey: bool) -> None:
    """Write ``samples`` random images of ten classes, which their brightness tells apart."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 10, samples)
    images = np.empty((samples, 32, 32) if grey else (samples, 32, 32, 3), np.uint8)
    for start in range(0, samples, 10_000):
        part = images[start : start + 10_000]
        shade = (labels[start : start + 10_000] * 10).astype(np.uint8).reshape(-1, *[1] * (part.ndim - 1))
        part[:] = draw.integers(0, 160, part.shape, np.uint8) + shade
    np.savez(path, images=images, labels=labels, id=np.array([f"user-{row:07d}" for row in range(samples)]))


def measure(*words: str, codes: tuple[int, ...], stop_after: float | None = None) -> tuple[float, float, int, int]:
    """Run a command; return its wall and CPU seconds, its highest RssAnon and RssFile in bytes."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, "-m", "forgetkit", *words, "-q"], stdout=subprocess.DEVNULL)
    most = {"RssAnon": 0, "RssFile": 0}
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        for name, _, rest in (line.partition(":") for line in lines):
            if name in most:
                most[name] = max(most[name], int(rest.split()[0]) * 1024)
        if stop_after and time.perf_counter() - begun > stop_after:
            process.terminate()
            stop_after = None
        time.sleep(0.02)
    code = process.wait()
    if code not in codes:
        raise SystemExit(f"{' '.join(words)}: exit {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu, most["RssAnon"], most["RssFile"]


def main(samples: int, *, grey: bool) -> None:
    """Make the data and print a line a command."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"XDG_CACHE_HOME": folder, "FORGETKIT_DATA": folder}
        os.environ["FORGETKIT_THREADS"] = "1"
        Path("linear.py").write_text(LINEAR)
        child = os.fork()  # so that this process stays small
        if child == 0:
            make(Path("big.npz"), samples, grey=grey)
            os._exit(0)
        os.waitpid(child, 0)
        print(f"{samples:,} samples, {'1' if grey else '3'}×32×32")
        print(f"{'':<58} {'wall s':>7} {'CPU s':>7} {'RssAnon MB':>11} {'RssFile MB':>11}")
        data, ids, linear = ["--dataset", "arrays:big.npz"], ["--ids", "ids.txt"], ["--plugin", "linear.py"]
        for stop_after, line in (
            (None, ["data", "pack", *data]),
            (None, ["train", *data, "--model", "linear", "--epochs", "1", "-o", "model.st", *linear]),
            (None, ["forget-ids", *data, "--count", "1000", "-o", "ids.txt"]),
            (None, ["forget-ids", "model.st", "--count", "1000", "-o", "ids2.txt"]),
            (None, ["forget-ids", "model.st", *ids, "-o", "ids3.txt"]),
            (None, ["train", "--like", "model.st", "--exclude", "ids.txt", "-o", "reference.st", *linear]),
            (None, ["relabel", "model.st", *ids, "--rate", "0.001", "--allow-unforgotten", "-o", "fixed.st", *linear]),
            (None, ["relabel", "model.st", *ids, "--optimizer", "adam", "-o", "searched.st", *linear]),
            (STOP_AFTER, ["train", *data, "--epochs", "1", "-o", "convnet.st"]),
        ):
            codes = (0, 143) if stop_after else (0, 1) if "searched.st" in line else (0,)
            wall, cpu, anonymous, mapped = measure(*line, codes=codes, stop_after=stop_after)
            print(
                f"{' '.join(line):<58.58} {wall:7.1f} {cpu:7.1f} {anonymous / 1e6:11.0f} {mapped / 1e6:11.0f}",
                flush=True,
            )


if __name__ == "__main__":
    counts = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    main(counts[0] if counts else 1_000_000, grey="--grey" in sys.argv)
