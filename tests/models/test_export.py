"""Export: a checkpoint for other tools, and back again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from forgetkit.files.header import read_record
from tests.attestation.evidence import PASSPHRASE, write_key
from tests.conftest import Run


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        found: dict[str, str] = file.metadata()
    return found


def test_a_folder_holds_weights_and_config(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    ran = forgetkit("export", model, "-o", "out")
    record = read_record(model)
    assert (ran.code, ran.out) == (0, "out\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]
    config: dict[str, Any] = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["architecture"], config["num_classes"], config["label_names"]) == (
        "forgetkit:convnet",
        10,
        record.classes,
    )
    assert config["pretrained_cfg"]["input_size"] == [1, 8, 8]
    assert config["pretrained_cfg"]["mean"] == [record.input["mean"][0] / 255]
    assert read_record(tmp_path / "out" / "model.safetensors").to_json() == record.to_json()


def test_strip_leaves_the_record_out(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    assert forgetkit("export", model, "--strip", "-o", "w.safetensors").out == "w.safetensors\n"
    assert forgetkit("export", model, "--strip", "-o", "out").code == 0
    for path in (tmp_path / "w.safetensors", tmp_path / "out" / "model.safetensors"):
        assert metadata(path) == {"format": "pt"}
        assert {name: tensor.shape for name, tensor in load_file(path).items()} == {
            name: tensor.shape for name, tensor in load_file(model).items()
        }


def test_what_is_exported_can_be_adopted_again(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    assert forgetkit("export", model, "--strip", "-o", "out").code == 0
    assert forgetkit("adopt", "out", "--dataset", "digits", "-o", "b.st").code == 0
    before, after = read_record(model), read_record(tmp_path / "b.st")
    assert (after.digest, after.model, after.classes) == (before.digest, before.model, before.classes)
    assert after.input["mean"] == pytest.approx(before.input["mean"], rel=1e-12)


def test_exporting_again_is_up_to_date_and_replaces_nothing_else(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    assert forgetkit("export", model, "-o", "out").code == 0
    again = forgetkit("export", model, "-o", "out", "--json")
    assert (again.code, again.json["up_to_date"], again.json["outputs"]) == (0, True, ["out"])
    (tmp_path / "out" / "config.json").write_text("{}")
    assert forgetkit("export", model, "-o", "out").code == 2
    assert (tmp_path / "out" / "config.json").read_text() == "{}"
    assert forgetkit("export", model, "-o", "out", "--force").code == 0


def test_the_same_export_is_the_same_bytes(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert forgetkit("export", model, "-o", name).code == 0
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_dry_run_writes_nothing(forgetkit: Run, model: Path, tmp_path: Path) -> None:
    ran = forgetkit("export", model, "-o", "out", "-n")
    assert (ran.code, ran.out, (tmp_path / "out").exists()) == (0, "", False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model.st",), "missing option '--out'"),
        (
            ("model.st", "-o", "w.safetensors"),
            "w.safetensors: a file with the record is what the checkpoint is already",
        ),
        (("model.st", "-o", "model.st", "--strip"), "model.st: the output would replace the input"),
        (("model.st", "-o", "ids.txt"), "ids.txt: no file can be made in this folder"),
        (("none.st", "-o", "out"), "none.st: No such file or directory"),
        (("", "-o", "out"), "no checkpoint given"),
        (("ids.txt", "-o", "out"), "ids.txt: "),
    ],
)
def test_a_wrong_call_is_one_line(
    forgetkit: Run, model: Path, ids: Path, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ran = forgetkit("export", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert [line for line in ran.err.splitlines() if line.startswith(f"error: {words}")]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("words", [("-o", "out"), ("--strip", "-o", "w.safetensors")])
def test_a_signed_export_is_verified_by_model_signing(
    words: tuple[str, ...], forgetkit: Run, model: Path, tmp_path: Path
) -> None:
    write_key(tmp_path, "key", kind="p256", passphrase=PASSPHRASE)
    (tmp_path / "pass.txt").write_text(PASSPHRASE)
    signed = ("export", model, *words, "--sign", "key.pem", "--passphrase-file", "pass.txt")
    assert forgetkit("export", model, *words).code == 0
    ran = forgetkit(*signed)
    out, signature = ran.lines
    assert (ran.code, signature) == (0, "out/model.sig" if out == "out" else "w.safetensors.sig")
    verify = [sys.executable, "-m", "model_signing", "verify", "key", out, "--signature", signature]
    command = [*verify, "--public_key", "key.pub"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert forgetkit(*signed, "--json").json["up_to_date"]
    weights = tmp_path / "out" / "model.safetensors" if out == "out" else tmp_path / out
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    assert forgetkit(*signed).code == 2


@pytest.mark.parametrize(("key", "code"), [("ed.pem", "key-malformed"), ("none.pem", "key-missing")])
def test_a_key_that_cannot_sign_models_leaves_nothing(
    key: str, code: str, forgetkit: Run, model: Path, tmp_path: Path
) -> None:
    write_key(tmp_path, "ed")
    assert forgetkit("export", model, "-o", "out", "--sign", key, "--json").json["code"] == code
    assert not (tmp_path / "out").exists()
