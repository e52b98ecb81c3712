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
}
"""Commands that are refused, and each again as its hint says: the words that are new in it are those of the hint."""
FILES = {"a.html", "other.xml", "old.safetensors"}
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
