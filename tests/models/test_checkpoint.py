"""Checkpoints: files that other tools can load, the same work the same bytes, nothing hostile gets in."""

import ast
import hashlib
import json
import os
import random
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import forgetkit
from forgetkit.errors import ForgetkitError
from forgetkit.files.header import dumps, read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step
from forgetkit.models.build import MODELS, build_model, register_model
from forgetkit.models.checkpoint import load, load_model, load_tensors, save, save_checkpoint
from forgetkit.models.finite import not_finite
from forgetkit.models.optimizer_state import find_optimizer, load_optimizer, optimizer_path, save_optimizer
from forgetkit.models.tensor_file import DTYPES, same_tensors, tensor_digest, write_tensors

SALT = "5a" * 32


def record_of(name: str = "convnet", shape: tuple[int, ...] = (1, 8, 8)) -> Record:
    return Record(
        digest="",
        model={"name": name, "options": {}},
        input={"shape": list(shape), "mean": [4.5] * shape[0], "std": [6.0] * shape[0]},
        classes=["a", "b"],
        dataset={"name": "digits", "options": {}, "size": 3, "fingerprint": SALT},
        recipe={},
        trained=None,
        forgotten=KeySet.of(["7"], SALT),
        steps=[Step("train", {}, 0, None, None, {"loss": 0.5})],
        software={"forgetkit": "0", "torch": "0"},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the checkpoint of a small network with drawn weights."""
    model = build_model("convnet", {}, shape=(1, 8, 8), classes=2, seed=0)
    save_checkpoint(tmp_path / "a.st", model, record_of())
    return tmp_path / "a.st"


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return header and data of a safetensors file, by its own description."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assemble(path: Path, header: object, data: bytes) -> Path:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_tensors_lie_in_a_file_as_the_library_lays_them_out(tmp_path: Path) -> None:
    some = {f"{name}{at}": torch.arange(5 + at).to(kind) for at, kind in enumerate(DTYPES) for name in "béa"}
    some |= {"empty": torch.zeros(0, 3), "one": torch.tensor(3.0), "sliced": torch.eye(4)[:, 1:].contiguous()}
    save_file(some, tmp_path / "library.st", {"format": "pt"})
    write_tensors(tmp_path / "own.st", some, {"format": "pt"})
    assert parts(tmp_path / "own.st") == parts(tmp_path / "library.st")
    assert (tmp_path / "own.st").stat().st_size == (tmp_path / "library.st").stat().st_size


def digest_by_hand(path: Path) -> str:
    """Return the digest as docs/formats.md says, from the bytes of the file alone."""
    header, data = parts(path)
    state = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}, key=str.encode):
        entry = header[name]
        begin, end = entry["data_offsets"]
        line = json.dumps([name, entry["dtype"], entry["shape"]], separators=(",", ":"), ensure_ascii=False)
        state.update(line.encode() + b"\n" + data[begin:end])
    return state.hexdigest()


class Plain(nn.Module):
    """The small network as one writes it without forgetkit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)
        self.fc = nn.Linear(256, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        hidden = nn.functional.max_pool2d(self.conv1(images).relu(), 2)
        return self.fc(nn.functional.max_pool2d(self.conv2(hidden).relu(), 2).flatten(1))


def test_a_plain_module_loads_a_checkpoint_strictly_and_says_the_same(digits_model: Path) -> None:
    plain = Plain()
    plain.load_state_dict(load_file(digits_model), strict=True)
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(images), load_model(digits_model, read_record(digits_model))(images))


def test_the_digest_is_that_of_the_bytes_in_the_file(digits_model: Path) -> None:
    assert read_record(digits_model).digest == digest_by_hand(digits_model)


def test_the_metadata_are_format_and_record_alone(digits_model: Path) -> None:
    with safe_open(digits_model, framework="pt") as opened:
        metadata = opened.metadata()
    assert metadata.keys() == {"format", "forgetkit"}
    assert metadata["format"] == "pt"


def test_the_record_in_the_file_is_in_its_one_form(digits_model: Path) -> None:
    assert parts(digits_model)[0]["__metadata__"]["forgetkit"] == dumps(read_record(digits_model))


def test_a_checkpoint_holds_no_path_or_host_name(digits_model: Path) -> None:
    text = json.dumps(parts(digits_model)[0])
    assert not [word for word in (os.uname().nodename, digits_model.name, "/tmp", "seconds", "date") if word in text]


def test_the_header_is_in_order_and_compact(digits_model: Path) -> None:
    header, _ = parts(digits_model)
    content = digits_model.read_bytes()
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert content[8:].startswith(text.encode())


def test_the_same_training_in_another_process_gives_the_same_bytes(digits_model: Path, tmp_path: Path) -> None:
    """R12, a sample: a process with a hash seed of its own, and the process of this test."""
    command = [sys.executable, "-m", "forgetkit", "train", "--dataset", "digits", "--epochs", "3", "--threads", "1"]
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    subprocess.run([*command, "-q", "-o", "again.st"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "again.st").read_bytes() == digits_model.read_bytes()


def test_saving_again_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    for row in range(20):
        save_checkpoint(tmp_path / f"{row}.st", load_model(saved, read_record(saved)), record_of())
        assert (tmp_path / f"{row}.st").read_bytes() == saved.read_bytes()


class Odd(nn.Module):
    """Weights of many kinds: half precision, whole numbers, no dimension, no entry, tied, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow = nn.Parameter(torch.rand(3).half())
        self.tied = nn.Parameter(torch.rand(4, 2))
        self.again = self.tied
        self.turned = nn.Parameter(torch.rand(4, 2).t())
        self.last = nn.Parameter(torch.rand(1, 3, 2, 2).contiguous(memory_format=torch.channels_last))
        for name, value in {"brain": torch.bfloat16, "count": torch.int64, "byte": torch.uint8}.items():
            self.register_buffer(name, torch.tensor(3, dtype=value))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("none", torch.zeros(0, 3))


def test_a_checkpoint_holds_every_kind_of_tensor_as_it_was(tmp_path: Path) -> None:
    model = Odd()
    record = save_checkpoint(tmp_path / "a.st", model, record_of())
    found = load_tensors(tmp_path / "a.st", record)
    assert found.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found[name], tensor)
    assert record.digest == digest_by_hand(tmp_path / "a.st")


def test_names_beyond_ascii_stand_in_utf_8_order(tmp_path: Path) -> None:
    model = nn.ParameterDict({name: torch.zeros(1) for name in ("z", "é", "\U0001f600", "\uffee", "a")})
    record = save_checkpoint(tmp_path / "a.st", model, record_of())
    assert record.digest == digest_by_hand(tmp_path / "a.st")


def test_an_empty_tensor_has_a_digest() -> None:
    assert tensor_digest({"a": torch.ones(0, 3, dtype=torch.float64)}) != tensor_digest({})


def test_the_digest_tells_names_shapes_types_and_values_apart() -> None:
    variants = [
        {"a": torch.zeros(2, 3)},
        {"b": torch.zeros(2, 3)},
        {"a": torch.zeros(3, 2)},
        {"a": torch.zeros(2, 3, dtype=torch.int32)},
        {"a": torch.full((2, 3), -0.0)},
        {"a": torch.zeros(2, 3), "b": torch.zeros(0)},
    ]
    assert len({tensor_digest(tensors) for tensors in variants}) == len(variants)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    model = build_model("convnet", {}, shape=(1, 8, 8), classes=2, seed=0)
    model.fc.bias.data[1] = value
    with pytest.raises(ForgetkitError, match=r"no longer finite \(fc.bias\)") as caught:
        save_checkpoint(tmp_path / "a.st", model, record_of())
    assert caught.value.code == "diverged"
    assert list(tmp_path.iterdir()) == []


def with_value(path: Path, value: float) -> Path:
    """Return a checkpoint in order, but for one weight that is ``value``."""
    tensors = load_file(path)
    tensors["fc.bias"][1] = value
    header, data = parts(path)
    begin, end = header["fc.bias"]["data_offsets"]
    data = data[:begin] + tensors["fc.bias"].numpy().tobytes() + data[end:]
    record = json.loads(header["__metadata__"]["forgetkit"])
    header["__metadata__"]["forgetkit"] = json.dumps({**record, "digest": tensor_digest(tensors)})
    return assemble(path.with_name("b.st"), header, data)


def test_weights_that_are_not_finite_are_not_loaded_but_for_an_audit(saved: Path) -> None:
    path = with_value(saved, float("nan"))
    with pytest.raises(ForgetkitError, match=r"'fc.bias' holds NaN or infinity"):
        load_model(path, read_record(path))
    assert load_model(path, read_record(path), finite=False).state_dict()["fc.bias"].isnan().any()


def test_a_changed_weight_is_refused(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ForgetkitError, match=r"their digest differs") as caught:
        load_model(saved, read_record(saved))
    assert caught.value.code == "checkpoint-malformed"


def test_a_model_of_other_shapes_is_a_mismatch(saved: Path) -> None:
    record = read_record(saved)
    record.classes.append("c")
    with pytest.raises(ForgetkitError, match=r"does not fit the model convnet") as caught:
        load_model(saved, record)
    assert caught.value.code == "checkpoint-mismatch"


def test_an_unregistered_model_is_an_error_that_says_how_to_register_it(saved: Path) -> None:
    record = read_record(saved)
    record.model["name"] = "os.system"
    with pytest.raises(ForgetkitError, match=r"no model named 'os.system'") as caught:
        load_model(saved, record)
    assert caught.value.code == "model-unknown"
    assert "@register_model" in (caught.value.hint or "")


def test_a_loaded_model_is_in_eval_mode_and_knows_its_record(saved: Path) -> None:
    model = load(str(saved))
    assert not model.training
    assert model.forgetkit_record == read_record(saved)
    assert tensor_digest(model.state_dict()) == read_record(saved).digest


def test_loading_checks_the_digest(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1
    saved.write_bytes(content)
    with pytest.raises(ForgetkitError, match=r"their digest differs"):
        load(saved)


def test_loading_takes_a_plugin(tmp_path: Path) -> None:
    plugin = tmp_path / "own.py"
    text = "from torch import nn\nfrom forgetkit.models import register_model\n@register_model\n"
    plugin.write_text(f"{text}def of_a_plugin(*, classes):\n    return nn.Linear(3, classes)\n")
    save_checkpoint(tmp_path / "a.st", nn.Linear(3, 2), record_of("of_a_plugin"))
    try:
        assert isinstance(load(tmp_path / "a.st", plugin=plugin), nn.Linear)
        assert isinstance(load(tmp_path / "a.st", plugin=[plugin]), nn.Linear)
    finally:
        del MODELS._entries["of_a_plugin"]


def test_a_model_that_was_not_changed_is_saved_as_it_was(saved: Path, tmp_path: Path) -> None:
    assert save(tmp_path / "b.st", load(saved), like=saved) == read_record(saved)
    assert (tmp_path / "b.st").read_bytes() == saved.read_bytes()


def test_a_changed_model_is_saved_with_a_step_that_says_so(saved: Path, tmp_path: Path) -> None:
    model = load(saved)
    with torch.no_grad():
        model.get_parameter("fc.bias").add_(1)
    before = read_record(saved)
    written = save(tmp_path / "b.st", model, like=before, ids=["8", "7"])
    assert written == read_record(tmp_path / "b.st")
    assert written.digest == tensor_digest(model.state_dict()) != before.digest
    assert written.forgotten.contains(["7", "8", "9"]).tolist() == [True, True, False]
    (*earlier, last) = written.steps
    assert (earlier, last.command, last.parent) == (before.steps, "save", before.digest)
    assert last.ids == {"count": 2, "digest": hashlib.sha256(b"8\n7\n").hexdigest()}
    assert same_tensors(load(tmp_path / "b.st").state_dict(), model.state_dict())


@pytest.mark.parametrize("other", [nn.Linear(2, 2), nn.Conv2d(1, 32, 3).half()])
def test_another_model_is_not_saved_under_a_record(saved: Path, tmp_path: Path, other: nn.Module) -> None:
    with pytest.raises(ForgetkitError, match=r"does not fit the model convnet") as caught:
        save(tmp_path / "b.st", other, like=saved)
    assert caught.value.code == "checkpoint-mismatch"
    assert not (tmp_path / "b.st").exists()


def test_weights_of_another_type_are_not_saved(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match=r"does not fit the model convnet \(6 tensors differ\)"):
        save(tmp_path / "b.st", load(saved).half(), like=saved)


def test_saving_replaces_a_file_only_by_force_and_never_its_input(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "b.st").touch()
    with pytest.raises(ForgetkitError, match="exists already"):
        save(tmp_path / "b.st", load(saved), like=saved)
    with pytest.raises(ForgetkitError, match="would replace the input"):
        save(saved, load(saved), like=saved, force=True)
    assert save(tmp_path / "b.st", load(saved), like=saved, force=True) == read_record(tmp_path / "b.st")


def test_a_record_of_a_giant_image_takes_no_memory(saved: Path) -> None:
    """The layer that belongs to such images would have 160 billion weights."""
    record = read_record(saved)
    record.input["shape"] = [1, 50_000, 50_000]
    with pytest.raises(ForgetkitError) as caught:
        load_model(saved, record)
    assert caught.value.code == "checkpoint-mismatch"


def test_a_model_that_needs_memory_to_be_built_is_loaded(tmp_path: Path) -> None:
    @register_model("needs-memory")
    def build(*, in_channels: int, image_size: tuple[int, int], classes: int) -> nn.Module:
        return nn.Linear(int(torch.ones(3).sum().item()), classes)

    try:
        record = save_checkpoint(tmp_path / "a.st", nn.Linear(3, 2), record_of("needs-memory"))
        assert load_model(tmp_path / "a.st", record).state_dict()["weight"].shape == (2, 3)
    finally:
        del MODELS._entries["needs-memory"]


Change = Callable[[random.Random, bytes], bytes]


def flipped(dice: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def flipped_in_header(dice: random.Random, content: bytes) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    changed = bytearray(content)
    for _ in range(dice.randrange(1, 4)):
        changed[dice.randrange(8 + length)] = dice.choice(b'{}[],:"0123456789-eE\\\0 ') if dice.random() < 0.7 else 255
    return bytes(changed)


def cut(dice: random.Random, content: bytes) -> bytes:
    return content[: dice.randrange(len(content))]


def other_length(dice: random.Random, content: bytes) -> bytes:
    length = dice.choice([0, 1, 7, len(content), len(content) - 8, 1 << 32, (1 << 64) - 1, dice.randrange(5000)])
    return struct.pack("<Q", length) + content[8:]


def other_magic(dice: random.Random, content: bytes) -> bytes:
    return dice.choice([b"PK\x03\x04", b"\x80\x02}q\0.", b"GGUF\3\0\0\0", b"\x89HDF\r\n\x1a\n"]) + content[8:]


def other_entry(dice: random.Random, content: bytes) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    name = dice.choice(sorted(header.keys() - {"__metadata__"}))
    entry = header[name]
    news: list[object] = [None, [], 5, {}, "F32", {**entry, "dtype": dice.choice(["F64", "BF16", "F8_E4M3", 3])}]
    news += [{**entry, "shape": shape} for shape in ([], [-1], [1 << 62, 4], entry["shape"][::-1], "x", [0.5])]
    news += [{**entry, "data_offsets": span} for span in ([0, 4], [4, 0], [0, 1 << 62], [-4, 0], [], None)]
    header[dice.choice([name, "fc.extra", "\ud800", "a\nb"])] = dice.choice(news)
    if dice.random() < 0.3:
        del header[name]
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=dice.random() < 0.5).encode(errors="surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


def other_record(dice: random.Random, content: bytes) -> bytes:
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    record = json.loads(header["__metadata__"]["forgetkit"])
    part: Any = record
    while isinstance(part, dict) and part:
        key = dice.choice(sorted(part))
        if not isinstance(part[key], dict) or dice.random() < 0.3:
            part[key] = dice.choice([None, True, 0, -1, 10**30, 1e308, "", "\ud800", [], {}, [[]], {"name": 1}])
            break
        part = part[key]
    header["__metadata__"]["forgetkit"] = json.dumps(record)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


CHANGES: list[Change] = [flipped, flipped_in_header, cut, other_length, other_magic, other_entry, other_record]


@pytest.mark.parametrize("change", CHANGES)
def test_seventy_five_broken_checkpoints_are_refused_or_load_the_same(saved: Path, change: Change) -> None:
    """R6: seven times 75; never another exception, never other weights."""
    dice, content, good = random.Random(change.__name__), saved.read_bytes(), read_record(saved).digest
    for _ in range(75):
        saved.write_bytes(change(dice, content))
        problem = None
        try:
            record = read_record(saved)
            assert tensor_digest(load_model(saved, record).state_dict()) == record.digest == good
            record.retains(["7", "8"])
        except ForgetkitError as refused:
            problem = refused
        assert problem is None or (problem.message and problem.code.startswith(("checkpoint-", "model-")))


def stepped(name: str, model: nn.Module) -> torch.optim.Optimizer:
    optimizer = {"adam": torch.optim.Adam, "adadelta": torch.optim.Adadelta}[name](model.parameters(), lr=0.5)
    model(torch.ones(2, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", ["adam", "adadelta"])
def test_an_optimizer_goes_on_where_it_was(saved: Path, name: str) -> None:
    one, other = (build_model("convnet", {}, shape=(1, 8, 8), classes=2, seed=0) for _ in range(2))
    before, after = stepped(name, one), stepped(name, other)
    save_optimizer(saved, before, name=name, digest="d")
    for state in after.state.values():
        for value in state.values():
            value.zero_()
    load_optimizer(optimizer_path(saved), after)
    assert tensor_digest(flat(before)) == tensor_digest(flat(after))


def flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{row}.{key}": value for row, entries in state.items() for key, value in entries.items()}


def test_an_optimizer_state_counts_for_its_checkpoint_and_optimizer_alone(saved: Path) -> None:
    model = build_model("convnet", {}, shape=(1, 8, 8), classes=2, seed=0)
    save_optimizer(saved, stepped("adam", model), name="adam", digest="d")
    beside = saved.with_name("a.optimizer.st")
    assert find_optimizer(saved, "d", "adam") == (beside, hashlib.sha256(beside.read_bytes()).hexdigest())
    assert find_optimizer(saved, "e", "adam") is None
    assert find_optimizer(saved, "d", "sgd") is None


def test_no_optimizer_state_is_no_error(saved: Path) -> None:
    assert find_optimizer(saved, "d", "adam") is None


def test_a_checkpoint_in_place_of_an_optimizer_state_is_refused(saved: Path) -> None:
    optimizer_path(saved).write_bytes(saved.read_bytes())
    with pytest.raises(ForgetkitError, match=r"not an optimizer state"):
        find_optimizer(saved, "d", "adam")


def test_an_optimizer_state_of_another_model_is_a_mismatch(saved: Path) -> None:
    small, large = (build_model("convnet", {}, shape=(1, 8, 8), classes=n, seed=0) for n in (2, 3))
    save_optimizer(saved, stepped("adam", small), name="adam", digest="d")
    with pytest.raises(ForgetkitError, match=r"of another model"):
        load_optimizer(optimizer_path(saved), stepped("adam", large))


def test_a_damaged_optimizer_state_is_refused(saved: Path) -> None:
    model = build_model("convnet", {}, shape=(1, 8, 8), classes=2, seed=0)
    optimizer = stepped("adam", model)
    save_optimizer(saved, optimizer, name="adam", digest="d")
    content = optimizer_path(saved).read_bytes()
    for broken in (content[:-1], content.replace(b'"0.exp_avg"', b'"x.exp_avg"')):
        optimizer_path(saved).write_bytes(broken)
        with pytest.raises(ForgetkitError) as caught:
            load_optimizer(optimizer_path(saved), optimizer)
        assert caught.value.code == "checkpoint-malformed"


def test_no_module_reads_or_writes_a_pickle() -> None:
    """R17, by the syntax: no pickle, no marshal, no shelve, no torch.load, no torch.save, no allow_pickle."""
    found = []
    for path in Path(forgetkit.__file__).parent.rglob("*.py"):
        if path.name in {"convert.py", "pickled.py"}:  # the one command for them: weights only, on demand
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            text = ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom | ast.Call | ast.Attribute) else ""
            if re.search(r"\b(pickle|marshal|shelve|dill|joblib|allow_pickle=True|torch\.(load|save))\b", text):
                found.append(f"{path.name}: {text}")
    assert found == []


@pytest.mark.parametrize("length", [0, 1, 7, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8, torch.bfloat16])
def test_every_bit_of_a_tensor_counts(length: int, dtype: torch.dtype) -> None:
    some = {"w": torch.arange(length).to(dtype)}
    assert same_tensors(some, {"w": some["w"].clone()})
    assert not same_tensors(some, {"v": some["w"]})
    for at in range(length):
        other = some["w"].clone()
        other.view(torch.uint8)[at * dtype.itemsize] ^= 1
        assert not same_tensors(some, {"w": other})


def test_tensors_of_another_kind_or_shape_are_not_the_same() -> None:
    zeros = torch.zeros(4)
    assert not same_tensors({"w": zeros}, {"w": zeros.view(2, 2)})
    assert not same_tensors({"w": zeros}, {"w": zeros.view(torch.int32)})
    assert same_tensors({"w": zeros * float("nan")}, {"w": zeros * float("nan")})


def test_large_numbers_are_finite_though_their_sum_is_not() -> None:
    large = {"w": torch.full((9,), torch.finfo(torch.float32).max)}
    assert not torch.isfinite(large["w"].sum())
    assert not_finite(large) is None
    assert not_finite({**large, "v": torch.tensor([1.0, -torch.inf, torch.inf])}) == "v"
    assert not_finite({"n": torch.tensor([5])}) is None
