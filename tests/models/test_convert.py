"""Conversion of pickles: tensors come out, nothing runs."""

import os
import shutil
import warnings
from argparse import Namespace
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from forgetkit.files.header import read_header
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

    def __init__(self, folder: Path, by: Callable[..., object] = os.mkdir) -> None:
        self.folder, self.by = folder, by

    def __reduce__(self) -> tuple[Any, ...]:
        return self.by, (str(self.folder),) if self.by is os.mkdir else (str(self.folder.parent), str(self.folder))


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
        (torch.ones(2), "no state_dict, but a torch.Tensor"),
        ({"state_dict": {}}, "no state_dict, but a dict with 'state_dict'"),
        ({"model": nn.Linear(2, 2)}, "no state_dict, but a dict with 'model' (torch.nn.modules.linear.Linear)"),
        ({"a": torch.ones(2), 5: torch.ones(2)}, "'5' of the state_dict has a key of type int, not a name"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "'a' of the state_dict is torch.complex64, which"),
        ({"a": torch.ones(2).to_sparse()}, "'a' of the state_dict is torch.sparse_coo torch.float32, which"),
        ({"a": torch.ones(2, device="meta")}, "'a' of the state_dict is a meta tensor: it has a shape, but no values"),
        ({"__metadata__": torch.ones(2)}, "'__metadata__' of the state_dict has a name that safetensors cannot hold"),
        ({"\ud800": torch.ones(2)}, "'\\ud800' of the state_dict has a name that safetensors cannot hold"),
        ({"net": {"a": torch.ones(2)}, "ema": {"a": torch.ones(2)}}, "tensors stand in 2 places: 'net', 'ema'"),
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


def test_tensors_of_a_beta_are_refused_without_warnings_of_torch(forgetkit: Run, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved(tmp_path, {"a": torch.quantize_per_tensor(torch.ones(2), 1, 0, torch.qint8)}, "quantised.pt")
        saved(tmp_path, {"a": torch.ones(2, 2).to_sparse_csr()}, "sparse.pt")
        torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    for name, words in (
        ("quantised", "'a' of the state_dict is quantised"),
        ("sparse", "'a'"),
        ("script", "a TorchScr"),
    ):
        ran = forgetkit("convert", f"{name}.pt", "-o", "new.safetensors")
        assert (ran.code, len(ran.err.splitlines())) == (2, 3)
        assert f"error: {name}.pt: {words}" in ran.err


class Own(dict[str, torch.Tensor]):
    """A dictionary of a class of one's own, with an attribute."""


def test_what_stands_beside_the_state_is_left_out_and_named(forgetkit: Run, tmp_path: Path) -> None:
    state_of_own = Own(state())
    state_of_own.origin = Path("x")  # type: ignore[attr-defined]
    counts: defaultdict[str, list[int]] = defaultdict(list, {"a": [1]})
    beside = {"best": np.float64(0.9), "args": Namespace(lr=1), "when": datetime(2026, 1, 1), "counts": counts}
    saved(tmp_path, {"net": {**state(), "epoch": 3}, "rng": torch.get_rng_state(), **beside, "trap": eval}, "a.pt")
    ran = forgetkit("convert", "a.pt", "-o", "a.safetensors")
    assert (ran.code, load_file(tmp_path / "a.safetensors").keys()) == (0, state().keys())
    assert "2 tensors under 'net' of a.pt\n  left out what is not a tensor: 'epoch' (int)\n" in ran.err
    assert "left out, and not run: objects of argparse.Namespace, builtins.eval, builtins.list, coll" in ran.err
    optimizer = {"state": {"weight": {"exp_avg": torch.ones(2)}}, "param_groups": []}
    saved(tmp_path, {"deep": {"er": state_of_own}, "optimizer": optimizer})
    assert "2 tensors under 'deep.er' of old.pt" in forgetkit("convert", "old.pt", "-o", "b.safetensors").err


def test_a_program_beside_the_state_does_not_run(forgetkit: Run, tmp_path: Path) -> None:
    saved(tmp_path, {"state_dict": state(), "trap": Trap(tmp_path / "sprung", by=shutil.copytree)})
    ran = forgetkit("convert", "old.pt", "-o", "new.safetensors")
    assert (ran.code, "not run: objects of shutil.copytree" in ran.err) == (0, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.safetensors", "old.pt"]


def test_of_several_states_one_is_chosen(forgetkit: Run, tmp_path: Path) -> None:
    twin = {name: tensor + 1 for name, tensor in state().items()}
    saved(tmp_path, {"net": state(), "ema": {"shadow": twin}})
    for key, there in (("net", state()), ("ema.shadow", twin)):
        assert forgetkit("convert", "old.pt", "--key", key, "-o", f"{key}.safetensors").code == 0
        assert torch.equal(load_file(tmp_path / f"{key}.safetensors")["bias"], there["bias"])
    wrong = forgetkit("convert", "old.pt", "--key", "nett", "-o", "x.safetensors")
    assert "error: --key: old.pt has no tensors under 'nett'\nhint: it has: 'net', 'ema.shadow'" in wrong.err
    saved(tmp_path, {"model": state(), "model_ema": twin})
    ran = forgetkit("convert", "old.pt", "-o", "usual.safetensors", "--json")
    assert [warning["code"] for warning in ran.json["warnings"]] == ["pickle", "twin"]
    assert torch.equal(load_file(tmp_path / "usual.safetensors")["bias"], state()["bias"])


@pytest.mark.parametrize("beside", [{"classes": ["b", "a"]}, {"class_to_idx": {"a": 1, "b": 0}}])
def test_names_of_classes_are_kept(forgetkit: Run, tmp_path: Path, beside: dict[str, object]) -> None:
    saved(tmp_path, {"state_dict": state(), **beside})
    assert forgetkit("convert", "old.pt", "-o", "new.safetensors").code == 0
    assert read_header(tmp_path / "new.safetensors")["__metadata__"]["label_names"] == '["b", "a"]'


def test_a_pointer_of_git_lfs_is_called_by_its_name(forgetkit: Run, tmp_path: Path) -> None:
    (tmp_path / "old.pt").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n")
    for command in (
        "convert old.pt -o x.st",
        "adopt old.pt --dataset digits -o x.st --model convnet",
        "inspect old.pt",
    ):
        ran = forgetkit(*command.split())
        assert "error: old.pt: a Git LFS pointer, not the file that it names\nhint: fetch the file" in ran.err
        assert (ran.code, (tmp_path / "x.st").exists()) == (2, False)


def test_safetensors_are_not_converted_so_no_record_is_lost(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    ran = forgetkit("convert", "model.st", "-o", "new.safetensors")
    assert (ran.code, ran.out, (tmp_path / "new.safetensors").exists()) == (2, "", False)
    assert (
        "error: model.st: it is in safetensors already\nhint: it is a checkpoint: forgetkit inspect model.st" in ran.err
    )


def test_out_is_needed(forgetkit: Run, tmp_path: Path) -> None:
    saved(tmp_path, state())
    assert forgetkit("convert", "old.pt").err.startswith("error: missing option '--out'")
