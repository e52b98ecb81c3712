"""``--image-size``: what a model sees of images of another size, at the training and at every later step."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from forgetkit.data import dataset as datasets
from forgetkit.data import resize
from forgetkit.data.dataset import Split, images_at
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.options import Compute
from forgetkit.training.train import train
from forgetkit.training.train_options import Start, TrainOptions
from tests.conftest import Run

SIZE = 8
SMALL = ("--image-size", SIZE)


def shapes(rows: int = 90, height: int = 20, width: int = 13) -> NDArray[np.uint8]:
    """Return colour images that are not square, brighter where their class says so."""
    images = np.random.default_rng(0).integers(0, 150, (rows, height, width, 3))
    for row in range(rows):
        images[row, : height // 2, :, row % 3] += 100
    return images.astype(np.uint8)


def resized(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images as torchvision resizes them."""
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    small = interpolate(tensor.contiguous(), size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return small.permute(0, 2, 3, 1).contiguous().numpy()


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Write the images, and once more resized beforehand; return the folder."""
    images = shapes()
    ids, labels = np.array([f"s{row}" for row in range(len(images))]), np.arange(len(images)) % 3
    split = np.array([("train", "test")[row >= 60] for row in range(len(images))])
    for name, pixels in (("large", images), ("small", resized(images))):
        np.savez(tmp_path / f"{name}.npz", images=pixels, labels=labels, id=ids, split=split)
    (tmp_path / "ids.txt").write_text("".join(f"s{row}\n" for row in range(0, 40, 2)))
    return tmp_path


def trained(forgetkit: Run, name: str, *options: object) -> None:
    assert forgetkit("train", "--dataset", f"arrays:{name}.npz", "--epochs", 2, *options, "-o", f"{name}.st").code == 0


def test_the_record_says_what_the_model_sees_and_from_what(forgetkit: Run, both: Path) -> None:
    trained(forgetkit, "large", *SMALL)
    trained(forgetkit, "small")
    large, small = read_record(both / "large.st"), read_record(both / "small.st")
    assert large.input == {**small.input, "resized_from": [20, 13]}
    assert large.steps[0].options["image_size"] == SIZE
    assert (large.image_size, large.data_shape) == ((SIZE, SIZE), [3, 20, 13])
    assert large.dataset["fingerprint"] != small.dataset["fingerprint"]
    assert "3×8×8 images, resized from 20×13" in forgetkit("inspect", "large.st").out


STEPS = [
    "relabel {0} --ids ids.txt --rate 0.01 --allow-unforgotten",
    "neutralize {0} --ids ids.txt --stop chance --max-epochs 1000",
    "distill {0} --teacher {0} --ids ids.txt --epochs 1",
    "dampen {0} --ids ids.txt",
    "train --like {0} --exclude ids.txt",
    "train --from {0} --epochs 1",
    "train --from {0} --epochs 1 --batch-size 7 --augment flip-crop",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_later_step_does_what_it_does_on_images_resized_beforehand(forgetkit: Run, both: Path, step: str) -> None:
    for name, options in (("large", SMALL), ("small", ())):
        trained(forgetkit, name, *options)
        assert forgetkit(*step.format(f"{name}.st").split(), "-o", f"{name}.next.st").code == 0
    large, small = (read_record(both / f"{name}.next.st") for name in ("large", "small"))
    assert large.digest == small.digest
    assert large.steps[-1].metrics == small.steps[-1].metrics
    assert (large.image_size, small.image_size) == ((SIZE, SIZE), None)


def test_replicas_see_resized_images(forgetkit: Run, both: Path) -> None:
    for name, options in (("large", SMALL), ("small", ())):
        trained(forgetkit, name, *options)
        like = ("train", "--like", f"{name}.st", "--replicas", 2)
        assert forgetkit(*like, "-o", f"{name}-{{n}}.st").code == 0
    assert read_record(both / "large-2.st").digest == read_record(both / "small-2.st").digest


def test_an_audit_sees_resized_images(forgetkit: Run, both: Path) -> None:
    reports = []
    for name, options in (("large", SMALL), ("small", ())):
        trained(forgetkit, name, *options)
        forgetkit("train", "--like", f"{name}.st", "--exclude", "ids.txt", "-o", f"{name}.reference.st")
        judged = ("audit", f"{name}.st", "--ids", "ids.txt", "--original", f"{name}.st", "--relearn")
        reports.append(json.loads(forgetkit(*judged, "--reference", f"{name}.reference.st", "--json").out))
    large, small = reports
    assert (large["checks"], large["accuracy"]) == (small["checks"], small["accuracy"])


@pytest.mark.parametrize(
    "command",
    [
        "audit large.st --ids ids.txt --original own.st",
        "audit large.st --ids ids.txt --reference other.st",
        "distill large.st --ids ids.txt --teacher own.st",
    ],
)
def test_a_model_that_sees_another_size_is_refused_beside_it(forgetkit: Run, both: Path, command: str) -> None:
    trained(forgetkit, "large", *SMALL)
    for name, more in (("own", ()), ("other", ("--exclude", "ids.txt"))):
        assert forgetkit("train", "--dataset", "arrays:large.npz", "--epochs", 1, *more, "-o", f"{name}.st").code == 0
    ran = forgetkit(*command.split())
    assert ran.code == 2
    assert (
        "sees 3×20×13 images, the model 3×8×8 images\nhint: both must be trained with the same --image-size" in ran.err
    )


def test_the_size_that_images_have_changes_no_byte(forgetkit: Run, digits_model: Path, tmp_path: Path) -> None:
    assert forgetkit("train", "--dataset", "digits", "--epochs", 3, "--image-size", 8, "-o", "a.st").code == 0
    assert (tmp_path / "a.st").read_bytes() == digits_model.read_bytes()
    record = read_record(digits_model)
    assert set(record.input) == {"shape", "mean", "std"}
    assert "image_size" not in record.steps[0].options


def test_another_size_is_not_up_to_date(forgetkit: Run, both: Path) -> None:
    trained(forgetkit, "large", *SMALL)
    repeated = ("train", "--dataset", "arrays:large.npz", "--epochs", 2, "-o", "large.st")
    assert "up to date" in forgetkit(*repeated, *SMALL).err
    assert forgetkit(*repeated, "--json").json["code"] == "output-exists"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--dataset digits --image-size 0", "invalid value for '--image-size': it must be 1 or more"),
        ("--dataset digits --image-size -3", "invalid value for '--image-size': it must be 1 or more"),
        ("--dataset digits --image-size 4097", "invalid value for '--image-size': it must be 4096 or less"),
        ("--dataset digits --image-size 3", "convnet cannot take 1×3×3 images: images must be at least 4×4"),
        ("--like model.st --image-size 8", "--image-size does not go with --like or --from"),
        ("--from model.st --image-size 8", "--image-size does not go with --like or --from"),
    ],
)
def test_a_size_that_cannot_be_is_one_line(forgetkit: Run, model: Path, options: str, words: str) -> None:
    ran = forgetkit("train", *options.split(), "-o", "new.st")
    assert ran.code == 2
    assert f"error: {words}\nhint: " in ran.err
    assert not (model.parent / "new.st").exists()


@pytest.mark.parametrize("size", [0, 4097])
def test_from_python_too(tmp_path: Path, size: int) -> None:
    with pytest.raises(ForgetkitError, match=f"--image-size: {size} is not between 1 and 4096") as caught:
        train("digits", out=tmp_path / "a.st", options=TrainOptions(Start(image_size=size)))
    assert caught.value.code == "usage"
    options = TrainOptions(Start(image_size=5), compute=Compute(precision="float32", threads=1))
    assert train("digits", out=tmp_path / "a.st", epochs=1, options=options).record.input["shape"] == [1, 5, 5]


def test_what_is_exported_is_adopted_at_the_same_size(forgetkit: Run, both: Path) -> None:
    trained(forgetkit, "large", *SMALL)
    assert forgetkit("export", "large.st", "--strip", "-o", "out").code == 0
    config = json.loads((both / "out" / "config.json").read_text())["pretrained_cfg"]
    assert (config["input_size"], config["crop_mode"]) == ([3, SIZE, SIZE], "squash")
    adopt = ("adopt", "out", "--dataset", "arrays:large.npz", "-o", "adopted.st")
    assert forgetkit(*adopt).code == 2
    assert forgetkit(*adopt, *SMALL).code == 0
    before, after = read_record(both / "large.st"), read_record(both / "adopted.st")
    assert (after.digest, after.image_size) == (before.digest, (SIZE, SIZE))
    assert after.steps[0].metrics["test_accuracy"] == before.steps[0].metrics["test_accuracy"]
    assert forgetkit("relabel", "adopted.st", "--ids", "ids.txt", "--rate", 0.01, "--allow-unforgotten").code == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_resized_in_parts_and_those_of_a_pack_too(
    channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.ascontiguousarray(shapes(30).transpose(0, 3, 1, 2)[:, :channels])
    np.save(tmp_path / "pack.npy", images)
    pack = np.load(tmp_path / "pack.npy", mmap_mode="c")
    rows = np.array([7, 3, 29])
    whole = Split([str(row) for row in range(30)], images, np.arange(30), (SIZE, SIZE)).seen
    monkeypatch.setattr(resize, "AT_ONCE", 5 * images[0].nbytes)
    monkeypatch.setattr(datasets, "LARGE", 1)
    parts = Split([str(row) for row in range(30)], pack, np.arange(30), (SIZE, SIZE))
    assert (images_at(parts, rows) == whole[rows]).all()
    exact = interpolate(torch.from_numpy(images).double(), size=(SIZE, SIZE), mode="bilinear", antialias=True).numpy()
    assert np.abs(whole - exact).max() < 1


def test_digests_of_rows_are_those_of_the_data_as_it_is(
    forgetkit: Run, both: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(both / "cache"))
    trained(forgetkit, "large", *SMALL)
    rows = next((both / "cache" / "forgetkit" / "rows").iterdir())
    before = rows.read_bytes()
    rows.unlink()
    assert forgetkit("forget-ids", "large.st", "--ids", "ids.txt", "-o", "again.txt").code == 0
    assert rows.read_bytes() == before


@pytest.mark.parametrize("entry", [[20], [20, 0], [20, 13, 1], [20, "13"], "20", [1 << 17, 13], None])
def test_a_record_with_an_impossible_size_is_refused(entry: object) -> None:
    from forgetkit.files.record import Record
    from tests.tiny import record

    content = record().to_json()
    content["input"]["resized_from"] = entry
    with pytest.raises((ValueError, TypeError), match="resized_from"):
        Record.from_json(content)


@pytest.mark.parametrize(("size", "warned"), [(129, True), (128, False)])
def test_large_images_for_the_small_stem_are_a_warning(
    forgetkit: Run, monkeypatch: pytest.MonkeyPatch, size: int, warned: bool
) -> None:
    monkeypatch.setattr("forgetkit.training.replicas.estimate_seconds", lambda *_: 1.0)
    model = ("--model", "torchvision:resnet18", "--model-option", "stem=small")
    ran = forgetkit("train", "--dataset", "digits", *model, "--image-size", size, "-n", "-o", "a.st")
    assert ran.code == 0
    assert (f"images of {size}×{size} take 16 times the memory" in ran.err) is warned
