"""Adoption: weights from elsewhere become a checkpoint, or one line says why not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from forgetkit.data.open import open_dataset
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import read_record
from forgetkit.files.id_list import digest_of
from forgetkit.models.build import build_model
from forgetkit.models.match import match
from forgetkit.training.device import seed_for
from tests.conftest import Ran, Run

Tensors = dict[str, Tensor]


@pytest.fixture
def weights(model: Path, tmp_path: Path) -> Path:
    """Return ``weights.safetensors``: the digits model's tensors without a record."""
    path = tmp_path / "weights.safetensors"
    save_file(load_file(model), path)
    return path


def adopted(forgetkit: Run, source: object, *more: object) -> Ran:
    return forgetkit("adopt", source, "--model", "convnet", "--dataset", "digits", "-o", "a.st", *more)


def refused(ran: Ran, folder: Path) -> str:
    """Return the message of a command that failed in two lines and wrote nothing."""
    error, hint = [line for line in ran.err.splitlines() if line.startswith(("error:", "hint:"))]
    assert (ran.code, ran.out, (folder / "a.st").exists()) == (2, "", False)
    assert hint.startswith("hint: ")
    return error.removeprefix("error: ")


def test_adopted_weights_are_the_ones_given_and_measured(forgetkit: Run, model: Path, weights: Path) -> None:
    ran = adopted(forgetkit, weights, "--json")
    original, record = read_record(model), read_record(model.with_name("a.st"))
    assert (ran.code, ran.json["outputs"], ran.json["digest"]) == (0, ["a.st"], original.digest)
    assert ran.json["metrics"]["test_accuracy"] == original.steps[0].metrics["test_accuracy"]
    assert ran.json["metrics"]["tune_accuracy"] == original.steps[0].metrics["tune_accuracy"]
    assert record.input == original.input
    assert (record.trained, len(record.forgotten), record.retained) == (None, 0, 1297)
    assert (record.forgotten.salt, record.classes) == (original.forgotten.salt, original.classes)


def test_the_step_has_no_parent_and_names_what_was_read(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    import hashlib

    assert adopted(forgetkit, weights, "--optimizer", "sgd", "--momentum", "0.9").code == 0
    (step,) = read_record(tmp_path / "a.st").steps
    assert (step.command, step.parent, step.ids, step.seed) == ("adopt", None, None, 0)
    assert step.options["source"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    recipe = read_record(tmp_path / "a.st").recipe
    assert (recipe["optimizer"], recipe["momentum"], recipe["epochs"]) == ("sgd", 0.9, 20)


def test_adopting_again_is_up_to_date_and_other_settings_are_not(forgetkit: Run, weights: Path) -> None:
    assert adopted(forgetkit, weights).code == 0
    again = adopted(forgetkit, weights)
    assert (again.code, again.out) == (0, "a.st\n")
    assert "a.st is up to date" in again.err
    other = adopted(forgetkit, weights, "--mean", "0.5", "--std", "0.5")
    assert (other.code, "exists already" in other.err) == (2, True)


def test_an_adopted_model_forgets_and_is_audited(forgetkit: Run, weights: Path, ids: Path, tmp_path: Path) -> None:
    assert adopted(forgetkit, weights).code == 0
    assert forgetkit("relabel", "a.st", "--ids", ids, "--rate", "0.1").out == "a.relabel.st\n"
    assert forgetkit("audit", "a.relabel.st", "--original", "a.st").code in {0, 1, 3}
    assert forgetkit("train", "--like", "a.st", "--exclude", ids, "--epochs", "1", "-o", "r.st").code == 0
    assert forgetkit("inspect", "a.relabel.st").code == 0


def test_a_dry_run_checks_all_and_writes_nothing(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    ran = adopted(forgetkit, weights, "--dry-run")
    assert (ran.code, ran.out, (tmp_path / "a.st").exists()) == (0, "", False)


def changed(path: Path, change: Callable[[Tensors], Tensors]) -> Path:
    """Rewrite a file of tensors."""
    save_file({name: tensor.clone().contiguous() for name, tensor in change(load_file(path)).items()}, path)
    return path


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "_orig_mod.module.", "net.inner."])
def test_a_prefix_of_all_names_is_taken_off_and_said(forgetkit: Run, weights: Path, prefix: str) -> None:
    plain = read_record(weights.with_name("model.st")).digest
    changed(weights, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    ran = adopted(forgetkit, weights)
    assert ran.code == 0
    assert f"removed the prefix '{prefix}' from 6 names" in ran.err
    assert read_record(weights.with_name("a.st")).digest == plain


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_it_is_said(forgetkit: Run, weights: Path, kind: torch.dtype) -> None:
    changed(weights, lambda tensors: {name: tensor.to(kind) for name, tensor in tensors.items()})
    ran = adopted(forgetkit, weights)
    assert f"converted 6 tensors from {str(kind).removeprefix('torch.')} to float32" in ran.err
    given, written = load_file(weights), load_file(weights.with_name("a.st"))
    assert all(torch.equal(given[name].float(), tensor) for name, tensor in written.items())


def test_mean_and_std_are_of_pixels_from_0_to_1(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    assert adopted(forgetkit, weights, "--mean", "0.02", "--std", "0.024").code == 0
    found = read_record(tmp_path / "a.st").input
    assert (found["mean"], found["std"]) == ([0.02 * 255], [0.024 * 255])


def test_accuracy_no_better_than_a_guess_is_a_warning(forgetkit: Run, weights: Path) -> None:
    ran = adopted(forgetkit, weights, "--mean", "1", "--std", "1", "--json")
    assert ran.code == 0
    assert [warning["code"] for warning in ran.json["warnings"]] == ["chance"]
    assert "--mean, --std and the order of the classes" in ran.json["warnings"][0]["message"]


def set_to(name: str, tensor: Tensor) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: tensor}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {n: v for n, v in t.items() if n != "fc.bias"}, "1 missing (fc.bias)"),
        (set_to("head.weight", torch.ones(2)), "1 unexpected (head.weight)"),
        (set_to("fc.weight", torch.ones(5, 256)), "1 of another shape (fc.weight 5×256 not 10×256)"),
        (
            set_to("fc.bias", torch.ones(10, dtype=torch.int64)),
            "1 of another type (fc.bias torch.int64 not torch.float32)",
        ),
        (
            lambda t: {**{f"x{row}": torch.ones(1) for row in range(7)}, "fc.bias": torch.ones(3)},
            "5 missing (conv1.weight, conv1.bias, conv2.weight, conv2.bias, fc.weight); "
            "7 unexpected (x0, x1, x2, x3, x4, x5, x6); 1 of another shape (fc.bias 3 not 10)",
        ),
    ],
)
def test_every_tensor_that_does_not_fit_is_named_at_once(
    forgetkit: Run, weights: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], words: str
) -> None:
    message = refused(adopted(forgetkit, changed(weights, change)), tmp_path)
    assert message == f"{weights} does not fit convnet (1×8×8 images, 10 classes): {words}"


def test_weights_that_are_not_finite_are_refused(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    changed(weights, set_to("fc.bias", torch.full((10,), torch.inf)))
    assert "'fc.bias' holds NaN or infinity" in refused(adopted(forgetkit, weights), tmp_path)


def config(**content: object) -> str:
    return json.dumps(
        {"architecture": "forgetkit:convnet", "pretrained_cfg": {"mean": [0.02], "std": [0.024]}} | content
    )


@pytest.fixture
def folder(weights: Path, tmp_path: Path) -> Path:
    """Return a folder with the weights and a config."""
    (tmp_path / "hub").mkdir()
    weights.rename(tmp_path / "hub" / "model.safetensors")
    (tmp_path / "hub" / "config.json").write_text(config())
    return tmp_path / "hub"


def test_a_folder_says_its_model_and_normalisation(forgetkit: Run, folder: Path, tmp_path: Path) -> None:
    ran = forgetkit("adopt", folder, "--dataset", "digits", "-o", "a.st")
    record = read_record(tmp_path / "a.st")
    assert (ran.code, record.model["name"], record.input["mean"]) == (0, "convnet", [0.02 * 255])
    assert "mean and std of the config" in ran.err


def test_options_go_before_the_config(forgetkit: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text(config(architecture="resnet18"))
    assert adopted(forgetkit, folder, "--mean", "0.03", "--std", "0.5").code == 0
    assert read_record(tmp_path / "a.st").input["mean"] == [0.03 * 255]


def test_the_preprocessor_of_hugging_face_is_read(forgetkit: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"architectures": ["ResNetForImageClassification"]}))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.02], "image_std": [0.5]}))
    message = refused(forgetkit("adopt", folder, "--dataset", "digits", "-o", "a.st"), tmp_path)
    assert "ResNetForImageClassification" in message
    assert adopted(forgetkit, folder).code == 0
    assert read_record(tmp_path / "a.st").input["std"] == [0.5 * 255]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not a config"),
        ("[]", "it is missing or not of its type"),
        ("[" * 100_000, "not a config"),
        (" " * (1 << 21), "too large"),
        (config(architecture=3), "'architecture'"),
        (config(pretrained_cfg=3), "'pretrained_cfg'"),
        (config(pretrained_cfg={"mean": "x", "std": [1]}), "'mean'"),
        (config(pretrained_cfg={"mean": [0.1, 0.2], "std": [1, 1]}), "not for 1 channels"),
        (config(pretrained_cfg={"mean": [0.1], "std": [0]}), "not for 1 channels"),
        (config(model_args={"width": 3}), "convnet has no option 'width'"),
        (config(architecture="no_such_network"), "timm has no model 'no_such_network'"),
        (config(architecture="hub:evil"), "there is no model named 'hub:evil'"),
        (config(label_names="0123456789"), "'label_names'"),
    ],
)
def test_a_config_that_does_not_fit_is_one_line(
    forgetkit: Run, folder: Path, tmp_path: Path, content: str, words: str
) -> None:
    if "timm" in words:
        pytest.importorskip("timm", reason="needs timm")
    (folder / "config.json").write_text(content)
    assert words in refused(forgetkit("adopt", folder, "--dataset", "digits", "-o", "a.st"), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--mean", "0.5"), "--mean and --std go together"),
        (("--mean", "123.7", "--std", "58.4"), "--mean: 123.7 is out of range for pixels from 0 to 1"),
        (
            ("--mean", "0.5,0.5,0.5", "--std", "0.5"),
            "--mean: '0.5,0.5,0.5' is neither a number nor one for each of 1 channels",
        ),
        (("--mean", "half", "--std", "0.5"), "--mean: 'half' is neither a number"),
        (("--mean", "nan", "--std", "0.5"), "--mean: nan is out of range for pixels from 0 to 1"),
        (("--mean", "0.5", "--std", "0"), "--std: 0 is out of range for pixels from 0 to 1"),
        (("--model", "convnett"), "there is no model named 'convnett'"),
        (("--model", "torchvision:resnet81"), "torchvision has no classifier 'resnet81'"),
        (("--model-option", "stem"), "--model-option: 'stem' is not KEY=VALUE"),
        (("--model-option", "stem=small"), "convnet has no option 'stem'"),
        (("--out", ""), "--out: the path is empty"),
        (("--out", "weights.safetensors"), "the output would replace the input"),
        (("--dataset", "digit"), "there is no dataset named 'digit'"),
        (("--class-order", "texts"), "--class-order: 'texts' is not one of dataset, text"),
        (("--optimizer", "addam"), "--optimizer: 'addam' is not one of"),
    ],
)
def test_a_wrong_option_is_one_line(
    forgetkit: Run, weights: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(adopted(forgetkit, "weights.safetensors", *arguments), tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        (b"", "not a safetensors file"),
        (b"PK\3\4rest", "a file that PyTorch saved, not safetensors"),
        (b"\x80\2\x8a\nl\xfc\x9cF\xf9 j", "a file that PyTorch saved, not safetensors"),
        (b"GGUF" + bytes(40), "not a safetensors file"),
        (b"\x10" + bytes(7) + b'{"a":{"x":1}}   ', "x"),
    ],
)
def test_a_file_of_another_kind_is_one_line(forgetkit: Run, tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    message = refused(adopted(forgetkit, "x"), tmp_path)
    assert message.startswith("x")
    assert words in message


def test_a_checkpoint_is_not_adopted(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    assert "it has a forgetkit record, which adopt would drop" in refused(adopted(forgetkit, model), tmp_path)


def test_a_folder_without_weights_says_what_to_do(forgetkit: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    ran = adopted(forgetkit, folder)
    assert "no model.safetensors in this folder" in refused(ran, tmp_path)
    assert f"hint: forgetkit convert {folder / 'pytorch_model.bin'} -o {folder / 'model.safetensors'}\n" in ran.err


@pytest.mark.parametrize("missing", [("--dataset", "digits"), ("-o", "a.st"), ("--model", "convnet")])
def test_what_is_missing_is_named(forgetkit: Run, weights: Path, tmp_path: Path, missing: tuple[str, str]) -> None:
    all_three = {"--dataset": "digits", "-o": "a.st", "--model": "convnet"}
    left = [word for flag, value in all_three.items() if flag != missing[0] for word in (flag, value)]
    assert refused(forgetkit("adopt", weights, *left), tmp_path)


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.other.weight = self.one.weight
        self.norm = nn.BatchNorm1d(3)


@pytest.mark.parametrize("kept", ["one.weight", "other.weight"])
def test_tied_weights_may_stand_in_the_file_once(kept: str) -> None:
    expected = Tied().state_dict()
    dropped = ({"one.weight", "other.weight"} - {kept}).pop()
    found = {name: tensor + 1 for name, tensor in expected.items() if name != dropped}
    matched = match(found, expected, where="w", what="m")
    assert torch.equal(matched.state[dropped], found[kept])
    assert matched.notes == [f"'{dropped}' is tied to '{kept}'"]


def test_counters_of_batch_norm_may_be_missing() -> None:
    expected = nn.BatchNorm1d(3).state_dict()
    found = {name: tensor for name, tensor in expected.items() if name != "num_batches_tracked"}
    matched = match(found, expected, where="w", what="m")
    assert int(matched.state["num_batches_tracked"]) == 0
    assert matched.notes == ["batch-norm counters start at 0 where the file has none (1)"]


NAMES = st.lists(st.from_regex(r"[ab]{1,2}(\.[ab]{1,2}){0,2}", fullmatch=True), min_size=1, max_size=6, unique=True)


@given(NAMES, st.sampled_from(["", "module.", "model.", "_orig_mod.module."]))
def test_a_state_under_any_prefix_is_found_again(names: list[str], prefix: str) -> None:
    expected = {name: torch.full((2,), float(row)) for row, name in enumerate(names)}
    state = match({prefix + name: tensor for name, tensor in expected.items()}, expected, where="w", what="m").state
    assert {name: float(tensor[0]) for name, tensor in state.items()} == {n: float(t[0]) for n, t in expected.items()}


@given(NAMES, NAMES)
def test_what_does_not_fit_is_refused_and_never_guessed(names: list[str], others: list[str]) -> None:
    prefixes = {other[: at + 1] for other in others for at in range(-1, len(other)) if at < 0 or other[at] == "."}
    under = [{other.removeprefix(one) for other in others if other.startswith(one)} for one in prefixes]
    whole = [found for found in under if found >= set(names)]
    expected, found = ({name: torch.ones(1) for name in group} for group in (names, others))
    if whole == [set(names)]:
        assert match(found, expected, where="w", what="m").state.keys() == expected.keys()
        return
    with pytest.raises(ForgetkitError) as caught:
        match(found, expected, where="w", what="m")
    assert caught.value.code == "checkpoint-mismatch"


def under_prefix(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("module.", {"n_averaged": torch.tensor(5)}),
        ("model.", {"criterion.weight": torch.ones(10)}),
        ("net.model.", {"net.norm.mean": torch.ones(1), "teacher.fc.weight": torch.ones(3, 3)}),
    ],
)
def test_what_stands_beside_the_model_is_left_out_and_named(
    forgetkit: Run, weights: Path, prefix: str, beside: Tensors
) -> None:
    changed(weights, lambda tensors: under_prefix(prefix, tensors) | beside)
    ran = adopted(forgetkit, weights)
    assert f"  left out, as not under '{prefix}': {', '.join(sorted(beside))}\n" in ran.err
    record = read_record(weights.with_name("a.st"))
    assert record.digest == read_record(weights.with_name("model.st")).digest
    assert record.steps[0].options["prefix"] == prefix


def test_of_two_whole_models_the_user_names_one(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    changed(weights, lambda t: under_prefix("model.", t) | under_prefix("ema.", {n: v * 2 for n, v in t.items()}))
    ran = adopted(forgetkit, weights)
    assert refused(ran, tmp_path) == f"{weights} holds 2 whole models, under 'ema.' and under 'model.'"
    assert "hint: choose one: --prefix ema. or --prefix model.\n" in ran.err
    for prefix, factor in (("model", 1), ("ema.", 2)):
        assert adopted(forgetkit, weights, "--prefix", prefix, "--force").code == 0
        want = load_file(tmp_path / "model.st")["fc.bias"] * factor
        assert torch.equal(load_file(tmp_path / "a.st")["fc.bias"], want)
    assert "no tensor's name begins with 'emma.'" in adopted(forgetkit, weights, "--prefix", "emma").err


def test_the_model_of_the_right_shapes_is_taken_beside_a_wider_one(forgetkit: Run, weights: Path) -> None:
    wider = {"conv1.weight": torch.ones(64, 1, 3, 3)}
    changed(weights, lambda t: under_prefix("student.", t) | under_prefix("teacher.", {**t, **wider}))
    assert "left out, as not under 'student.': teacher.conv1.bias" in adopted(forgetkit, weights).err


def test_an_average_beside_a_model_without_a_prefix_can_be_dropped(forgetkit: Run, weights: Path) -> None:
    changed(weights, lambda tensors: tensors | under_prefix("ema.", tensors))
    assert "hint: choose one: --drop 'ema.*' or --prefix ema.\n" in adopted(forgetkit, weights).err
    assert "left out, as --drop says: ema.conv1.bias" in adopted(forgetkit, weights, "--drop", "ema.*").err
    assert read_record(weights.with_name("a.st")).steps[0].options["drop"] == ["ema.*"]


def test_a_stale_buffer_is_dropped_by_the_hint(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    changed(weights, lambda tensors: under_prefix("module.", tensors | {"old.count": torch.ones(1)}))
    ran = adopted(forgetkit, weights)
    assert refused(ran, tmp_path).endswith(": 1 unexpected (old.count)")
    assert "hint: if the model does not use them, --drop 'module.old.count'; else choose" in ran.err
    assert adopted(forgetkit, weights, "--drop", "module.old.count").code == 0
    assert "no tensor's name is like 'x*'" in adopted(forgetkit, weights, "--drop", "x*").err


SWAPPED = [*"0123456987"]


@pytest.mark.parametrize(
    "names",
    [
        {"label_names": SWAPPED},
        {"id2label": {str(row): name for row, name in enumerate(SWAPPED)}},
        {"label2id": {name: row for row, name in reversed([*enumerate(SWAPPED)])}},
    ],
)
def test_the_classes_are_numbered_as_the_config_names_them(
    forgetkit: Run, folder: Path, tmp_path: Path, names: dict[str, object]
) -> None:
    """The 7 and the 9 of a head are swapped: with the names of its config it is as right as before."""
    order = torch.tensor([int(name) for name in SWAPPED])
    changed(folder / "model.safetensors", lambda t: {**t, **{n: t[n][order] for n in ("fc.weight", "fc.bias")}})
    before = read_record(tmp_path / "model.st")
    (folder / "config.json").write_text(config(**names))
    mean, std = (str(before.input[key][0] / 255) for key in ("mean", "std"))
    ran = adopted(forgetkit, folder / "model.safetensors", "--mean", mean, "--std", std)
    assert "classes in the order in which they are named beside the weights: 7 is '9', not '7' …" in ran.err
    record = read_record(tmp_path / "a.st")
    assert record.steps[0].metrics["test_accuracy"] == pytest.approx(
        before.steps[0].metrics["test_accuracy"], abs=0.005
    )
    assert (record.classes, record.steps[0].options["class_order"]) == (SWAPPED, digest_of(SWAPPED))
    assert forgetkit("forget-ids", "a.st", "--class", "9", "--count", "3", "-o", "i.txt").code == 0
    assert forgetkit("relabel", "a.st", "--ids", "i.txt", "--rate", "0.1").code == 0


def test_convert_hands_the_order_of_the_classes_on(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    numbered = {name: row for row, name in enumerate(SWAPPED)}
    torch.save({"net": load_file(weights), "class_to_idx": numbered}, tmp_path / "old.pt")
    assert forgetkit("convert", "old.pt", "-o", "new.safetensors").code == 0
    assert "7 is '9', not '7' …" in adopted(forgetkit, "new.safetensors").err
    assert read_record(tmp_path / "a.st").classes == SWAPPED
    assert adopted(forgetkit, "new.safetensors", "--class-order", "dataset", "--force").code == 0
    assert read_record(tmp_path / "a.st").classes == [*"0123456789"]


def test_other_names_beside_the_weights_are_noted(forgetkit: Run, folder: Path) -> None:
    (folder / "config.json").write_text(config(id2label={"0": "cat", "1": "dog"}))
    assert "other names (cat, dog): order of digits assumed" in adopted(forgetkit, folder).err
    (folder / "config.json").write_text(config(id2label={str(row): f"LABEL_{row}" for row in range(10)}))
    assert "other names" not in adopted(forgetkit, folder, "--force").err


def test_classes_numbered_as_text_are_noticed(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    """The data set numbers the digits 1, 0, 2 …; the weights, as ImageFolder would, 0, 1, 2 …."""
    dataset = open_dataset("digits", Path())
    swap = np.array([1, 0, 2, 3, 4, 5, 6, 7, 8, 9])
    split = np.repeat(["train", "test"], [len(dataset.train), len(dataset.test)])
    images = np.concatenate([dataset.train.images, dataset.test.images])[:, 0]
    labels = swap[np.concatenate([dataset.train.labels, dataset.test.labels])]
    np.savez(tmp_path / "d.npz", images=images, labels=labels, split=split, classes=[*"1023456789"])
    command = ("adopt", weights, "--model", "convnet", "--dataset", "arrays:d.npz", "-o", "a.st")
    ran = forgetkit(*command)
    assert "the weights number the classes otherwise than arrays:d.npz: accuracy on" in refused(ran, tmp_path)
    assert "hint: --class-order text takes that order, --class-order dataset keeps the other\n" in ran.err
    right = read_record(tmp_path / "model.st").steps[0].metrics["test_accuracy"]
    assert forgetkit(*command, "--class-order", "text", "--json").json["metrics"]["test_accuracy"] == right
    assert read_record(tmp_path / "a.st").classes == [*"0123456789"]
    assert forgetkit(*command, "--class-order", "text").err.endswith("a.st is up to date\n")
    other = forgetkit(*command, "--class-order", "dataset", "--force", "--json").json
    assert other["metrics"]["test_accuracy"] < right - 0.1


def of_classes(number: int, path: Path) -> Path:
    """Write the weights of ``path`` with a head of another number of classes."""
    return changed(path, lambda t: {**t, "fc.weight": torch.ones(number, 256), "fc.bias": torch.ones(number)})


def test_a_new_head_is_named_and_all_else_is_the_files(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    ran = adopted(forgetkit, of_classes(1000, weights), "--replace-head")
    assert (ran.code, ran.out) == (0, "a.st\n")
    assert "  convnet: 4 tensors of" in ran.err
    assert "  new head: fc.weight 10×256, was 1000×256; fc.bias 10, was 1000\n" in ran.err
    given, written = load_file(weights), load_file(tmp_path / "a.st")
    assert all(torch.equal(written[name], given[name]) for name in written if not name.startswith("fc."))
    assert read_record(tmp_path / "a.st").steps[0].options["replace_head"] == ["fc.bias", "fc.weight"]


def test_a_head_of_as_many_classes_is_replaced_too_and_its_draw_has_a_seed(
    forgetkit: Run, weights: Path, tmp_path: Path
) -> None:
    heads = {}
    for seed in (0, 1):
        assert adopted(forgetkit, weights, "--replace-head", "--seed", seed, "--force").code == 0
        heads[seed] = load_file(tmp_path / "a.st")["fc.weight"]
    assert not torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], load_file(weights)["fc.weight"])
    assert adopted(forgetkit, weights, "--replace-head", "--seed", 1).err.endswith("a.st is up to date\n")


def test_a_new_head_is_not_the_one_that_the_weights_began_beside(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    """The model of the tests was trained with seed 0: its initial head would fit its other weights already."""
    begun = build_model("convnet", {}, shape=(1, 8, 8), classes=10, seed=seed_for(0, "weights")).state_dict()
    assert adopted(forgetkit, weights, "--replace-head", "--seed", "0").code == 0
    assert not torch.equal(load_file(tmp_path / "a.st")["fc.weight"], begun["fc.weight"])


def test_a_new_head_says_what_to_type_next_and_that_works(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    ran = adopted(forgetkit, of_classes(7, weights), "--replace-head", "--json")
    (warning,) = ran.json["warnings"]
    said, _, command = warning["message"].partition("; train it next: forgetkit ")
    assert (warning["code"], said) == ("new-head", "the head is new (fc.bias, fc.weight), so the model guesses")
    assert forgetkit(*command.split(), "--epochs", "2").code == 0
    record = read_record(tmp_path / "a.trained.st")
    assert (record.trained, record.recipe["epochs"], record.steps[1].metrics["test_accuracy"] > 0.5) == (None, 2, True)


def test_until_it_is_trained_a_new_head_has_nothing_to_forget(forgetkit: Run, weights: Path, ids: Path) -> None:
    assert adopted(forgetkit, weights, "--replace-head").code == 0
    ran = forgetkit("relabel", "a.st", "--ids", ids)
    assert (ran.code, ran.out) == (0, "a.st\n")
    assert "30 of 30 ids are left out: they were never trained on" in ran.err
    assert "no training sample is left to choose" in forgetkit("forget-ids", "a.st", "--count", "1").err


def test_a_reference_begins_at_the_same_new_head(forgetkit: Run, weights: Path, ids: Path) -> None:
    assert adopted(forgetkit, weights, "--replace-head").code == 0
    assert forgetkit("train", "--from", "a.st", "--epochs", "1", "-o", "b.st").code == 0
    excluding = ("--exclude", ids, "--epochs", "1", "--seed", "1")
    assert forgetkit("train", "--from", "a.st", *excluding, "-o", "same.st").code == 0
    other = forgetkit("train", "--like", "b.st", *excluding, "-o", "other.st")
    assert "was trained from weights with a new head, not from scratch" in other.err
    ran = forgetkit("audit", "b.st", "--ids", ids, "--reference", "same.st", "--reference", "other.st")
    assert "other.st: trained by another recipe, or not from scratch; left out" in ran.err
    assert "same.st: trained by another" not in ran.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_to("conv1.weight", torch.ones(3, 1, 3, 3)), "1 of another shape (conv1.weight 3×1×3×3 not 32×1×3×3)"),
        (set_to("fc.weight", torch.ones(1000, 9)), "1 of another shape (fc.weight 1000×9 not 10×256)"),
        (set_to("head.weight", torch.ones(1000, 9)), "1 unexpected (head.weight)"),
        (
            lambda t: {"conv1.weight": torch.ones(1), "x": torch.ones(1), **{n: t[n] for n in t if "conv2" in n}},
            "1 missing (conv1.bias); 1 unexpected (x); 1 of another shape (conv1.weight 1 not 32×1×3×3)",
        ),
    ],
)
def test_a_new_head_excuses_nothing_else(
    forgetkit: Run, weights: Path, tmp_path: Path, change: Callable[[Tensors], Tensors], words: str
) -> None:
    message = refused(adopted(forgetkit, changed(weights, change), "--replace-head"), tmp_path)
    assert message.endswith(f": {words}")


def test_weights_of_other_classes_are_refused_with_the_way_out(forgetkit: Run, weights: Path, tmp_path: Path) -> None:
    ran = adopted(forgetkit, of_classes(1000, weights))
    assert "2 of another shape (fc.weight 1000×256 not 10×256, fc.bias 1000 not 10)" in refused(ran, tmp_path)
    assert "--replace-head makes a new head" in ran.err


def test_rows_may_be_taken_out_before_a_new_head_is_trained(digits_model: Path) -> None:
    from dataclasses import replace

    from forgetkit.data.deleted_rows import on_data
    from forgetkit.data.open import open_dataset
    from forgetkit.files.id_digests import KeySet

    record, dataset = read_record(digits_model), open_dataset("digits", Path())
    untrained = replace(record, trained=KeySet.of([], record.forgotten.salt))
    assert on_data(untrained, replace(dataset, fingerprint="0" * 64)).untrained
