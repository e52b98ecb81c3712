"""The statement that is signed: in-toto Statement v1 with the vetted predicate test-result v0.1.

``result``, ``passedTests`` and ``failedTests`` are for any reader of test-result. Lineage and audit are in a field of
the predicate, ``forgetkit``, as the parsing rules of in-toto provide for. Only ``forgotten`` is PASSED; a check that is
inconclusive did not pass, so it is among ``failedTests``, and nothing is ever WARNED.

Source: https://github.com/in-toto/attestation, spec v1.1 and spec/predicates/test-result.md.
"""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forgetkit.attestation.audit_report import Audit, complaint
from forgetkit.attestation.envelope import malformed
from forgetkit.attestation.model_file import ModelFile, lineage_of
from forgetkit.files.canonical_json import compact_json, strict_json
from forgetkit.files.record import check_shape

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
TENSORS = "forgetkitTensors"
"""Name of the algorithm of a checkpoint's own digest, over its tensors, in a set of digests."""
VERSION = 1


@dataclass(frozen=True)
class Statement:
    """A statement that was read, whose parts do not contradict each other.

    Attributes:
        content: the whole statement.
        digests: of the model: ``sha256`` of the file, and ``forgetkitTensors``.
        lineage: how the model came about.
        audit: what the audit found.
        request: name of the request that was answered and number of its ids, or None.
    """

    content: dict[str, Any]
    digests: dict[str, str]
    lineage: dict[str, Any]
    audit: Audit
    request: dict[str, Any] | None


def statement_of(model: ModelFile, audit: Audit, request: dict[str, Any] | None) -> bytes:
    """Return what is said of a model and its audit, as the bytes that are signed.

    Args:
        model: the checkpoint.
        audit: of this model.
        request: name of the request that was answered and number of its ids, if there was one.

    Raises:
        ForgetkitError: ``checkpoint-malformed``.
    """
    record = model.record()
    name = model.path.name.encode(errors="replace").decode()  # of any bytes
    content = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": model.sha256, TENSORS: record.digest}}],
        "predicateType": PREDICATE,
        "predicate": _predicate(lineage_of(record), audit, request),
    }
    return compact_json(content).encode()


def read_statement(payload: bytes, path: Path) -> Statement:
    """Return the statement in a payload.

    Fields that are not known are ignored, as the parsing rules of in-toto want; those that say the same thing twice
    must agree.

    Args:
        payload: the bytes that were signed.
        path: of the attestation, for messages.

    Raises:
        ForgetkitError: ``attestation-malformed``.
    """
    try:
        content = strict_json(payload)
        if (content["_type"], content["predicateType"]) != (STATEMENT, PREDICATE):
            raise malformed(path, f"a statement of another type: {content['_type']}, {content['predicateType']}")
        (subject,) = content["subject"]
        digests = {name: str(subject["digest"][name]) for name in ("sha256", TENSORS)}
        details = content["predicate"]["forgetkit"]
        if details["version"] != VERSION:
            raise malformed(path, f"version {details['version']}; this forgetkit reads {VERSION}")
        audit = Audit.model_validate(details["audit"])
        lineage, request = details["lineage"], details["request"]
        check_shape(lineage, {"forgotten": {"count": int}}, "'lineage'")
        check_shape(request, (None, {"name": str, "ids": int}), "'request'")
        expected = _predicate(lineage, audit, request)
    except ValidationError as problem:
        raise malformed(path, f"its audit cannot be read: {complaint(problem)}") from problem
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise malformed(path, f"not a statement of forgetkit ({type(problem).__name__}: {problem})") from problem
    for field in ("result", "configuration", "passedTests", "warnedTests", "failedTests"):
        if content["predicate"].get(field) != expected[field]:
            raise malformed(path, f"it contradicts itself: '{field}' is not what the audit in it says")
    if audit.inputs.checkpoint != digests[TENSORS]:
        raise malformed(path, "it contradicts itself: the audit in it is of another model than its subject")
    if why := audit.contradiction():
        raise malformed(path, f"it contradicts itself: {why}")
    return Statement(content, digests, lineage, audit, request)


def _predicate(lineage: dict[str, Any], audit: Audit, request: dict[str, Any] | None) -> dict[str, Any]:
    """Return the predicate; every field but ``forgetkit`` follows from the audit."""
    return {
        "result": "PASSED" if audit.verdict == "forgotten" else "FAILED",
        "configuration": [_configuration(audit)],
        "passedTests": audit.deciding("pass"),
        "warnedTests": [],
        "failedTests": audit.deciding("fail", "inconclusive"),
        "forgetkit": {"version": VERSION, "lineage": lineage, "audit": audit.to_json(), "request": request},
    }


def _configuration(audit: Audit) -> dict[str, Any]:
    """Return the rules as in-toto describes a resource: by the digest of their file, else by their content."""
    if audit.policy.sha256:
        return {"name": "policy", "digest": {"sha256": audit.policy.sha256}}
    content = compact_json(audit.policy.model_dump(mode="json")).encode()
    return {"name": "policy", "content": base64.b64encode(content).decode(), "mediaType": "application/json"}
