"""The public library: the scripts of docs/library.md, and what importing it costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import forgetkit
from forgetkit.files.header import read_record
from tests.tiny import network, samples

PAGE = Path(__file__).parent.parent / "docs" / "library.md"
SCRIPTS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(script: str, folder: Path) -> str:
    """Run a script in ``folder``; return what it printed."""
    command = [sys.executable, "-W", "error::UserWarning", "-c", script]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_shortest_script_trains_forgets_and_audits_in_ten_lines(tmp_path: Path) -> None:
    lines = [line for line in SCRIPTS[0].splitlines() if line]
    assert len(lines) <= 10
    assert run(SCRIPTS[0], tmp_path).splitlines()[0] in {"forgotten", "inconclusive", "not-forgotten"}
    assert len(read_record(tmp_path / "model.forget.st").forgotten) == 65


def test_a_module_and_tensors_need_no_data_set(tmp_path: Path) -> None:
    before, after = map(float, run(SCRIPTS[1], tmp_path).split()[:2])
    assert 0 <= after <= before <= 1
    assert not list(tmp_path.iterdir())


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'typer', 'rich', 'pydantic', 'safetensors'} & {*sys.modules}"
    assert run(f"import sys, forgetkit; print({heavy})", Path.cwd()) == "set()\n"


@pytest.mark.parametrize("name", sorted(forgetkit._MODULES))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(forgetkit, name).__doc__
    assert name in dir(forgetkit)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'forgetkit' has no attribute 'unlearn'"):
        _ = forgetkit.unlearn  # type: ignore[attr-defined]


def test_the_ids_themselves_do_what_their_list_does(model: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("3\n5\n77\n")
    settings = forgetkit.Relabel(rate="0.1")
    first = forgetkit.relabel(model, ["3", "5", "77"], settings, out=tmp_path / "a.st")
    second = forgetkit.relabel(model, tmp_path / "ids.txt", settings, out=tmp_path / "b.st")
    assert first is not None
    assert second is not None
    assert (tmp_path / "a.st").read_bytes() == (tmp_path / "b.st").read_bytes()
    assert forgetkit.relabel(model, ["3"], out=tmp_path / "c.st", settings=settings).state == "written"  # type: ignore[union-attr]


def test_what_does_not_go_together_is_refused(model: Path) -> None:
    module, samples = nn.Linear(2, 2), (torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(forgetkit.ForgetkitError, match="a module needs the forget set"):
        forgetkit.relabel(module, forget=samples)  # type: ignore[call-overload]
    with pytest.raises(forgetkit.ForgetkitError, match="a module is given samples, not ids"):
        forgetkit.neutralize(module, ["3"], forget=samples, retain=samples, unseen=samples)  # type: ignore[call-overload]
    with pytest.raises(forgetkit.ForgetkitError, match="limits and masks are for a checkpoint"):
        forgetkit.relabel(module, forget=samples, retain=samples, unseen=samples, mask="m.st")  # type: ignore[call-overload]
    with pytest.raises(forgetkit.ForgetkitError, match="a checkpoint has its data set"):
        forgetkit.relabel(model, ["3"], forget=samples)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="the teacher of a module"):
        forgetkit.distill(module, model, forget=samples, retain=samples, unseen=samples)  # type: ignore[call-overload]


@pytest.mark.parametrize("train", [True, False])
def test_a_module_is_left_in_the_mode_that_it_came_in(train: bool) -> None:
    parts = {"forget": samples(12, 100), "retain": samples(40), "unseen": samples(60, 200)}
    for how, second in ((forgetkit.Distill(), None), (forgetkit.Distill(allow_unforgotten=True), network(seed=4))):
        module = network().train(train)
        forgetkit.distill(module, network(seed=3), None, how, forget_teacher=second, **parts)
        assert module.training is train
