"""The same command, the same bytes."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import load_file

from forgetkit.files.header import read_record
from tests.torture.processes import command
from tests.torture.trial import COMMANDS, Ended, Tally, clear, run

WAYS = COMMANDS | {
    "forget-ids": "forget-ids model.st --count 20 --force -o out.st",
    "audit": "audit model.st --original model.st --ids ids.txt --json --exit-zero --summary out.st",
}
"""Commands whose outputs are compared; the one of ``audit`` is its report."""
ALL = f"""
import contextlib, io, json, pathlib, random, sys
from hashlib import sha256
from forgetkit.cli import app as cli
ways, found = {WAYS!r}, {{}}
for name in random.Random(int(sys.argv[1])).sample(list(ways), len(ways)):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = cli.run([*ways[name].split(), "-q"])
    content = said.getvalue().encode() + pathlib.Path("out.st").read_bytes()
    found[name] = sha256(content).hexdigest() if code == 0 else f"exit {{code}}"
    pathlib.Path("out.st").unlink()
print(json.dumps(found))
"""
"""Runs every command, in an order drawn anew, and prints a digest of what each wrote."""


def r12(folder: Path, numbers: Sequence[int]) -> Tally:
    """Six commands in separate processes with different PYTHONHASHSEED: one SHA-256 for each command."""
    tally, expected = Tally(), dict[str, str]()
    for name, words in WAYS.items():
        clear(folder)
        expected[name] = _digest(run(f"{words} -q", folder), folder)
    for number in numbers:
        clear(folder)
        ended, _ = command(["-c", ALL, str(number)], folder, hash_seed=str(number + 1))
        holds = ended.code == 0 and json.loads(ended.out) == expected
        tally.count(holds, f"PYTHONHASHSEED={number + 1}: {ended}, and not {expected}")
        for name, words in list(WAYS.items())[number : number + 1]:  # once each as a user calls it
            clear(folder)
            ended, _ = command(["-m", "forgetkit", *words.split(), "-q"], folder, hash_seed="0")
            tally.check(_digest(ended, folder) == expected[name], f"{name}: {ended}")
    return tally


def _digest(ended: Ended, folder: Path) -> str:
    """Return the SHA-256 of what a command printed and wrote."""
    return sha256(ended.out.encode() + (folder / "out.st").read_bytes()).hexdigest()


def threads(folder: Path, numbers: Sequence[int]) -> Tally:
    """Effect of another number of threads, which the record names."""
    tally = Tally()
    kinds = {
        "digits": "train --dataset digits --epochs 2 --force -o out.st",
        "a ResNet-18": "train --dataset arrays:small.npz --model torchvision:resnet18 --epochs 2 --force -o out.st",
        **COMMANDS,
    }
    for number in numbers:
        name = list(kinds)[number]
        tensors, named = [], []
        for count in (1, 2):
            clear(folder)
            ended, _ = command(["-m", "forgetkit", *f"{kinds[name]} --threads {count}".split()], folder)
            if ended.code:
                raise RuntimeError(str(ended))
            tensors.append(load_file(folder / "out.st"))
            options = read_record(folder / "out.st").steps[-1].options
            named.append(options["threads"])
        apart = max(float((tensors[0][key] - tensors[1][key]).abs().max()) for key in tensors[0])
        same = all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])
        tally.count(named == [1, 2], f"{name}: the record names {named}")
        tally.notes.append(f"{name}: {'the same weights' if same else f'weights differ by {apart:.0e} at the most'}")
    return tally
