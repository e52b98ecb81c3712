"""Networks of one's own, torchvision's and timm's go the whole way: train, choose, forget, audit."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision import models

from forgetkit import registry as plugins
from forgetkit.files.header import read_record
from forgetkit.models.build import MODELS, build_model, check_fit, find_factory, resolve_options
from forgetkit.models.zoo import names_in
from tests.conftest import Run

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_model.py"
TIMM = "needs timm: pip install timm"


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Take out again what a test registers."""
    before, known = dict(MODELS._entries), dict(plugins._LOADED)
    yield
    MODELS._entries.clear()
    MODELS._entries.update(before)
    plugins._LOADED.clear()
    plugins._LOADED.update(known)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """Return the name of a data set of three noisy 8×8 colour images: 60 samples to train on, 60 unseen."""
    dice = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = dice.integers(0, 256, (3, 8, 8, 3))[labels] // 2 + dice.integers(0, 128, (120, 8, 8, 3))
    np.savez(tmp_path / "tiny.npz", images=images.astype(np.uint8), labels=labels, split=np.arange(120) // 60)
    return "arrays:tiny.npz"


def go_the_whole_way(forgetkit: Run, tiny: str, model: tuple[str, ...], plugin: tuple[str, ...] = ()) -> None:
    """Run every step on a new model; each must end as it may, with one file more."""
    start = ("--dataset", tiny, "--epochs", "2", "--batch-size", "20", "--precision", "float32")
    steps = [
        ("train", *model, *start, "-o", "m.st"),
        ("forget-ids", "m.st", "--count", "4", "-o", "ids.txt"),
        ("neutralize", "m.st", "-i", "ids.txt", "--stop", "chance", "--max-epochs", "30"),
        ("distill", "m.neutralize.st", "--teacher", "m.st", "--epochs", "1"),
        ("relabel", "m.st", "-i", "ids.txt", "--optimizer", "sgd", "--rate", "0.01", "--allow-unforgotten"),
        ("audit", "m.relabel.st", "--original", "m.st"),
    ]
    for step in steps:
        ran = forgetkit(*step, *plugin, "-q")
        assert ran.code in ({0, 1, 3} if step[0] == "audit" else {0}), ran
    start_of, end = load_file("m.st"), load_file("m.neutralize.distill.st")
    assert start_of.keys() == end.keys()
    assert not all(torch.equal(start_of[name], end[name]) for name in end)
    assert len(read_record(Path("m.neutralize.distill.st")).forgotten) == 4


def test_the_example_goes_the_whole_way(forgetkit: Run, tiny: str) -> None:
    model = ("--model", "tiny", "--model-option", "width=4")
    go_the_whole_way(forgetkit, tiny, model, ("--plugin", str(EXAMPLE)))


def test_the_example_is_short() -> None:
    lines = EXAMPLE.read_text().split("\n\n\n", 1)[1].splitlines()
    assert lines[0] == '@register_model("tiny")'
    assert len(lines) <= 10


def test_resnet18_goes_the_whole_way(forgetkit: Run, tiny: str) -> None:
    go_the_whole_way(forgetkit, tiny, ("--model", "torchvision:resnet18"))


def test_a_vision_transformer_goes_the_whole_way(forgetkit: Run, tiny: str) -> None:
    pytest.importorskip("timm", reason=TIMM)
    go_the_whole_way(forgetkit, tiny, ("--model", "timm:test_vit", "--model-option", "patch_size=4"))


OWN = '''
import torch
from torch import nn
from forgetkit.models import register_model

class Attention(nn.Module):
    """Its own normalisation in a buffer, group norm, attention, and two lazy layers."""
    def __init__(self, channels, classes):
        super().__init__()
        self.register_buffer("scale", torch.full((1,), 0.5))
        self.embed = nn.Conv2d(channels, 8, 4, 4)
        self.norm = nn.GroupNorm(2, 8)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True, dropout=0.1)
        self.head = nn.LazyLinear(classes)
        self.same = nn.LazyLinear(classes)

    def forward(self, images):
        hidden = self.norm(self.embed(images * self.scale)).flatten(2).transpose(1, 2)
        hidden = self.mix(hidden, hidden, hidden)[0].mean(1)
        return self.head(hidden) + self.same(hidden)

@register_model("attention")
def attention(*, in_channels, image_size, classes):
    return Attention(in_channels, classes)
'''


def test_attention_group_norm_and_lazy_layers_go_the_whole_way(forgetkit: Run, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    go_the_whole_way(forgetkit, tiny, ("--model", "attention"), ("--plugin", "own.py"))


def test_lazy_layers_are_drawn_from_the_seed(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    plugins.load_plugins([tmp_path / "own.py"])
    drawn = []
    for seed, disturbance in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(disturbance)
        drawn.append(build_model("attention", {}, shape=(3, 8, 8), classes=3, seed=seed).state_dict()["head.weight"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_look_at_a_model_changes_nothing_in_it(tmp_path: Path) -> None:
    model = build_model("torchvision:resnet18", {"stem": "small"}, shape=(3, 8, 8), classes=3, seed=0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    check_fit(model, "resnet18", shape=(3, 8, 8), classes=3)
    assert torch.equal(torch.rand(2), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_lazy_layer_without_use_is_refused(forgetkit: Run, tiny: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN.replace(" + self.same(hidden)", ""))
    ran = forgetkit("train", "--model", "attention", "--plugin", "own.py", "--dataset", tiny, "-o", "m.st")
    assert ran.code == 2
    assert "its lazy 'same.weight' has no shape: no image reaches it" in ran.err


def test_a_model_that_returns_more_while_training_is_refused(forgetkit: Run, tiny: str, tmp_path: Path) -> None:
    last = "return self.head(hidden) + self.same(hidden)"
    (tmp_path / "own.py").write_text(OWN.replace(last, f"{last} if not self.training else (hidden, hidden)"))
    ran = forgetkit("train", "--model", "attention", "--plugin", "own.py", "--dataset", tiny, "-o", "m.st")
    assert ran.code == 2
    assert "while training, for two images it returns tuple, not 3 logits" in ran.err


@pytest.mark.parametrize(
    ("name", "shape"),
    [("test_vit", (1, 32, 24)), ("test_efficientnet", (1, 32, 32)), ("mixer_s32_224", (3, 64, 64))],
)
def test_timms_models_are_built_for_the_images(name: str, shape: tuple[int, int, int]) -> None:
    pytest.importorskip("timm", reason=TIMM)
    patch = {"patch_size": 4} if name == "test_vit" else {}
    options = resolve_options(f"timm:{name}", patch)
    assert {key for key, value in options.items() if value is not None} == set(patch)
    model = build_model(f"timm:{name}", options, shape=shape, classes=7, seed=0)
    check_fit(model, name, shape=shape, classes=7)


def test_an_unknown_model_of_timm_names_the_nearest() -> None:
    pytest.importorskip("timm", reason=TIMM)
    with pytest.raises(Exception, match="timm has no model 'resnet81'") as caught:
        find_factory("timm:resnet81")
    assert "did you mean 'resnet" in str(getattr(caught.value, "hint", ""))


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    names_in.cache_clear()
    with pytest.raises(Exception, match="needs timm, which is not installed") as caught:
        find_factory("timm:resnet18")
    assert (getattr(caught.value, "code", ""), getattr(caught.value, "hint", "")) == (
        "missing-extra",
        "pip install timm",
    )
    names_in.cache_clear()


def test_the_names_in_a_librarys_files_are_those_that_it_lists() -> None:
    timm = pytest.importorskip("timm", reason=TIMM)
    assert names_in("timm") == sorted(timm.list_models())
    assert names_in("torchvision") == sorted(models.list_models(module=models))


@pytest.mark.parametrize("name", ["timm:evil", "torchvision:evil", "resnet18", "evil"])
def test_an_unknown_name_imports_no_library(name: str) -> None:
    code = f"""
import sys
from forgetkit.models.build import find_factory
try:
    find_factory({name!r})
except Exception as problem:
    assert problem.code in ("model-unknown", "missing-extra"), problem
assert not {{"timm", "torchvision"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_timm_loads_what_is_exported_and_forgetkit_what_timm_saves(forgetkit: Run, tiny: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason=TIMM)
    vit = ("--model", "timm:test_vit", "--model-option", "patch_size=4", "--model-option", "drop_rate=0.1")
    assert forgetkit("train", *vit, "--dataset", tiny, "--epochs", "1", "-q", "-o", "m.st").code == 0
    assert forgetkit("export", "m.st", "--strip", "-o", "out").code == 0
    model = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    mine = load_file(tmp_path / "m.st")
    assert all(torch.equal(tensor, mine[name]) for name, tensor in model.state_dict().items())
    assert (model.num_classes, model.patch_embed.img_size) == (3, (8, 8))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architecture"] == "test_vit"
    timm.models.save_for_hf(model, tmp_path / "saved", safe_serialization=True)
    for folder in ("out", "saved"):
        ran = forgetkit("adopt", folder, "--dataset", tiny, "-o", f"{folder}.st")
        assert ran.code == 0, ran.err
        assert read_record(tmp_path / f"{folder}.st").digest == read_record(tmp_path / "m.st").digest
