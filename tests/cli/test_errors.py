"""Every cause of failure: exit code, one ``error:`` line, a cure, nothing written, and one document with ``--json``."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from forgetkit.models.build import MODELS
from tests.conftest import Ran, Run

RELABEL = ("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1")
NEUTRALIZE = ("neutralize", "model.st", "--ids", "ids.txt")
DISTILL = ("distill", "model.st", "--teacher", "model.st")
TRAIN = ("train", "--dataset", "digits", "-o", "new.st")


def with_ids(name: str) -> tuple[str, ...]:
    return ("relabel", "model.st", "--ids", name, "--rate", "0.1")


def of(name: str) -> tuple[str, ...]:
    return ("relabel", name, "--ids", "ids.txt", "--rate", "0.1")


CAUSES = [
    ("usage", ("relabel", "model.st", "--rate", "0.1")),
    ("usage", ("relabl", "model.st")),
    ("usage", (*RELABEL, "--nonsense")),
    ("usage", (*RELABEL, "extra.st")),
    ("usage", (*RELABEL[:-1], "fast")),
    ("usage", (*RELABEL[:-1], "0")),
    ("usage", (*RELABEL[:-1], "nan")),
    ("usage", (*RELABEL, "--optimizer", "adamm")),
    ("usage", (*RELABEL, "--momentum", "0.5")),
    ("usage", (*RELABEL, "--order", "up")),
    ("usage", (*RELABEL, "--labels-per-id", "10")),
    ("usage", (*RELABEL, "--seed", "-1")),
    ("usage", (*RELABEL, "--device", "cud")),
    ("usage", (*RELABEL, "--device", "cuda:7000")),
    ("usage", (*RELABEL, "--precision", "float8")),
    ("usage", (*NEUTRALIZE, "--stop", "never")),
    ("usage", (*NEUTRALIZE, "--labels", "least")),
    ("usage", (*NEUTRALIZE, "--momentum", "0.5")),
    ("usage", (*NEUTRALIZE, "--max-epochs", "0")),
    ("usage", (*DISTILL, "--retain-fraction", "0")),
    ("usage", (*DISTILL, "--temperature", "0")),
    ("usage", (*DISTILL, "--alpha", "inf")),
    ("usage", ("distill", "model.st")),
    ("usage", ("train", "--dataset", "digits")),
    ("usage", (*TRAIN, "--weight-decay", "inf")),
    ("usage", ("forget-ids", "model.st")),
    ("ids-missing", with_ids("nowhere.txt")),
    ("ids-missing", with_ids("")),
    ("ids-empty", with_ids("empty.txt")),
    ("ids-unknown", with_ids("unknown.txt")),
    ("ids-malformed", with_ids("latin.txt")),
    ("ids-malformed", with_ids("-")),
    ("ids-duplicate", (*with_ids("twice.txt"), "--strict")),
    ("checkpoint-missing", of("")),
    ("checkpoint-missing", of("nowhere.st")),
    ("checkpoint-missing", ("inspect", "")),
    ("checkpoint-missing", ("distill", "model.st", "--teacher", "")),
    ("checkpoint-missing", ("audit", "model.st", "--ids", "ids.txt", "--original", "")),
    ("checkpoint-missing", ("train", "--like", "", "-o", "new.st")),
    ("checkpoint-malformed", of("text.st")),
    ("checkpoint-malformed", of("cut.st")),
    ("checkpoint-malformed", of("flipped.st")),
    ("checkpoint-malformed", of("plain.st")),
    ("checkpoint-malformed", of("folder")),
    ("checkpoint-mismatch", of("renamed.st")),
    ("checkpoint-mismatch", of("elsewhere.st")),
    ("checkpoint-mismatch", ("distill", "model.st", "--teacher", "elsewhere.st")),
    ("checkpoint-mismatch", ("audit", "model.st", "--ids", "ids.txt", "--original", "elsewhere.st")),
    ("model-unknown", of("stranger.st")),
    ("model-unknown", (*TRAIN, "--model", "convnte")),
    ("dataset-unknown", ("train", "--dataset", "digitz", "-o", "new.st")),
    ("dataset-unknown", (*RELABEL, "--dataset", "digitz")),
    ("dataset-missing", ("train", "--dataset", "mnist", "--data-root", "folder", "-o", "new.st")),
    ("output-exists", (*RELABEL, "--out", "text.st")),
    ("output-exists", (*NEUTRALIZE, "--log", "text.st")),
    ("output-exists", (*TRAIN[:-1], "text.st")),
    ("output-unwritable", (*RELABEL, "--out", "model.st", "--force")),
    ("output-unwritable", (*RELABEL, "--out", "ids.txt", "--force")),
    ("output-unwritable", (*RELABEL, "--out", "folder", "--force")),
    ("output-unwritable", (*NEUTRALIZE, "--out", "new.st", "--log", "new.st")),
    ("output-unwritable", (*DISTILL, "--log", "model.st", "--force")),
]


def edited(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Copy a checkpoint with a changed record."""
    with safe_open(source, "pt") as stream:
        record = json.loads(stream.metadata()["forgetkit"])
    change(record)
    save_file(load_file(source), target, {"format": "pt", "forgetkit": json.dumps(record)})


def of_other_data(record: dict[str, Any]) -> None:
    """Let a record be that of another data set, from its first training on."""
    record["dataset"]["fingerprint"] = record["forgotten"]["salt"] = "0" * 64
    record["steps"][0]["options"]["dataset"] = "0" * 64


@pytest.fixture(scope="module")
def corpus(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a good checkpoint and list, and bad ones of every kind."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "folder").mkdir()
    content = digits_model.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    for name, data in {"model": content, "cut": content[:-100], "flipped": flipped, "text": b"not a model\n"}.items():
        (folder / f"{name}.st").write_bytes(data)
    tensors = load_file(digits_model)
    save_file(tensors, folder / "plain.st")
    with safe_open(digits_model, "pt") as stream:
        metadata = stream.metadata()
    save_file({f"module.{name}": tensor for name, tensor in tensors.items()}, folder / "renamed.st", metadata)
    edited(digits_model, folder / "elsewhere.st", of_other_data)
    edited(digits_model, folder / "stranger.st", lambda record: record["model"].update(name="mine"))
    lists = {"ids": "0\n10\n20\n", "empty": "# none\n\n", "unknown": "3\n1300\n", "twice": "3\n4\n3\n"}
    for name, text in lists.items():
        (folder / f"{name}.txt").write_text(text)
    (folder / "latin.txt").write_bytes(b"3\n\xe9\n")
    return folder


@pytest.fixture
def here(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return ``tmp_path`` with the corpus in it; stdin is a list whose last line has no end."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"12\n13")))
    shutil.copytree(corpus, tmp_path, dirs_exist_ok=True)
    return tmp_path


def content_of(folder: Path) -> dict[str, bytes | None]:
    """Return every file and folder."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def check_refusal(ran: Ran, code: int) -> None:
    """Check what stands on stderr: one error, at most one hint and nothing after them, no traceback."""
    lines = ran.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    assert (ran.code, len(errors)) == (code, 1), ran
    assert len(hints) <= 1, ran
    assert lines[-1 - len(hints) :] == errors + hints
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(("cause", "arguments"), CAUSES, ids=[f"{n}-{c}" for n, (c, _) in enumerate(CAUSES)])
def test_refusal_is_one_line_and_writes_nothing(
    forgetkit: Run, here: Path, cause: str, arguments: tuple[str, ...]
) -> None:
    before = content_of(here)
    plain = forgetkit(*arguments)
    check_refusal(plain, 2)
    assert plain.out == ""
    sys.stdin.seek(0)
    ran = forgetkit(*arguments, "--json")
    check_refusal(ran, 2)
    assert (set(ran.json), ran.json["ok"], ran.json["code"]) == ({"ok", "code", "message", "hint"}, False, cause)
    assert f"error: {ran.json['message']}" in ran.err.splitlines()
    assert content_of(here) == before


def test_dry_run_finds_the_same_faults(forgetkit: Run, here: Path) -> None:
    for cause, arguments in CAUSES:
        if arguments[0] in {"relabel", "neutralize", "distill"} and cause not in {"checkpoint-mismatch", "usage"}:
            if arguments[1] in {"flipped.st", "cut.st", "stranger.st"} or "-" in arguments:
                continue  # weights and models are looked at when they are needed
            ran = forgetkit(*arguments, "--json", "--dry-run")
            assert (ran.code, ran.json["code"]) == (2, cause), arguments


def test_empty_path_says_that_the_command_before_wrote_none(forgetkit: Run, here: Path) -> None:
    ran = forgetkit(*of(""), "--json")
    assert ran.json["message"] == "no checkpoint given: the command before wrote none"


def test_unknown_id_is_named_with_file_line_and_nearest(forgetkit: Run, here: Path) -> None:
    ran = forgetkit(*with_ids("unknown.txt"))
    assert "error: unknown.txt:2: '1300' is not an id of digits" in ran.err
    assert "hint: ids run from 0 to 1296" in ran.err


def test_unreached_goal_is_exit_1_and_writes_nothing(forgetkit: Run, here: Path) -> None:
    before = content_of(here)
    arguments = (*NEUTRALIZE, "--stop", "zero", "--max-epochs", "1", "--rate", "0.000000001", "--log", "looks.jsonl")
    ran = forgetkit(*arguments)
    check_refusal(ran, 1)
    assert ran.out == ""
    assert forgetkit(*arguments, "--json").json["code"] == "not-reached"
    assert content_of(here) == before


@pytest.mark.parametrize("rate", ["1e18", "1e30"])
def test_diverged_model_is_not_written(forgetkit: Run, here: Path, rate: str) -> None:
    before = content_of(here)
    ran = forgetkit(*RELABEL[:-1], rate, "--optimizer", "sgd", "--json")
    check_refusal(ran, 2)
    assert ran.json["code"] == "diverged"
    assert content_of(here) == before


FRAGILE = """
import torch
from torch import Tensor, nn
from forgetkit.models import register_model

class Fragile(nn.Module):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.fc(images.flatten(1))
        if torch.is_autocast_enabled("cpu"):  # 0 forwards, infinite backwards
            logits = logits + 0 * (self.fc.weight - self.fc.weight.detach()).sum().sqrt()
        return logits

@register_model("fragile")
def fragile(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    return Fragile(in_channels * image_size[0] * image_size[1], classes)
"""


def test_a_model_that_bfloat16_breaks_is_told_of_float32(
    forgetkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr("forgetkit.training.device._has_bfloat16", lambda device: True)
    (tmp_path / "fragile.py").write_text(FRAGILE)
    training = ("train", "--dataset", "digits", "--plugin", "fragile.py", "--model", "fragile", "--epochs", "1")
    for precision in ("bfloat16", "auto"):
        ran = forgetkit(*training, "--precision", precision, "-o", "f.st")
        assert (ran.code, ran.out, (tmp_path / "f.st").exists()) == (2, "", False)
        assert ran.err.splitlines()[-2:] == [
            "error: the gradient of 'fc.weight' is not finite in step 1, in bfloat16; nothing was written",
            "hint: --precision float32; if that does not help, lower --rate",
        ]
    assert forgetkit(*training, "--precision", "float32", "-o", "f.st").out == "f.st\n"


def test_duplicates_are_a_warning_and_count_once(forgetkit: Run, here: Path) -> None:
    ran = forgetkit(*with_ids("twice.txt"), "--json")
    assert (ran.code, ran.json["warnings"][0]["code"]) == (0, "ids-duplicate")
    assert ran.json["record"]["steps"][-1]["ids"]["count"] == 2
    assert "warning: twice.txt:3: " in ran.err


def test_forgotten_ids_are_left_out_with_a_warning(forgetkit: Run, here: Path) -> None:
    forgetkit(*RELABEL)
    (here / "more.txt").write_text("0\n1\n")
    ran = forgetkit("relabel", "model.relabel.st", "--ids", "more.txt", "--rate", "0.1", "--json")
    assert (ran.code, ran.json["warnings"][0]["code"]) == (0, "ids-forgotten")
    assert (ran.json["record"]["steps"][-1]["ids"]["count"], ran.json["record"]["forgotten"]["count"]) == (1, 4)


@pytest.mark.parametrize("command", ["relabel", "neutralize"])
def test_nothing_left_to_do_prints_the_input(forgetkit: Run, here: Path, command: str) -> None:
    forgetkit(*RELABEL)
    before = content_of(here)
    more = {"relabel": ("--rate", "0.1"), "neutralize": ()}[command]
    ran = forgetkit(command, "model.relabel.st", "--ids", "ids.txt", *more)
    assert (ran.code, ran.lines) == (0, ["model.relabel.st"])
    assert "nothing left to do" in ran.err
    document = forgetkit(command, "model.relabel.st", "--ids", "ids.txt", *more, "--json").json
    assert (document["outputs"], document["up_to_date"]) == (["model.relabel.st"], True)
    assert forgetkit(command, "model.relabel.st", "--ids", "ids.txt", *more, "--dry-run").out == ""
    assert content_of(here) == before


def test_untrained_ids_are_left_out_with_a_warning(forgetkit: Run, here: Path) -> None:
    (here / "few.txt").write_text("".join(f"{row}\n" for row in range(100)))
    (here / "others.txt").write_text("500\n501\n")
    (here / "mixed.txt").write_text("500\n1\n")
    forgetkit("train", "--dataset", "digits", "--only", "few.txt", "--epochs", "1", "-o", "few.st")
    ran = forgetkit("relabel", "few.st", "--ids", "others.txt", "--rate", "0.1")
    assert (ran.code, ran.lines) == (0, ["few.st"])
    ran = forgetkit("relabel", "few.st", "--ids", "mixed.txt", "--rate", "0.1", "--json")
    assert ran.json["warnings"][0]["code"] == "ids-untrained"
    assert ran.json["record"]["steps"][-1]["ids"]["count"] == 1


def test_forgotten_ids_are_not_learned_again(forgetkit: Run, here: Path) -> None:
    forgetkit(*RELABEL)
    before = content_of(here)
    ran = forgetkit("train", "--from", "model.relabel.st", "--only", "ids.txt", "-o", "new.st", "--json")
    check_refusal(ran, 2)
    assert ran.json["code"] == "ids-forgotten"
    assert content_of(here) == before


def test_line_ends_and_escape_codes_in_a_name_do_not_reach_the_terminal(forgetkit: Run, here: Path) -> None:
    ran = forgetkit(*of("a\nerror: b\x1b[31m.st"))
    check_refusal(ran, 2)
    assert "\x1b" not in ran.err


TYPOS = [
    ("trian", "train"),
    ("forgetids", "forget-ids"),
    ("nutralize", "neutralize"),
    ("distil", "distill"),
    ("relable", "relabel"),
    ("aduit", "audit"),
    ("inspekt", "inspect"),
    (("relabel", "model.st", "--optimiser"), "--optimizer"),
    (("relabel", "model.st", "--idz"), "--ids"),
    (("relabel", "model.st", "--sed"), "--seed"),
    (("neutralize", "model.st", "--max-epoch"), "--max-epochs"),
    (("distill", "model.st", "--techer"), "--teacher"),
    (("train", "--exlude"), "--exclude"),
    (("--vresion",), "--version"),
    ((*RELABEL, "--optimizer", "adadetla"), "adadelta"),
    ((*NEUTRALIZE, "--labels", "minimun"), "minimum"),
    ((*TRAIN, "--model", "covnet"), "convnet"),
    ((*TRAIN, "--schedule", "cosin"), "cosine"),
    (("train", "--dataset", "cifar-10", "-o", "new.st"), "cifar10"),
    (("train", "--dataset", "fashon-mnist", "-o", "new.st"), "fashion-mnist"),
    (("train", "--dataset", "ham1000", "-o", "new.st"), "ham10000"),
    ((*TRAIN, "--model", "torchvision:resnet19"), "resnet18"),
    ((*TRAIN, "--augment", "flipcrop"), "flip-crop"),
    ((*TRAIN, "--optimizer", "adamW2"), "adamw"),
    ((*TRAIN, "--keep", "lst"), "last"),
    (("audit", "model.st", "--orignal", "model.st"), "--original"),
    (("audit", "model.st", "--criterion", "retrian"), "retrain"),
    ("scurb", "scrub"),
    ("docter", "doctor"),
    ("request", "requests"),
]


@pytest.mark.parametrize(("typed", "meant"), TYPOS)
def test_typo_is_answered_with_the_nearest_name(
    forgetkit: Run, here: Path, typed: str | tuple[str, ...], meant: str
) -> None:
    ran = forgetkit(*((typed,) if isinstance(typed, str) else typed))
    assert ran.code == 2
    assert f"did you mean {meant}?" in ran.err.replace("'", "")


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with room for 48 KiB; skip where none can be mounted."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = os.geteuid() == 0 and shutil.which("mount")
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", folder], check=False).returncode
    ):
        pytest.skip("needs a file system of its own: run as root where mount is allowed")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk_is_exit_2_and_leaves_nothing(forgetkit: Run, here: Path, full: Path) -> None:
    ran = forgetkit(*RELABEL, "--out", "full/deep/new.st", "--json")
    check_refusal(ran, 2)
    assert ran.json["code"] == "out-of-space"
    assert [path for path in full.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "command",
    [("relabel", "model.st", "--rate", "0.1", "--ids"), ("train", "--like", "model.st", "-o", "n.st", "--exclude")],
)
def test_more_forgotten_ids_than_a_record_holds_are_refused(
    forgetkit: Run, here: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr("forgetkit.files.id_digests.MOST_FORGOTTEN", 2)
    before = content_of(here)
    ran = forgetkit(*command, "ids.txt", "--json")
    check_refusal(ran, 2)
    assert (ran.json["code"], ran.json["message"]) == (
        "ids-too-many",
        "3 forgotten ids are more than a record holds (2)",
    )
    assert content_of(here) == before


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "~nobody/x"])
def test_a_data_set_that_no_file_could_be_named_after_is_unknown(forgetkit: Run, here: Path, name: str) -> None:
    """Looking whether such a file lies there was called a bug."""
    ran = forgetkit("train", "--dataset", name, "-o", "new.st", "--json")
    check_refusal(ran, 2)
    assert ran.json["code"] == "dataset-unknown"
