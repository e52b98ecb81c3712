"""What a step measured on the unseen samples: the next one relies on it, and writes the same bytes without it."""

import json
from pathlib import Path

import numpy as np
import pytest

from forgetkit.training import remembered
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("registries")
STEP = ("relabel", "model.st", "-i", "one.txt", "--rate", "0.05", "--allow-unforgotten", "-q")
PLUGIN = """
from torch import nn
from forgetkit.models import register_model

@register_model("flat")
def flat(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * image_size[0] * image_size[1], classes))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of measurements in a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "one.txt").write_text("5\n")
    return tmp_path / "cache" / "forgetkit" / "unseen"


def clear(cache: Path) -> None:
    for path in cache.glob("*.npy"):
        path.unlink()


def plant(cache: Path) -> None:
    """Let every measurement in the cache say that the first 62 of 500 test samples are right."""
    for path in cache.glob("*.npy"):
        found = np.load(path)
        found[:500] = np.arange(500) < 62
        np.save(path, found)


def before(forgetkit: Run, *words: str) -> float:
    """Return the test accuracy that a step says its input had."""
    ran = forgetkit(*STEP, "-o", f"{len(list(Path().glob('*.st')))}.st", "--json", *words)
    assert ran.code == 0, ran.err
    return float(ran.json["metrics"]["test_accuracy_before"])


def test_a_step_relies_on_what_the_step_before_measured(forgetkit: Run, model: Path, cache: Path) -> None:
    true = before(forgetkit)
    assert len(list(cache.iterdir())) == 2  # of its input and of its output
    plant(cache)
    assert (before(forgetkit, "--seed", "1"), true > 0.5) == (0.124, True)
    Path("one.txt").write_text("6\n")
    assert before(forgetkit, "--rate", "0.06") == 0.124


@pytest.mark.parametrize("command", ["relabel --rate 0.05", "neutralize --stop chance", "dampen", "forget"])
def test_the_same_bytes_are_written_with_and_without_measurements(
    forgetkit: Run, model: Path, cache: Path, command: str
) -> None:
    name, *options = command.split()
    Path("two.txt").write_text("7\n8\n9\n")

    def chain() -> list[bytes]:
        for path, ids in (("model.st", "one.txt"), (f"model.{name}.st", "two.txt")):
            assert forgetkit(name, path, "-i", ids, *options, "-q").code in {0, 1}
        made = sorted(Path().glob("model.*.st"))
        found = [path.read_bytes() for path in made]
        for path in made:
            path.unlink()
        return found

    warm, again = chain(), chain()
    clear(cache)
    assert warm == again == chain() != []


@pytest.mark.parametrize("other", [("--threads", "2"), ("--precision", "bfloat16")])
def test_a_measurement_by_other_arithmetic_is_not_relied_on(
    forgetkit: Run, model: Path, cache: Path, other: tuple[str, str]
) -> None:
    true = before(forgetkit)
    plant(cache)
    assert before(forgetkit, *other) == pytest.approx(true, abs=0.02)


def test_a_setting_that_chooses_kernels_makes_another_measurement(
    forgetkit: Run, model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = before(forgetkit)
    plant(cache)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert before(forgetkit, "--seed", "1") == true


@pytest.mark.parametrize("spoil", [b"", b"\x93NUMPY", None])
def test_a_damaged_measurement_is_made_again(forgetkit: Run, model: Path, cache: Path, spoil: bytes | None) -> None:
    true = before(forgetkit)
    for path in cache.iterdir():
        if spoil is None:
            np.save(path, np.load(path) * np.nan)
        else:
            path.write_bytes(spoil)
    assert before(forgetkit, "--seed", "1") == true


def test_nothing_is_kept_of_a_model_whose_code_may_change(forgetkit: Run, cache: Path) -> None:
    Path("flat.py").write_text(PLUGIN)
    plugin = ("--plugin", "flat.py")
    train = ("train", "--dataset", "digits", "--model", "flat", "--epochs", "1", "-q", "-o", "model.st")
    assert forgetkit(*train, *plugin).code == 0
    assert before(forgetkit, *plugin) > 0
    assert not cache.exists()


def test_the_latest_measurements_are_kept(
    forgetkit: Run, model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "KEPT", 3)
    for seed in range(4):
        before(forgetkit, "--order", "shuffle", "--rate", f"0.0{seed + 1}", "--seed", str(seed))
    assert len(list(cache.iterdir())) == 3


def test_a_cache_that_takes_nothing_is_no_error(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert json.dumps(before(forgetkit))
