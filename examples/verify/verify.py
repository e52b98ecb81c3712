"""Check an attestation without forgetkit: python verify.py MODEL.st ATTESTATION.intoto.jsonl KEY.pub [POLICY.toml].

Needs securesystemslib alone: pip install "securesystemslib[crypto]". Exit code 0: signature, subject and lineage hold,
and the policy if you give one, and the verdict is forgotten; 1: they hold, and the verdict is another one; 2: one of
them does not hold.
"""

import hashlib
import json
import struct
import sys
import tomllib
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; a key that appears twice could be read in two ways."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key appears twice")
    return dict(pairs)


def compact(value: object) -> str:
    """Return JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def signed(attestation: str, key: str) -> dict[str, Any]:
    """Return the statement in the one envelope of a file, if it was signed with the key."""
    (line,) = Path(attestation).read_bytes().splitlines()
    envelope = Envelope.from_dict(json.loads(line, object_pairs_hook=unique))
    envelope.verify([SSlibKey.from_crypto(load_pem_public_key(Path(key).read_bytes()))], threshold=1)
    if envelope.payload_type != "application/vnd.in-toto+json":
        raise ValueError(f"a payload of another type: {envelope.payload_type}")
    statement: dict[str, Any] = json.loads(envelope.payload, object_pairs_hook=unique)
    if statement["_type"] != "https://in-toto.io/Statement/v1" or statement["predicateType"] != PREDICATE:
        raise ValueError("a statement of another type")
    return statement


def tensor_digest(content: bytes) -> tuple[str, dict[str, Any]]:
    """Return the SHA-256 over the tensors of a safetensors file, and the record of forgetkit in its header."""
    start = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:start], object_pairs_hook=unique)
    record: dict[str, Any] = json.loads(header.pop("__metadata__")["forgetkit"], object_pairs_hook=unique)
    state = hashlib.sha256()
    for name in sorted(header):
        begin, end = (start + offset for offset in header[name]["data_offsets"])
        state.update(compact([name, header[name]["dtype"], header[name]["shape"]]).encode() + b"\n")
        state.update(content[begin:end])
    return state.hexdigest(), record


def main(model: str, attestation: str, key: str, policy: str | None = None) -> int:
    """Check everything; return the exit code."""
    statement = signed(attestation, key)
    (subject,) = statement["subject"]
    details = statement["predicate"]["forgetkit"]
    lineage, audit = details["lineage"], details["audit"]
    content = Path(model).read_bytes()
    tensors, record = tensor_digest(content)
    steps = [{name: step[name] for name in ("command", "options", "seed", "parent", "ids")} for step in record["steps"]]
    holds = {
        "subject, file": hashlib.sha256(content).hexdigest() == subject["digest"]["sha256"],
        "subject, tensors": tensors == subject["digest"]["forgetkitTensors"] == record["digest"],
        "lineage": compact(steps) == compact(lineage["steps"]) and lineage["digest"] == tensors,
        "audit of this model": audit["inputs"]["checkpoint"] == tensors,
    }
    if policy is not None:
        rules = Path(policy).read_bytes()
        asked = tomllib.loads(rules.decode())
        same = audit["policy"]["sha256"] == hashlib.sha256(rules).hexdigest()
        holds["policy"] = same and all(audit["policy"][name] == value for name, value in asked.items())
    for name, found in holds.items():
        print(f"{name}: {'holds' if found else 'does NOT hold'}")
    print(f"verdict: {audit['verdict']}, of {audit['inputs']['ids']['count']} samples")
    passed = statement["predicate"]["result"] == "PASSED" and audit["verdict"] == "forgotten"
    return 2 if not all(holds.values()) else 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception as problem:  # whatever it is, the attestation does not hold
        print(f"error: {type(problem).__name__}: {problem}", file=sys.stderr)
        sys.exit(2)
