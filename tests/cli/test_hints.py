"""Hints lead somewhere: each is followed, and what it names exists."""

import ast
import errno
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import forgetkit as package
from forgetkit.cli.app import command_line
from forgetkit.cli.usage_errors import MEANT
from forgetkit.errors import ForgetkitError
from forgetkit.files.publish import refusal
from forgetkit.models.build import find_factory
from tests.conftest import Run

ACCEPTED = {0, 1, 3}
"""Exit codes of commands that were understood."""
PLACES = {"DIR": "photos", "FILE.csv": "photos.csv", "LABELS": "ids.txt", "FILE": "a.html"}
"""What stands for a placeholder of a hint."""
FOLLOWED = {
    "audit model.st -i ids.txt --html /dev/stdout": "audit model.st -i ids.txt --html a.html",
    "audit model.st -i ids.txt --junit model.st": "audit model.st -i ids.txt --junit other.xml",
    "audit model.st -i ids.txt --leve 0.1": "audit model.st -i ids.txt --level 0.1",
    "convert model.st -o x.st": "inspect model.st",
    "convert old.pt": "convert old.pt -o weights.safetensors --force",
    "convert weights.safetensors -o x.st": "adopt weights.safetensors --model convnet --dataset digits -o model.st -f",
    "adopt old.pt --model convnet --dataset digits -o x.st": "convert old.pt -o old.safetensors",
    "adopt model.st --model convnet --dataset digits -o x.st": "inspect model.st",
    "dampen model.st -i ids.txt --alpha 0": "dampen model.st -i ids.txt --alpha 10",
    "dampen model.st -i ids.txt --strength 0": "dampen model.st -i ids.txt --strength 1",
    "dampen model.st -i ids.txt --device gpu": "dampen model.st -i ids.txt --device cpu",
    "export model.st -o x.st": "export model.st -o x.st --strip",
    "forget-ids model.st": "forget-ids model.st --count 3",
    "forget-ids model.st --clas 3": "forget-ids model.st --class 3",
    "forget-ids model.st --fraction 5": "forget-ids model.st --fraction 0.05",
    "forget-ids --count 3": "forget-ids --count 3 --dataset digits",
    "forget-ids model.st --count 3 -o ids.txt": "forget-ids model.st --count 3 -o ids.txt --force",
    "inspect modle.st": "inspect model.st",
    "inspect weights.safetensors": "adopt weights.safetensors --model convnet --dataset digits -o model.st -f",
    "mask model.st -i ids.txt --share 0": "mask model.st -i ids.txt --share 0.5",
    "relabel model.st ids.txt": "relabel model.st --ids ids.txt",
    "relabel model.st -i ids.txt -o results/": "relabel model.st -i ids.txt -o results/model.st",
    "relabel model.st -i ids.txt --optimizer sdg": "relabel model.st -i ids.txt --optimizer sgd",
    "relabel model.st -i ids.txt --mix jiont": "relabel model.st -i ids.txt --mix joint",
    "retrain --like model.st -o x.st": "train --like model.st -o x.st",
    "train": "train --dataset digits -o model.st -f",
    "train --dataset digits --epochs 1": "train --dataset digits --epochs 1 -o model.st -f",
    "train --dataset digits --rate -1 -o x.st": "train --dataset digits --rate 0.001 -o x.st",
    "train --dataset digits --momentum 0.9 -o x.st": "train --dataset digits --momentum 0.9 -o x.st --optimizer sgd",
    "train --dataset digits --model torchvision.models.resnet18 -o x.st": "train --dataset digits --model "
    "torchvision:resnet18 -o x.st",
    "train --dataset digits --replicas 2 -o x.st": "train --dataset digits --replicas 2 -o refs/{n}.st",
    "train --dataset folder: -o x.st": "train --dataset folder:photos -o x.st",
    "train --dataset photos -o x.st": "train --dataset folder:photos -o x.st",
    "train --dataset digis -o x.st": "train --dataset digits -o x.st",
    "train --dataset digits --lr 0.1 -o x.st": "train --dataset digits --rate 0.1 -o x.st",
    "audit model.st": "audit model.st --ids ids.txt",
    "audit model.st -i ids.txt --criterion chace": "audit model.st -i ids.txt --criterion chance",
    "audit model.st -i ids.txt --original modell.st": "audit model.st -i ids.txt --original model.st",
    "audit model.st -i ids.txt --reference model.st": "train --like model.st --exclude ids.txt -o x.st",
    "audit model.st --request case-1 --book b.db": "requests add case-1 --ids ids.txt --book b.db",
    "convert weights.safetensors": "convert old.pt -o weights.safetensors --force",
    "distill model.st --teacher modell.st": "distill model.st --teacher model.st",
    "forget model.st": "forget model.st --ids ids.txt",
    "forget model.st -i idz.txt": "forget model.st -i ids.txt",
    "forget model.st -i ids.txt --budget 3": "forget model.st -i ids.txt --budget 100%",
    "forget model.st -i ids.txt --otherwise stpo": "forget model.st -i ids.txt --otherwise stop",
    "forget-ids model.st --class 33": "forget-ids model.st --class 3",
    "forget-ids model.st --count 3 --with-duplicates ad": "forget-ids model.st --count 3 --with-duplicates add",
    "forget-ids model.st --where user=ann": "forget-ids model.st --where user=ann --attributes photos.csv",
    "forget-ids model.st --where user=ann --attributes foto.csv": "forget-ids model.st --where user=ann "
    "--attributes photos.csv",
    "forget-ids model.st --where usr=ann --attributes photos.csv": "forget-ids model.st --where user=ann "
    "--attributes photos.csv",
    "forget-ids model.st --where user=anne --attributes photos.csv": "forget-ids model.st --where user=ann "
    "--attributes photos.csv",
    "inspect model.st --diff modell.st": "inspect model.st --diff model.st",
    "mask model.st": "mask model.st --ids ids.txt -o mask.st",
    "neutralize model.st -i ids.txt --labels minimm": "neutralize model.st -i ids.txt --labels minimum",
    "neutralize model.st -i ids.txt --check oftn": "neutralize model.st -i ids.txt --check often",
    "random-labels model.st -i ids.txt --optimizer adan": "random-labels model.st -i ids.txt --optimizer adam",
    "relabel model.st": "relabel model.st --ids ids.txt",
    "relabel model.st -i model.st": "relabel model.st -i ids.txt",
    "relabel model.st -i photo.csv": "relabel model.st -i photos.csv",
    "relabel model.st -i few.csv": "relabel model.st -i few.csv --id-column name",
    "relabel model.st -i ids.txt --order shufle": "relabel model.st -i ids.txt --order shuffle",
    "relabel model.st -i ids.txt --labels-per-id 0": "relabel model.st -i ids.txt --labels-per-id all",
    "relabel model.st -i ids.txt --on-limit retrian": "relabel model.st -i ids.txt --on-limit retrain",
    "relabel model.st -i ids.txt --rate 0": "relabel model.st -i ids.txt --rate 0.001",
    "relabel model.st -i ids.txt --precision float": "relabel model.st -i ids.txt --precision float32",
    "relabel model.st -i ids.txt -o model.st": "relabel model.st -i ids.txt --out x.st",
    "requests add case-1 -i ids.txt": "requests add case-1 -i ids.txt --book requests.db",
    "train --dataset digits --shadows 3 -o x.st": "train --dataset digits --shadows 8 -o x.st",
    "train --dataset digits --shadows 8 -o s/{n}.st": "train --like model.st --shadows 8 -o model.shadows/{n}.st",
    "train --dataset digits --model convet -o x.st": "train --dataset digits --model convnet -o x.st",
    "train --dataset digits --optimizer adm -o x.st": "train --dataset digits --optimizer adam -o x.st",
    "train --dataset digits --schedule cosin -o x.st": "train --dataset digits --schedule cosine -o x.st",
    "train --dataset digits --augment flp -o x.st": "train --dataset digits --augment flip -o x.st",
    "train --dataset digits --keep bst -o x.st": "train --dataset digits --keep best -o x.st",
    "train --dataset digits --exclude idz.txt -o x.st": "train --dataset digits --exclude ids.txt -o x.st",
    "train --like modell.st -o x.st": "train --like model.st -o x.st",
    "train --from model.st --only ids.txt -o model.st": "train --from model.st --only ids.txt --out x.st",
}
"""Commands that are refused, and each again as its hint says: the words that are new in it are those of the hint."""
FILES = {"a.html", "other.xml", "old.safetensors", "x.st", "ids.txt", "case-1", "user=ann"}
OURS = {"-f", "-o", "--force", "--dataset", "digits", "--model", "convnet", "3"} | FILES
"""Words that a user adds by himself: names, and what another line of the help asks for."""


@pytest.fixture
def desk(model: Path, ids: Path, tmp_path: Path) -> Path:
    """Return a folder with what the commands above read."""
    import numpy as np
    import torch
    from PIL import Image
    from safetensors.torch import load_file, save_file

    for number in range(12):
        place = tmp_path / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number * 20, np.uint8)).save(place / f"{number}.png")
    (tmp_path / "photos.csv").write_text("id,user\n0,ann\n1,bob\n")
    (tmp_path / "few.csv").write_text("name,user\n0,ann\n")
    tensors = load_file(model)
    save_file(tensors, tmp_path / "weights.safetensors", {"format": "pt"})
    torch.save(tensors, tmp_path / "old.pt")
    return tmp_path


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("line", FOLLOWED)
def test_a_hint_that_is_followed_leads_on(forgetkit: Run, line: str) -> None:
    refused, again = forgetkit(*line.split()), FOLLOWED[line].split()
    *_, hint = refused.err.splitlines()
    assert (refused.code, hint[:6]) == (2, "hint: ")
    for place, value in PLACES.items():
        hint = hint.replace(place, value)
    new = set(again) - set(line.split()) - OURS
    assert all(word in hint for word in new), hint
    known = {name for one in command_line().commands[again[0]].params for name in one.opts}
    assert forgetkit(*again, *({"--dry-run"} & known)).code in ACCEPTED


@pytest.mark.skipif(find_spec("timm") is None, reason="needs timm")
@pytest.mark.parametrize(("name", "meant"), [("timm/resnet18", "timm:resnet18"), ("vit_tiny_patch16_224", "timm:vit")])
def test_the_name_of_a_model_as_a_hub_writes_it_is_known(name: str, meant: str) -> None:
    with pytest.raises(ForgetkitError) as caught:
        find_factory(name)
    assert f"did you mean {meant}" in (caught.value.hint or "")


def test_a_limit_on_the_size_of_files_is_named(tmp_path: Path) -> None:
    problem = refusal(tmp_path / "x.st", OSError(errno.EFBIG, "File too large"))
    assert (problem.code, "ulimit -f" in (problem.hint or "")) == ("output-unwritable", True)


def named_in_messages() -> Iterator[tuple[str, str]]:
    """Yield place and text of every string of the package."""
    for file in sorted(Path(package.__path__[0]).rglob("*.py")):
        tree: Any = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{file.name}:{node.lineno}", node.value


def test_every_command_and_option_that_a_message_names_exists() -> None:
    commands = command_line().commands
    groups = [one for group in commands.values() for one in getattr(group, "commands", {}).values()]
    options = {name for one in [*commands.values(), *groups] for param in one.params for name in param.opts}
    for place, text in named_in_messages():
        for command in re.findall(r"(?:^|: |, then |with )forgetkit (?!plugin)([a-z][a-z-]+)\b(?! is)", text):
            assert command in commands, (place, command)
        for option in re.findall(r"(?<![\w-])(--[a-z][a-z-]+[a-z])(?![\w-])", text):
            assert option in options | OF_OTHERS | set(MEANT), (place, option)


OF_OTHERS = {"--help", "--help-all", "--version", "--junit-xml", "--include"}
"""Options of every command, and of other tools."""
