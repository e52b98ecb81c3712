"""Conversion of pickles: tensors come out, nothing runs."""

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tests.conftest import Run


def saved(folder: Path, content: object, name: str = "old.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def state() -> "OrderedDict[str, torch.Tensor]":
    torch.manual_seed(0)
    found: OrderedDict[str, torch.Tensor] = nn.Linear(3, 2).state_dict()
    return found


@pytest.mark.parametrize("place", [None, "state_dict", "model_state_dict", "model"])
def test_a_state_dict_is_found_where_it_usually_stands(forgetkit: Run, tmp_path: Path, place: str | None) -> None:
    saved(tmp_path, {place: state(), "epoch": 3, "args": {"lr": 0.1}} if place else state())
    ran = forgetkit("convert", "old.pt", "-o", "new.safetensors")
    assert (ran.code, ran.out) == (0, "new.safetensors\n")
    assert (f"under '{place}'" in ran.err) == (place is not None)
    found = load_file(tmp_path / "new.safetensors")
    assert found.keys() == state().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state().items())


def test_it_warns_that_a_pickle_is_a_program(forgetkit: Run, tmp_path: Path) -> None:
    saved(tmp_path, state())
    ran = forgetkit("convert", "old.pt", "-o", "new.safetensors", "--json", "-q")
    assert [warning["code"] for warning in ran.json["warnings"]] == ["pickle"]
    assert ran.err.startswith("warning: old.pt is a pickle")


def test_the_old_format_and_shared_memory_are_read(forgetkit: Run, tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": whole, "b": whole.T, "c": whole[1]}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert forgetkit("convert", "old.pt", "-o", "new.safetensors").code == 0
    found = load_file(tmp_path / "new.safetensors")
    assert torch.equal(found["b"], whole.T)
    assert torch.equal(found["c"], whole[1])


def test_converting_again_is_up_to_date(forgetkit: Run, tmp_path: Path) -> None:
    saved(tmp_path, state())
    assert forgetkit("convert", "old.pt", "-o", "new.safetensors").code == 0
    assert "is up to date" in forgetkit("convert", "old.pt", "-o", "new.safetensors").err
    saved(tmp_path, nn.Linear(3, 2).state_dict())
    assert forgetkit("convert", "old.pt", "-o", "new.safetensors").code == 2


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_nothing_in_a_pickle_runs(forgetkit: Run, tmp_path: Path) -> None:
    saved(tmp_path, {"state_dict": state(), "trap": Trap(tmp_path / "sprung")})
    ran = forgetkit("convert", "old.pt", "-o", "new.safetensors")
    assert (ran.code, ran.out) == (2, "")
    assert "error: old.pt: it would run code (posix.mkdir)" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.pt"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (nn.Linear(2, 2), "it would run code (torch.nn.modules.linear.Linear)"),
        ({"epoch": 3, "loss": 0.5}, "no state_dict, but a dict with 'epoch', 'loss'"),
        ([torch.ones(2)], "no state_dict, but a list"),
        (torch.ones(2), "no state_dict, but a Tensor"),
        ({"state_dict": {}}, "no state_dict, but a dict with 'state_dict'"),
        ({"a": torch.ones(2), "b": 3}, "'b' of the state_dict is int, not a plain tensor"),
        ({"a": torch.ones(2), 5: torch.ones(2)}, "'5' of the state_dict is"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "tensors of type torch.complex64 are not supported"),
    ],
)
def test_anything_but_a_state_dict_is_one_line(forgetkit: Run, tmp_path: Path, content: object, words: str) -> None:
    saved(tmp_path, content)
    ran = forgetkit("convert", "old.pt", "-o", "new.safetensors")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 3)
    assert f"error: old.pt: {words}" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.pt"]


@pytest.mark.parametrize(
    "content", [b"", b"text", b"PK\3\4", b"\x80\4K\1.", b"\x80\2\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", None]
)
def test_a_file_of_another_kind_is_one_line(forgetkit: Run, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "old.pt").write_bytes(content)
    ran = forgetkit("convert", "old.pt", "-o", "new.safetensors")
    assert (ran.code, ran.out) == (2, "")
    assert [line for line in ran.err.splitlines() if line.startswith("error: old.pt: ")]
    assert not (tmp_path / "new.safetensors").exists()


def test_a_damaged_file_never_ends_in_a_traceback(forgetkit: Run, tmp_path: Path) -> None:
    whole = saved(tmp_path, state()).read_bytes()
    for cut in range(0, len(whole), max(len(whole) // 40, 1)):
        (tmp_path / "old.pt").write_bytes(whole[:cut] + bytes([whole[cut] ^ 0x55]) + whole[cut + 1 :])
        assert forgetkit("convert", "old.pt", "-o", "new.safetensors", "--force", "-q").code in {0, 2}


def test_safetensors_are_not_converted_so_no_record_is_lost(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    ran = forgetkit("convert", "model.st", "-o", "new.safetensors")
    assert (ran.code, ran.out, (tmp_path / "new.safetensors").exists()) == (2, "", False)
    assert "error: model.st: it is in safetensors already\nhint: forgetkit adopt model.st" in ran.err


def test_out_is_needed(forgetkit: Run, tmp_path: Path) -> None:
    saved(tmp_path, state())
    assert forgetkit("convert", "old.pt").err.startswith("error: convert needs --out")
