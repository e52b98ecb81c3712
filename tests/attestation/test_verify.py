"""Verification, as an attacker sees it: which statement would be believed that is false?"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetkit.attestation.attest import Attestation, attest
from forgetkit.attestation.envelope import sealed
from forgetkit.attestation.model_file import ModelFile, read_model
from forgetkit.attestation.verify import Verified, verify
from forgetkit.auditing.policy import Policy, read_policy
from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_tensors
from forgetkit.models.tensor_file import publish_tensors

Signed = Callable[[dict[str, Any]], Path]


@pytest.fixture
def signed(folder: Path, prepared: Attestation) -> Signed:
    """Return a function that signs a statement with the right key: what a dishonest signer could do."""

    def sign(content: dict[str, Any]) -> Path:
        path = folder / "a.intoto.jsonl"
        path.write_text(sealed(compact_json(content).encode(), prepared.signer))
        return path

    return sign


def found(folder: Path, attestation: Path, *, model: str = "forgot.st", key: str = "key.pub", **more: Any) -> Verified:  # noqa: ANN401
    return verify(read_model(str(folder / model)), attestation, folder / key, **more)


def states(result: Verified) -> list[bool | None]:
    """Return whether signature, subject, lineage, policy and verdict hold."""
    return [finding.holds for finding in result.findings]


def problem(result: Verified) -> tuple[int, str]:
    assert result.problem is not None
    return result.exit_code, result.problem.code


def test_a_true_statement_holds(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    result = found(folder, signed(content))
    assert (result.exit_code, states(result)) == (0, [True, True, True, None, True])
    assert [finding.name for finding in result.findings] == ["signature", "subject", "lineage", "policy", "verdict"]


def test_a_genuine_statement_of_another_verdict_is_exit_code_1(folder: Path) -> None:
    made = attest(str(folder / "forgot.st"), folder / "open.json", folder / "key.pem", ask=lambda: None)
    (folder / "open.jsonl").write_text(made.line())
    result = found(folder, folder / "open.jsonl")
    assert (result.exit_code, states(result)) == (1, [True, True, True, None, False])


def test_a_renamed_model_is_the_same_model(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    (folder / "forgot.st").rename(folder / "renamed.st")
    assert found(folder, signed(content), model="renamed.st").exit_code == 0


def test_the_statement_of_another_model_does_not_hold(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    result = found(folder, signed(content), model="model.st")
    assert problem(result) == (2, "checkpoint-mismatch")
    assert states(result) == [True, False, None, None, None]


def test_the_statement_of_another_key_says_nothing(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    result = found(folder, signed(content), key="other.pub")
    assert problem(result) == (2, "signature-invalid")
    assert (states(result), result.statement) == ([False, None, None, None, None], None)


def test_a_signed_statement_of_another_kind_says_nothing(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    provenance = {**content, "predicateType": "https://slsa.dev/provenance/v1"}
    result = found(folder, signed(provenance))
    assert problem(result) == (2, "attestation-malformed")
    assert states(result) == [True, None, None, None, None]


def test_the_same_tensors_with_another_record_are_another_file(
    folder: Path, content: dict[str, Any], signed: Signed
) -> None:
    record = read_record(folder / "forgot.st")
    said = record.to_json()
    said["steps"][-1]["options"]["rate"] = 0.9
    tensors = load_tensors(folder / "forgot.st", record)
    publish_tensors(folder / "forgot.st", tensors, {"format": "pt", "forgetkit": compact_json(said)})
    assert problem(found(folder, signed(content))) == (2, "checkpoint-mismatch")


def other_tensors(content: dict[str, Any]) -> None:
    content["subject"][0]["digest"]["forgetkitTensors"] = "0" * 64
    content["predicate"]["forgetkit"]["audit"]["inputs"]["checkpoint"] = "0" * 64


def other_step(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["lineage"]["steps"][1]["command"] = "forget"


def no_training(content: dict[str, Any]) -> None:
    del content["predicate"]["forgetkit"]["lineage"]["steps"][0]


def more_forgotten(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["lineage"]["forgotten"]["count"] = 1000


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (other_tensors, [True, False, None, None, None]),
        (other_step, [True, True, False, None, None]),
        (no_training, [True, True, False, None, None]),
        (more_forgotten, [True, True, False, None, None]),
    ],
)
def test_what_a_signer_says_of_the_model_is_compared_with_the_model(
    change: Callable[[dict[str, Any]], None],
    expected: list[bool | None],
    folder: Path,
    content: dict[str, Any],
    signed: Signed,
) -> None:
    change(content)
    result = found(folder, signed(content))
    assert (problem(result), states(result)) == ((2, "checkpoint-mismatch"), expected)


def test_few_of_the_forgotten_samples_judged_is_said(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    content["predicate"]["forgetkit"]["audit"]["inputs"]["ids"]["count"] = 20
    assert "20 samples judged, of 65 forgotten" in found(folder, signed(content)).findings[-1].text


def test_the_goal_of_chance_is_not_passed_off_as_that_of_a_retrained_model(
    folder: Path, content: dict[str, Any], signed: Signed
) -> None:
    report = json.loads((folder / "passed.json").read_text())
    report["policy"] = Policy(criterion="chance").to_json(None)
    for check in report["checks"]:
        check["gating"] = check["id"] in {"integrity", "chance"}
        check["verdict"] = "pass" if check["gating"] else "info"
    (folder / "chance.json").write_text(json.dumps(report))
    made = attest(str(folder / "forgot.st"), folder / "chance.json", folder / "key.pem", ask=lambda: None)
    (folder / "chance.jsonl").write_text(made.line())
    assert "forgotten by the criterion chance" in found(folder, folder / "chance.jsonl").findings[-1].text


@pytest.mark.parametrize("text", ["membership_margin = 0.04\n", "", "criterion = 'chance'\n"])
def test_rules_that_differ_do_not_hold(text: str, folder: Path, content: dict[str, Any], signed: Signed) -> None:
    (folder / "mine.toml").write_text(text)
    rules, digest = read_policy(folder / "mine.toml")
    result = found(folder, signed(content), rules=rules.to_json(digest))
    assert (problem(result), states(result)) == ((2, "policy-mismatch"), [True, True, True, False, None])


def test_the_digest_of_the_right_policy_does_not_cover_other_margins(
    folder: Path, content: dict[str, Any], signed: Signed
) -> None:
    (folder / "mine.toml").write_text("membership_margin = 0.01\n")
    rules, digest = read_policy(folder / "mine.toml")
    content["predicate"]["forgetkit"]["audit"]["policy"]["sha256"] = digest
    content["predicate"]["configuration"] = [{"name": "policy", "digest": {"sha256": digest}}]
    assert problem(found(folder, signed(content), rules=rules.to_json(digest))) == (2, "policy-mismatch")


def test_no_changed_byte_of_a_checkpoint_goes_unnoticed(folder: Path, content: dict[str, Any], signed: Signed) -> None:
    attestation, original, draw = signed(content), (folder / "forgot.st").read_bytes(), random.Random(0)
    for _ in range(300):
        changed = bytearray(original)
        changed[draw.randrange(len(original))] ^= draw.randrange(1, 256)
        result = verify(ModelFile(folder / "forgot.st", bytes(changed)), attestation, folder / "key.pub")
        assert problem(result) == (2, "checkpoint-mismatch")


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_a_checkpoint_cut_short_does_not_hold(size: int, folder: Path, content: dict[str, Any], signed: Signed) -> None:
    cut = (folder / "forgot.st").read_bytes()[:size]
    result = verify(ModelFile(folder / "forgot.st", cut), signed(content), folder / "key.pub")
    assert problem(result) == (2, "checkpoint-mismatch")


@pytest.mark.parametrize("name", ["none.st", "", "."])
def test_a_model_that_is_not_there_is_refused(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ForgetkitError) as refused:
        read_model(name)
    assert refused.value.code in {"checkpoint-missing", "checkpoint-malformed"}


def test_the_digest_of_empty_and_of_oddly_named_tensors_is_that_of_the_checkpoint(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    from forgetkit.models.tensor_file import tensor_digest

    tensors = {
        "ö.weight": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
        "a": torch.zeros(0, 3),
        "Z": torch.tensor(True),
        "b.é": torch.tensor([1, -1], dtype=torch.int8),
    }
    save_file(tensors, tmp_path / "t.st")
    assert ModelFile(tmp_path / "t.st", (tmp_path / "t.st").read_bytes()).tensor_digest() == tensor_digest(tensors)
