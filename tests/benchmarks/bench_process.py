"""Whole commands and files: replicas, start, memory, a durable gigabyte, a queue (P8, P9, P10, P12, P13).

usage: python tests/benchmarks/bench_process.py [RUNS]     (pairs of runs; 7 if not given)
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from bench_million import measure
from paired import RUNS, compare, judge, machine, seconds
from safetensors.torch import save_file
from torch import nn

from forgetkit.data.open import default_root
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import save_checkpoint
from forgetkit.models.tensor_file import tensor_digest

REPLICAS = 19
QUEUED = 25
DEEP = """
from torch import nn
from forgetkit.models import register_model

@register_model("deep")
def deep(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    height, width = image_size
    layers = [nn.Flatten(), nn.Linear(in_channels * height * width, 2048), nn.ReLU()]
    for _ in range(24):
        layers += [nn.Linear(2048, 2048), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(2048, classes))
"""


def forgetkit(*words: str) -> None:
    """Run a command in a process of its own, quietly."""
    subprocess.run([sys.executable, "-m", "forgetkit", *words], check=True, capture_output=True)


def python(code: str) -> None:
    """Run some Python in a process of its own."""
    subprocess.run([sys.executable, "-c", code], check=True)


def replicas(runs: int) -> str:
    """Return the rows of 19 references side by side: against 19 commands, and against one that trains them in turn."""
    like = ["train", "--like", "model.st", "--exclude", "ids.txt"]
    together = [*like, "--replicas", str(REPLICAS), "-o", "r/{n}.st"]

    def trained(*commands: list[str]) -> None:
        shutil.rmtree("r", ignore_errors=True)
        for words in commands:
            forgetkit(*words)

    seeds = [[*like, "--seed", str(seed), "-o", f"r/{seed}.st"] for seed in range(1, REPLICAS + 1)]
    turn = compare(lambda: trained([*together, "--threads", "1"]), lambda: trained(together), runs=runs)
    name = f"{REPLICAS} references of `digits`"
    alone = seconds(lambda: trained(*seeds))
    what = f"{name} against {REPLICAS} commands in turn ({alone:.3g} s, once)"
    rows = [judge("P8", what, alone / turn.plain, least=1.8)]
    rows += [judge("P8", f"… against one process that trains them in turn ({turn.says()})", turn.ratio, least=1.8)]
    return "\n".join([*rows, judge("P8", f"{name}, start-up included", turn.plain, most=30, unit="s")])


def start(runs: int) -> str:
    """Return the rows of help and of a whole `relabel` of one id."""
    forgetkit("--help")
    help_ = statistics.median(seconds(lambda: forgetkit("--help")) for _ in range(runs))
    step = ["relabel", "model.st", "-i", "one.txt", "--rate", "0.001", "--allow-unforgotten", "-o", "one.st"]

    def once() -> None:
        Path("one.st").unlink(missing_ok=True)  # else it is up to date
        forgetkit(*step)

    pairs = [(seconds(once), seconds(lambda: python("import torch"))) for _ in range(runs + 1)][1:]
    more = statistics.median(one - other for one, other in pairs)
    whole, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    what = f"`relabel` of one id as a process ({whole:.2f} s), less `import torch` ({bare:.2f} s)"
    return judge("P9", "`--help`", help_, most=0.3, unit="s") + "\n" + judge("P9", what, more, most=1.0, unit="s")


def memory() -> str:
    """Return the rows of memory that `relabel` needs for a model of S bytes, above Python with torch."""
    plugin = ["--plugin", "deep.py"]
    Path("deep.py").write_text(DEEP)
    forgetkit("train", "--dataset", "digits", "--model", "deep", "--epochs", "1", "-o", "deep.st", *plugin)
    size = Path("deep.st").stat().st_size
    bare = measured_python("import torch, time; time.sleep(0.1)")
    rows = []
    for optimizer, most in (("sgd", 2.5), ("adadelta", 4.5)):
        words = ["--optimizer", optimizer, "--rate", "1e-6", "--allow-unforgotten", "-o", f"{optimizer}.st", *plugin]
        own = measure("relabel", "deep.st", "-i", "one.txt", *words, codes=(0,))[2] - bare
        what = f"`relabel`, {optimizer}: memory above Python with torch, model of S = {size / 1e6:.0f} MB"
        rows.append(judge("P10", what, own / size, most=most, unit="S"))
    return "\n".join(rows)


def measured_python(code: str) -> int:
    """Return the highest RssAnon of some Python, in bytes; it must end with a pause."""
    process = subprocess.Popen([sys.executable, "-c", code])
    most = 0
    while process.poll() is None:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        most = max([most, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))])
    return most


def durable(runs: int) -> str:
    """Return the row of a checkpoint of 1 GB, against the library's writing and a sync, and a hash pass for both."""
    model = nn.ParameterDict({f"w{n}": nn.Parameter(torch.randn(25_000_000)) for n in range(10)})
    record, target, plain = read_record(Path("model.st")), Path("big.st"), Path("plain.st")

    def ours() -> None:
        target.unlink(missing_ok=True)
        save_checkpoint(target, model, record)

    def bare() -> None:
        plain.unlink(missing_ok=True)
        save_file(model.state_dict(), plain)
        with plain.open("rb") as stream:
            os.fsync(stream.fileno())

    def hashed() -> None:
        tensor_digest(model.state_dict())

    rounds = [[seconds(way) for way in (ours, bare, hashed)] for _ in range(runs + 1)][1:]
    target.unlink()
    plain.unlink()
    ratios = [(one - digest) / other for one, other, digest in rounds]
    one, other, digest = (statistics.median(column) for column in zip(*rounds, strict=True))
    what = f"a new file of 1 GB ({one:.3g} s), less a hash pass ({digest:.2g} s), against `save_file` and a sync"
    what += f" ({other:.3g} s, ratios {min(ratios):.2f} to {max(ratios):.2f})"
    return judge("P12", what, statistics.median(ratios), most=1.3)


def queue(runs: int) -> str:
    """Return the rows of one id after another, and of 25 of them in one process, on MNIST if there is any."""
    name = "mnist" if (default_root() / "MNIST" / "raw").is_dir() else "digits"
    os.environ["XDG_CACHE_HOME"] = str(Path("cache").absolute())
    forgetkit("train", "--dataset", name, "--epochs", "1", "-o", "first.st")
    forgetkit("forget-ids", "first.st", "--count", str(QUEUED), "-o", "drawn.txt")
    Path("queue").mkdir()
    lists = [Path(f"queue/{number:02}.txt") for number in range(QUEUED)]
    for path, id_ in zip(lists, Path("drawn.txt").read_text().split(), strict=True):
        path.write_text(f"{id_}\n")
    step = ["--rate", "0.01", "--seed", "1", "--allow-unforgotten"]

    def answer(*requests: Path, known: bool = True) -> None:
        shutil.rmtree("answered", ignore_errors=True)
        model = "first.st"
        for path in requests:
            if not known:
                shutil.rmtree("cache/forgetkit/unseen", ignore_errors=True)
            output = f"answered/{path.stem}.st"
            forgetkit("relabel", model, "-i", str(path), *step, "-o", output)
            model = output

    def together() -> None:
        shutil.rmtree("answered", ignore_errors=True)
        forgetkit("relabel", "first.st", "--requests", "queue", *step, "-o", "answered/{request}.st")

    one = compare(lambda: answer(lists[0]), lambda: answer(lists[0], known=False), runs=runs)
    all_ = compare(together, lambda: answer(*lists), runs=max(1, runs // 3))
    what = f"`relabel` of one id of {name} as a process, its input measured before ({one.says()})"
    rows = [judge("P13", what, one.ours, most=3, unit="s")]
    rows += [judge("P13", "… against one whose input was not", one.ratio, most=1)]
    what = f"{QUEUED} requests of one id of {name} in one process, against {QUEUED} processes ({all_.says()})"
    return "\n".join([*rows, judge("P13", what, all_.ratio, most=0.5)])


def main() -> None:
    """Print all rows."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    print(f"{machine()}\n")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, each start compiles every module
    with tempfile.TemporaryDirectory(dir=".") as folder:
        os.chdir(folder)
        forgetkit("train", "--dataset", "digits", "-o", "model.st")
        forgetkit("forget-ids", "model.st", "--count", "65", "-o", "ids.txt")
        forgetkit("forget-ids", "model.st", "--count", "1", "-o", "one.txt")
        print(start(runs), flush=True)
        print(queue(runs), flush=True)
        print(memory(), flush=True)
        print(durable(runs), flush=True)
        print(replicas(runs), flush=True)
        os.chdir("..")


if __name__ == "__main__":
    main()
