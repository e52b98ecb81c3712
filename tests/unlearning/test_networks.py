"""Networks as people have them: batch norm, group norm, attention, dropout."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from forgetkit.files.header import read_record
from tests.conftest import Run

pytestmark = pytest.mark.usefixtures("registries")
NETWORKS = {
    "batch norm": ("small-resnet",),
    "group norm": ("small-resnet", "--model-option", "norm=group"),
    "transformer": ("small-vit", "--model-option", "dropout=0.1"),
}
PLUGIN = str(Path(__file__).parents[2] / "examples" / "compare" / "networks.py")
MACHINE = ("--threads", "1", "--precision", "float32", "--plugin", PLUGIN, "-q")
STEPS = {
    "forget": ("--utility-margin", "0.9", "--budget", "1"),
    "finetune": ("--stop", "published", "--epochs", "1"),
    "scrub": ("--stop", "published", "--epochs", "1"),
    "relabel": ("--mix", "joint", "--optimizer", "adam", "--rate", "0.0001", "--utility-margin", "0.9"),
}


def statistics(path: str) -> list[torch.Tensor]:
    """Return the running statistics of batch norm in a checkpoint."""
    return [tensor for name, tensor in load_file(path).items() if name.endswith(("running_mean", "running_var"))]


@pytest.mark.parametrize("kind", NETWORKS)
def test_steps_move_the_statistics_and_are_the_same_bytes_again(forgetkit: Run, kind: str) -> None:
    model = ("--dataset", "digits", "--model", *NETWORKS[kind], "--epochs", "4")
    assert forgetkit("train", *model, "-o", "m.st", *MACHINE).code == 0
    assert forgetkit("forget-ids", "m.st", "--count", "65", "-q", "-o", "ids.txt").code == 0
    for command, options in STEPS.items():
        digests = []
        twice = kind == "batch norm" or command == "finetune"  # which draws dropout too
        for name in ("one.st", "two.st") if twice else ("one.st",):
            ran = forgetkit(command, "m.st", "-i", "ids.txt", *options, "-o", name, "-f", *MACHINE)
            assert ran.code == 0, ran.err
            digests.append(read_record(Path(name)).digest)
        assert len(set(digests)) == 1
        assert read_record(Path("one.st")).steps[-1].options["norm_statistics"] == "updated"
        assert bool(statistics("m.st")) == (kind == "batch norm")
        assert all(not torch.equal(*pair) for pair in zip(statistics("m.st"), statistics("one.st"), strict=True))
