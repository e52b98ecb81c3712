"""What the code may not do at all, what a hostile checkpoint may not bring about, which ids may not be seen."""

import ast
import json
import pickletools
import random
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from forgetkit.cli import app as cli
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_model
from tests.torture.checkpoints import JUNK
from tests.torture.trial import COMMANDS, Tally, clear, run, source, start, wait

ROOT = Path(__file__).parent.parent.parent
FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
READERS = [
    "relabel bad.st -i ids.txt --rate 0.1 -n -q",
    "inspect bad.st -q",
    "export bad.st -o out.safetensors -n -q",
]
EXEMPT = {"pickled.py": {"torch.load", "pickle"}, "registry.py": {"exec"}}


def r17(folder: Path, numbers: Sequence[int]) -> Tally:
    """No pickle is written or read; only convert calls torch.load."""
    tally = Tally()
    for path in sorted((ROOT / "forgetkit").rglob("*.py")):
        found = {name for node in ast.walk(ast.parse(path.read_text())) for name in _suspicious(node)}
        tally.count(not found - EXEMPT.get(path.name, set()), f"{path.name}: {found}")
    clear(folder)
    run(f"{COMMANDS['train']} --keep-optimizer --log log.jsonl", folder)
    for path in folder.iterdir():
        if path.is_file() and path.name != "small.npz":
            tally.count(not _is_pickle(path.read_bytes()), f"{path.name} is a pickle")
    return tally


def _suspicious(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name.split(".")[0] in FORBIDDEN]
    if isinstance(node, ast.ImportFrom):
        return [node.module] if node.module and node.module.split(".")[0] in FORBIDDEN else []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        called = ast.unparse(node.func)
        pickled = any(word.arg == "allow_pickle" and ast.unparse(word.value) != "False" for word in node.keywords)
        return [called] if called in {"torch.load", "torch.save"} or pickled else []
    return (
        [node.func.id]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}
        else []
    )


def _is_pickle(content: bytes) -> bool:
    try:
        return content[:1] == b"\x80" and len(list(pickletools.genops(content))) > 2
    except Exception:  # whatever it is, it is no pickle
        return False


def r18(folder: Path, numbers: Sequence[int]) -> Tally:
    """A hostile checkpoint causes no import that it names, and opens no socket."""
    tally, whole, seen = Tally(), (folder / "model.st").read_bytes(), folder / "seen"
    clear(folder)

    def watch(event: str, given: tuple[object, ...]) -> None:
        if event.startswith("socket.") or event in {"subprocess.Popen", "os.system"}:
            note(event)
        if event == "import" and "evil" in str(given[0]):
            note(f"import {given[0]}")

    def note(event: str) -> None:
        with seen.open("a") as stream:
            stream.write(f"{event}\n")

    def work() -> int:
        sys.addaudithook(watch)  # in the forked process alone: it cannot be taken away
        for number in numbers:
            draw = source("R18", number)
            Path("bad.st").write_bytes(_named(whole, draw, f"evil_{number}"))
            code = cli.run(draw.choice(READERS).split())
            if code not in {0, 2}:
                note(f"exit {code}")
            note(str(number))
        return 0

    ended = wait(start(work, folder), folder)
    lines = seen.read_text().splitlines() if seen.exists() else []
    for number in numbers:
        tally.count(str(number) in lines, f"case {number} did not end: {ended}")
    tally.check(lines == [str(number) for number in numbers], f"{lines}: {ended}")
    return tally


def _named(whole: bytes, draw: random.Random, name: str) -> bytes:
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    content = json.loads(header["__metadata__"]["forgetkit"])
    names = [
        name,
        f"{name}:make",
        f"torchvision:{name}",
        f"timm:{name}",
        f"{name}.module:x",
        f"../{name}.py",
        f"os:{name}",
    ]
    content["model"]["name"] = draw.choice(names)
    content["model"]["options"] = draw.choice(
        [{}, {"plugin": name}, {"weights": f"http://{name}"}, {"x": draw.choice(JUNK[:5])}]
    )
    if draw.random() < 0.3:
        content["dataset"]["name"] = draw.choice([f"{name}:x", f"http://{name}/x.npz", f"arrays:{name}"])
    header["__metadata__"]["forgetkit"] = json.dumps(content)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


def r19(folder: Path, numbers: Sequence[int]) -> Tally:
    """By default no message, log, record or report contains ids."""
    tally = Tally()
    commands = [
        f"{COMMANDS['train']} --exclude ids.txt --log log.jsonl",
        "train --like model.st --exclude ids.txt -o reference.st",
        *(f"{COMMANDS[name]} --json" for name in ("neutralize", "distill", "relabel")),
        "audit out.st --original model.st --reference reference.st --json --exit-zero"
        " --html a.html --junit a.xml --summary a.md",
        "inspect out.st --json",
        "audit out.st --original model.st --exit-zero",
    ]
    clear(folder)
    for command in commands:
        ended = run(command, folder)
        tally.count(ended.code == 0, ended)
        tally.count("person-" not in ended.out + ended.err, f"{command}: an id is printed")
        for path in folder.iterdir():
            if path.is_file() and path.name not in {"small.npz", "ids.txt"}:
                tally.count(b"person-" not in path.read_bytes(), f"{command}: an id is in {path.name}")
    return tally


def r20(folder: Path, numbers: Sequence[int]) -> Tally:
    """Checkpoints of every record version remain readable."""
    tally = Tally()
    for path in sorted((ROOT / "tests" / "frozen").glob("*.st")):
        record = read_record(path)
        model = load_model(path, record)
        tally.count(path.stem.startswith(f"v1-{record.digest[:8]}") and model is not None, path.name)
    tally.check(tally.trials > 0, "there are no frozen checkpoints")
    return tally
