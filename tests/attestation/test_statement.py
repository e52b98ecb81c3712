"""Statements: what they say, what they leave out, and which contradict themselves."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2 as test_results
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as InToto

from forgetkit.attestation.attest import Attestation, attest
from forgetkit.attestation.audit_report import audit_of
from forgetkit.attestation.model_file import read_model
from forgetkit.attestation.statement import read_statement
from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.header import read_record
from forgetkit.models.checkpoint import load_tensors
from forgetkit.models.tensor_file import tensor_digest

HERE = Path("a.intoto.jsonl")


def reread(content: Any) -> Any:  # noqa: ANN401 - whatever a payload holds
    return read_statement(compact_json(content).encode(), HERE)


def refusal(content: Any) -> str:  # noqa: ANN401
    with pytest.raises(ForgetkitError) as refused:
        reread(content)
    assert refused.value.code == "attestation-malformed"
    return refused.value.message


def audit_refusal(folder: Path, report: Any) -> ForgetkitError:  # noqa: ANN401
    path = folder / "report.json"
    path.write_text(report if isinstance(report, str) else json.dumps(report))
    with pytest.raises(ForgetkitError) as refused:
        audit_of(path, read_record(folder / "forgot.st").digest, folder / "forgot.st")
    return refused.value


def report_of(folder: Path, name: str = "passed.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


def test_the_subject_has_the_digests_of_the_file_and_of_its_tensors(folder: Path, content: dict[str, Any]) -> None:
    path = folder / "forgot.st"
    digest = tensor_digest(load_tensors(path, read_record(path)))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert content["subject"] == [{"name": "forgot.st", "digest": {"sha256": sha256, "forgetkitTensors": digest}}]


def test_the_predicate_is_a_test_result(content: dict[str, Any]) -> None:
    predicate = content["predicate"]
    assert content["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert (predicate["result"], predicate["failedTests"], predicate["warnedTests"]) == ("PASSED", [], [])
    assert {"integrity", "membership"} <= set(predicate["passedTests"])


def test_lineage_and_audit_are_those_of_record_and_report(folder: Path, content: dict[str, Any]) -> None:
    details, record, report = content["predicate"]["forgetkit"], read_record(folder / "forgot.st"), report_of(folder)
    assert [step["command"] for step in details["lineage"]["steps"]] == ["train", "relabel"]
    for said, step in zip(details["lineage"]["steps"], record.steps, strict=True):
        assert said == {key: getattr(step, key) for key in ("command", "options", "seed", "parent", "ids")}
    assert details["lineage"]["forgotten"] == {"count": 65, "digest": record.forgotten.digest}
    assert details["audit"]["inputs"] == report["inputs"]
    assert details["audit"]["policy"] == report["policy"]
    for said, check in zip(details["audit"]["checks"], report["checks"], strict=True):
        assert said == {key: value for key, value in check.items() if key != "note"}
    assert details["audit"]["report"] == hashlib.sha256((folder / "passed.json").read_bytes()).hexdigest()


def test_no_id_stands_in_a_statement_even_if_the_report_lists_them(folder: Path) -> None:
    report = report_of(folder)
    report["ids"] = {"remembered": {"count": 1, "ids": ["secret-id"]}, "over_forgotten": {"count": 0, "ids": None}}
    report["reasons"] = [*report["reasons"], "secret-id"]
    report["checks"][0]["note"] = "secret-id"
    (folder / "listing.json").write_text(json.dumps(report))
    found = attest(str(folder / "forgot.st"), folder / "listing.json", folder / "key.pem", ask=lambda: None)
    assert b"secret-id" not in found.payload


def test_the_same_evidence_gives_the_same_line(folder: Path, prepared: Attestation) -> None:
    again = attest(str(folder / "forgot.st"), folder / "passed.json", folder / "key.pem", ask=lambda: None)
    assert again.line() == prepared.line()


def test_another_verdict_is_a_failed_test(folder: Path) -> None:
    found = attest(str(folder / "forgot.st"), folder / "open.json", folder / "key.pem", ask=lambda: None)
    content = json.loads(found.payload)
    assert (content["predicate"]["result"], found.audit.verdict) == ("FAILED", "inconclusive")


def test_in_totos_own_library_takes_the_statement(prepared: Attestation, content: dict[str, Any]) -> None:
    parsed = json_format.Parse(prepared.payload, statement_pb2.Statement())
    InToto.copy_from_pb(parsed).validate()
    predicate = json.dumps(content["predicate"])
    result = json_format.Parse(predicate, test_results.TestResult(), ignore_unknown_fields=True)
    assert (result.result, list(result.passed_tests)) == ("PASSED", content["predicate"]["passedTests"])


def test_fields_that_are_not_known_are_ignored(content: dict[str, Any]) -> None:
    content["predicate"]["url"] = "https://example.com"
    content["predicate"]["forgetkit"]["later"] = content["later"] = 1
    assert reread(content).audit.verdict == "forgotten"


def failing(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["audit"]["verdict"] = "not-forgotten"


def failed_check(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["audit"]["checks"][0]["verdict"] = "fail"
    content["predicate"]["passedTests"].remove("integrity")
    content["predicate"]["failedTests"] = ["integrity"]


def hidden_check(content: dict[str, Any]) -> None:
    content["predicate"]["passedTests"].append("rank")


def other_rules(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["audit"]["policy"]["membership_margin"] = 0.25


def other_model(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["audit"]["inputs"]["checkpoint"] = "0" * 64


def another_subject(content: dict[str, Any]) -> None:
    content["subject"].append({"name": "b.st", "digest": {"sha256": "0" * 64}})


def other_version(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["version"] = 2


def other_predicate(content: dict[str, Any]) -> None:
    content["predicateType"] = "https://slsa.dev/provenance/v1"


def no_details(content: dict[str, Any]) -> None:
    del content["predicate"]["forgetkit"]


def odd_request(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["request"] = {"name": 1}


def odd_lineage(content: dict[str, Any]) -> None:
    content["predicate"]["forgetkit"]["lineage"] = []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (failing, "'result' is not what the audit in it says"),
        (failed_check, "the verdict is forgotten, but the check integrity failed"),
        (hidden_check, "'passedTests' is not what the audit in it says"),
        (other_rules, "'configuration' is not what the audit in it says"),
        (other_model, "the audit in it is of another model than its subject"),
        (another_subject, "not a statement of forgetkit"),
        (other_version, "version 2; this forgetkit reads 1"),
        (other_predicate, "a statement of another type"),
        (no_details, "not a statement of forgetkit"),
        (odd_request, "not a statement of forgetkit"),
        (odd_lineage, "not a statement of forgetkit"),
    ],
)
def test_a_statement_that_contradicts_itself_is_refused_even_if_it_is_signed(
    change: Callable[[dict[str, Any]], None], words: str, content: dict[str, Any]
) -> None:
    change(content)
    assert words in refusal(content)


@pytest.mark.parametrize("content", [1, [], {}, {"_type": 1}, "text", None])
def test_what_is_no_statement_is_refused(content: Any) -> None:  # noqa: ANN401
    assert "not a statement of forgetkit" in refusal(content)


def test_the_report_of_several_models_is_searched_for_this_one(folder: Path) -> None:
    report = report_of(folder)
    other = {**report, "inputs": {**report["inputs"], "checkpoint": "0" * 64}}
    several = [{"checkpoint": "a.st", "report": other}, {"checkpoint": "forgot.st", "report": report}]
    path = folder / "several.json"
    path.write_text(json.dumps({"ok": True, "exit_code": 1, "audits": several, "warnings": []}))
    digest = read_record(folder / "forgot.st").digest
    assert audit_of(path, digest, folder / "forgot.st").inputs.checkpoint == digest
    both = {"ok": True, "audits": [several[1], several[1]]}
    assert (audit_refusal(folder, both).code, "2 times" in audit_refusal(folder, both).message) == (
        "audit-mismatch",
        True,
    )


def test_the_report_of_another_model_is_refused(folder: Path) -> None:
    report = report_of(folder)
    report["inputs"]["checkpoint"] = report["inputs"]["original"]
    refused = audit_refusal(folder, report)
    assert (refused.code, "no audit of" in refused.message) == ("audit-mismatch", True)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("", "the file is empty"),
        ("[]", "not a JSON object"),
        ('{"ok": false, "code": "usage"}', "no report, but an error of the audit"),
        ('{"ok": true}', "not a report: verdict: Field required"),
        ('{"ok": true, "audits": []}', "'audits' is not a list of reports"),
        ('{"ok": true, "audits": [1]}', "'audits' is not a list of reports"),
        ('{"ok": true, "ok": true}', "a key appears twice"),
        ('{"ok": true, "level": NaN}', "not JSON"),
    ],
)
def test_what_is_no_report_is_refused(folder: Path, report: str, words: str) -> None:
    refused = audit_refusal(folder, report)
    assert (refused.code, words in refused.message) == ("audit-malformed", True)


def without_original(report: dict[str, Any]) -> None:
    report["inputs"]["original"] = None


def undecided(report: dict[str, Any]) -> None:
    report["checks"][0].update(verdict="inconclusive")


def nothing_shown(report: dict[str, Any]) -> None:
    for check in report["checks"]:
        if check["id"] not in {"integrity", "utility"}:
            check["gating"] = False


def stranger(report: dict[str, Any]) -> None:
    report["policy"]["gating"].remove("membership")


def huge(report: dict[str, Any]) -> None:
    report["checks"][0]["n"] = "65"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_original, "there was no original to compare with"),
        (undecided, "the check integrity is inconclusive"),
        (nothing_shown, "no check on forgetting passed"),
        (stranger, "the check membership decides, but the policy does not name it"),
        (huge, "checks.0.n"),
    ],
)
def test_a_report_that_was_changed_into_a_pass_is_not_signed(
    folder: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    report = report_of(folder)
    change(report)
    refused = audit_refusal(folder, report)
    assert (refused.code, words in refused.message) == ("audit-malformed", True), refused.message


def test_a_model_whose_tensors_are_not_those_of_its_record_is_not_signed(folder: Path) -> None:
    path = folder / "forgot.st"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ForgetkitError, match="the tensors are not those of the record"):
        read_model(str(path)).record()
