"""What a checkpoint says about itself."""

import base64
import hashlib
import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetkit.errors import ForgetkitError
from forgetkit.files.header import LARGEST_HEADER, dumps, read_header, read_record
from forgetkit.files.id_digests import KeySet
from forgetkit.files.record import Record, Step, check_shape
from tests.conftest import Run

SALT = "00ff" * 16
IDS = st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), max_size=40)


def record_of(trained: KeySet | None = None) -> Record:
    step = Step("train", {"epochs": 2}, 0, None, None, {"loss": 0.5})
    return Record(
        digest="d" * 64,
        model={"name": "convnet", "options": {}},
        input={"shape": [1, 8, 8], "mean": [4.5], "std": [6.0]},
        classes=["ä", "b"],
        dataset={"name": "digits", "options": {}, "size": 3, "fingerprint": SALT},
        recipe={"epochs": 2},
        trained=trained,
        forgotten=KeySet.of(["7"], SALT),
        steps=[step],
        software={"forgetkit": "0", "torch": "0"},
    )


def checkpoint(path: Path, text: str, *, tensors: str = "") -> Path:
    """Write a safetensors file without tensor data whose record is ``text``."""
    header = ('{"__metadata__":{"forgetkit":' + json.dumps(text) + "}" + tensors + "}").encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def refusal(path: Path, code: str = "checkpoint-malformed") -> str:
    with pytest.raises(ForgetkitError) as caught:
        read_record(path)
    assert caught.value.code == code
    return caught.value.message.removeprefix(f"{path}: ")


@given(IDS, IDS)
def test_a_key_set_contains_what_it_was_made_of_and_nothing_else(inside: set[str], outside: set[str]) -> None:
    found = KeySet.of(inside, SALT)
    assert len(found) == len(inside)
    assert found.contains(sorted(inside)).all()
    assert not found.contains(sorted(outside - inside)).any()


@given(IDS, IDS)
def test_a_union_is_the_set_of_the_union(one: set[str], other: set[str]) -> None:
    assert (KeySet.of(one, SALT) | KeySet.of(other, SALT)).digest == KeySet.of(one | other, SALT).digest


@given(IDS)
def test_a_key_set_survives_json(ids: set[str]) -> None:
    before = KeySet.of(ids, SALT)
    after = KeySet.from_json(json.loads(json.dumps(before.to_json())), SALT)
    assert after.keys.tolist() == before.keys.tolist()


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3)))
def test_a_key_set_does_not_see_order_or_repetition(ids: list[str]) -> None:
    assert KeySet.of(ids, SALT).digest == KeySet.of(sorted(set(ids)), SALT).digest


def test_keys_are_the_sorted_blake2b_digests_of_the_ids() -> None:
    keys = sorted(hashlib.blake2b(id_.encode(), digest_size=8, key=bytes.fromhex(SALT)).digest() for id_ in "12é")
    packed = b"".join(keys)
    assert KeySet.of("12é", SALT).to_json() == {
        "count": 3,
        "digest": hashlib.sha256(packed).hexdigest(),
        "keys": base64.b64encode(packed).decode(),
    }


def test_another_salt_gives_other_keys() -> None:
    assert not set(KeySet.of("12", SALT).keys.tolist()) & set(KeySet.of("12", "11" * 32).keys.tolist())


def test_a_key_set_that_was_changed_is_refused() -> None:
    good, other = KeySet.of("123", SALT).to_json(), KeySet.of("124", SALT).to_json()
    for part in good:
        if good[part] != other[part]:
            with pytest.raises(ValueError, match="contradict"):
                KeySet.from_json({**good, part: other[part]}, SALT)


def test_a_key_set_out_of_order_is_refused() -> None:
    packed = struct.pack(">QQ", 2, 1)
    content = {"count": 2, "digest": hashlib.sha256(packed).hexdigest(), "keys": base64.b64encode(packed).decode()}
    with pytest.raises(ValueError, match="contradict"):
        KeySet.from_json(content, SALT)


@pytest.mark.parametrize("salt", ["", "00", SALT.upper(), SALT + "00", "0x" + SALT[2:], SALT[:-1] + " "])
def test_a_salt_is_32_bytes_in_lower_case_hex(salt: str) -> None:
    with pytest.raises(ValueError, match="32 bytes in hex"):
        KeySet.from_json(KeySet.of("1", SALT).to_json(), salt)


def test_the_retain_set_is_the_trained_less_the_forgotten() -> None:
    record = record_of(KeySet.of(["5", "6", "7"], SALT))
    assert record.retains(["5", "7", "8"]).tolist() == [True, False, False]


def test_a_record_without_a_trained_set_was_trained_on_everything() -> None:
    assert record_of().retains(["5", "7", "8"]).tolist() == [True, False, True]


@pytest.mark.parametrize("trained", [None, KeySet.of("123", SALT)])
def test_a_record_reads_back_as_it_was_written(tmp_path: Path, trained: KeySet | None) -> None:
    record = record_of(trained)
    assert dumps(read_record(checkpoint(tmp_path / "a.st", dumps(record)))) == dumps(record)


def test_a_record_is_compact_sorted_json_in_utf_8() -> None:
    text = dumps(record_of())
    content = json.loads(text)
    assert text == json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert '"classes":["ä","b"]' in text


def test_a_record_has_the_keys_of_the_contract() -> None:
    content = record_of(KeySet.of("1", SALT)).to_json()
    top = "version digest model input classes dataset recipe trained forgotten steps software"
    assert content.keys() == set(top.split())
    assert content["steps"][0].keys() == {"command", "options", "seed", "parent", "ids", "metrics"}
    assert content["trained"].keys() == {"count", "digest", "keys"}
    assert content["forgotten"].keys() == {"count", "digest", "keys", "salt"}


def test_a_record_with_infinity_is_never_written() -> None:
    record = record_of()
    record.steps[0].metrics["loss"] = math.inf
    with pytest.raises(ValueError, match="JSON compliant"):
        dumps(record)


def test_steps_that_differ_in_metrics_do_the_same_work() -> None:
    one = Step("train", {"epochs": 2}, 0, None, None, {"loss": 0.5})
    other = Step("train", {"epochs": 2}, 0, None, None, {"loss": 0.7})
    assert one.same_work(other)
    assert not one.same_work(Step("train", {"epochs": 2}, 1, None, None, {"loss": 0.5}))


def test_the_tensors_are_not_read(tmp_path: Path) -> None:
    """A file cut after its header has a record: whether the tensors are whole is for who loads them to say."""
    tensors = ',"fc.weight":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}'
    path = checkpoint(tmp_path / "a.st", dumps(record_of()), tensors=tensors)
    assert read_record(path).classes == ["ä", "b"]


def test_a_checkpoint_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ForgetkitError, match="No such file") as caught:
        read_record(tmp_path / "a.st")
    assert (caught.value.code, caught.value.hint) == ("checkpoint-missing", "train one with: forgetkit train")


def test_a_named_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.st")
    assert refusal(tmp_path / "a.st") == "not a regular file"


@pytest.mark.parametrize(("path", "why"), [("/dev/null", "not a regular file"), ("/tmp", "a folder, not a checkpoint")])
def test_a_device_or_folder_is_refused(path: str, why: str) -> None:
    assert refusal(Path(path)) == why


@pytest.mark.parametrize("length", [0, 1, 3, 1 << 31, 1 << 63, (1 << 64) - 1, LARGEST_HEADER + 1])
def test_a_header_length_that_cannot_be_is_refused(tmp_path: Path, length: int) -> None:
    (tmp_path / "a.st").write_bytes(struct.pack("<Q", length) + b"{}")
    cut = length == 3
    assert refusal(tmp_path / "a.st") == ("cut short within its header" if cut else "not a safetensors file")


@pytest.mark.parametrize("content", [b"", b"1234567", b"PK\x03\x04" * 9, b"\x80\x02}q\0." * 9, b"GGUF\3\0\0\0" * 9])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.st").write_bytes(content)
    assert refusal(tmp_path / "a.st") == "not a safetensors file"


@pytest.mark.parametrize(
    "header", ['{"a":1,"a":2}', "[" * 5000, "[]", "{ ", "\ufeff{}", '{"__metadata__":{"a":"b","a":"b"}}', "9" * 5000]
)
def test_a_header_that_is_not_one_object_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.st").write_bytes(struct.pack("<Q", len(header.encode())) + header.encode())
    assert refusal(tmp_path / "a.st").startswith("its header is not")


def test_a_header_of_the_largest_size_is_read(tmp_path: Path) -> None:
    header = b"{}".ljust(LARGEST_HEADER)
    (tmp_path / "a.st").write_bytes(struct.pack("<Q", len(header)) + header)
    assert read_header(tmp_path / "a.st") == {}


@pytest.mark.parametrize("metadata", ["null", "{}", '{"forgetkit":{}}', '{"format":"pt"}'])
def test_a_file_of_another_tool_is_refused(tmp_path: Path, metadata: str) -> None:
    header = ('{"__metadata__":' + metadata + "}").encode()
    (tmp_path / "a.st").write_bytes(struct.pack("<Q", len(header)) + header)
    assert refusal(tmp_path / "a.st") == "a safetensors file without a forgetkit record"


def parts(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    """Return the path of every part of a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, part in entries for path in parts(part, (*at, key)))]


FREE = {"options", "recipe", "metrics", "software"}
"""Parts of a record whose content no reader of a checkpoint relies on unchecked."""
FIXED = [
    path
    for path in parts(record_of(KeySet.of("1", SALT)).to_json())
    if path and not FREE & {*path[:-1]} and path != ("trained",) and path[-1] != "parent" and path[-1] != "ids"
]


@pytest.mark.parametrize("path", FIXED, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("value", [None, True, {}, [[]], -1.5], ids=json.dumps)
def test_a_record_with_a_part_of_another_type_is_refused(tmp_path: Path, path: tuple[Any, ...], value: object) -> None:
    content: Any = record_of(KeySet.of("1", SALT)).to_json()
    part = content
    for key in path[:-1]:
        part = part[key]
    if type(part[path[-1]]) is type(value) or (path[-2:-1] in {("mean",), ("std",)} and isinstance(value, float)):
        return
    part[path[-1]] = value
    assert "its record cannot be read" in refusal(checkpoint(tmp_path / "a.st", json.dumps(content)))


@pytest.mark.parametrize("text", ["", "[]", "null", '"a"', "{}", '{"version":2}', "[" * 5000, '{"version":1}'])
def test_a_text_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(checkpoint(tmp_path / "a.st", text)).startswith("its record cannot be read")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_record_with_a_number_that_is_none_is_refused(tmp_path: Path, number: str) -> None:
    text = dumps(record_of()).replace('"loss":0.5', f'"loss":{number}')
    assert "not JSON compliant" in refusal(checkpoint(tmp_path / "a.st", text))


def test_a_record_with_half_a_character_is_refused(tmp_path: Path) -> None:
    text = dumps(record_of()).replace("ä", r"\ud800")
    assert "surrogates not allowed" in refusal(checkpoint(tmp_path / "a.st", text))


def test_a_record_with_a_key_twice_is_refused(tmp_path: Path) -> None:
    text = dumps(record_of()).replace('"version":1', '"version":1,"version":1')
    assert "a key appears twice" in refusal(checkpoint(tmp_path / "a.st", text))


@pytest.mark.parametrize("shape", [[1, 8], [1, 8, 8, 1], [0, 8, 8], [1, -8, 8], [1, 8, 1 << 40]])
def test_an_image_shape_that_cannot_be_is_refused(tmp_path: Path, shape: list[int]) -> None:
    text = dumps(record_of()).replace('"shape":[1,8,8]', f'"shape":{json.dumps(shape)}')
    assert "input.shape" in refusal(checkpoint(tmp_path / "a.st", text))


def test_a_mean_for_each_channel_is_needed(tmp_path: Path) -> None:
    text = dumps(record_of()).replace('"shape":[1,8,8]', '"shape":[3,8,8]')
    assert "one value per channel" in refusal(checkpoint(tmp_path / "a.st", text))


def test_a_shape_names_the_part_that_does_not_fit() -> None:
    with pytest.raises(TypeError, match=r"^an entry of 'b' of a is missing or not of its type$"):
        check_shape({"b": [1, "2"]}, {"b": [int]}, "a")


TORCHLESS = (
    "cli.app",
    "files.record",
    "files.header",
    "files.id_list",
    "files.publish",
    "unlearning.inputs",
    "training.outputs",
    "data.select",
    "data.open",
)


@pytest.mark.parametrize("module", TORCHLESS)
def test_importing_what_stands_above_the_models_imports_no_heavy_library(module: str) -> None:
    code = f"import sys, forgetkit.{module}; print(*{{'torch', 'torchvision', 'sklearn', 'scipy'}} & {{*sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "\n"


def test_a_salt_that_is_not_the_data_of_the_first_training_is_refused(forgetkit: Run, model: Path, ids: Path) -> None:
    """A bit that flipped there made every id one that was never trained on: nothing left to do, exit 0."""
    content, salt = model.read_bytes(), read_record(model).forgotten.salt
    end = b'\\"salt\\":\\"' + salt.encode()
    assert content.count(end) == 1
    model.write_bytes(content.replace(end, end[:-1] + (b"0" if end[-1:] != b"0" else b"1")))
    ran = forgetkit("relabel", "model.st", "--ids", "ids.txt", "--rate", "0.1", "--json")
    assert (ran.code, ran.json["code"]) == (2, "checkpoint-malformed")
    assert "salt" in ran.json["message"]


@pytest.mark.parametrize("value", [10**20, float("inf"), 1e30])
def test_an_input_that_no_tensor_holds_is_refused(value: float) -> None:
    """A whole number beyond 64 bits was called a bug where it became a tensor."""
    content = json.loads(dumps(record_of()))
    content["input"]["std"] = [value]
    with pytest.raises(ValueError, match=r"input\.std"):
        Record.from_json(content)
