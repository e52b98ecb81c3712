"""Does an attestation hold: is it signed with this key, about this model, and what does it say?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from forgetkit.attestation.commitment import differs
from forgetkit.attestation.envelope import payload_of, read_envelope
from forgetkit.attestation.keys import public_key
from forgetkit.attestation.model_file import ModelFile, lineage_of
from forgetkit.attestation.statement import TENSORS, Statement, read_statement
from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json

Name = Literal["signature", "subject", "lineage", "policy", "verdict"]
NAMES: tuple[Name, ...] = ("signature", "subject", "lineage", "policy", "verdict")


@dataclass(frozen=True)
class Finding:
    """What was found about one part of an attestation.

    Attributes:
        name: of the part.
        holds: whether it holds; None where it was not compared with anything.
        text: what was found, in words.
    """

    name: Name
    holds: bool | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"name": self.name, "holds": self.holds, "text": self.text}


@dataclass(frozen=True)
class Verified:
    """What was found about an attestation.

    Attributes:
        findings: one for each part, in the order of ``NAMES``.
        problem: why the attestation proves nothing about the model; None if it holds.
        statement: what is attested, if the signature holds.
    """

    findings: list[Finding]
    problem: ForgetkitError | None = None
    statement: Statement | None = None

    @property
    def exit_code(self) -> int:
        """0 if everything holds and the verdict is forgotten, 1 for another verdict, 2 if anything does not hold."""
        if self.problem:
            return 2
        return 0 if all(finding.holds is not False for finding in self.findings) else 1


def verify(
    model: ModelFile,
    attestation: Path,
    key: Path,
    *,
    rules: dict[str, Any] | None = None,
    commitment: Path | None = None,
) -> Verified:
    """Check an attestation of a model.

    Args:
        model: the checkpoint.
        attestation: the file that ``attest`` wrote.
        key: public key of the signer, in PEM.
        rules: the policy that the audit must have had, as reports hold it, with the SHA-256 of its file.
        commitment: the commitment that the audit must keep.

    Raises:
        ForgetkitError: for files that cannot be read; what does not hold is in the result.
    """
    trusted, envelope = public_key(key), read_envelope(attestation)
    try:
        statement = read_statement(payload_of(envelope, trusted, attestation), attestation)
    except ForgetkitError as problem:
        return _refused(problem)
    kind = "Ed25519" if trusted.keytype == "ed25519" else "ECDSA P-256"
    signature = Finding("signature", True, f"made with {key}, {kind}, key id {trusted.keyid[:16]}")
    problems: list[ForgetkitError] = []
    about = _about_model(model, statement, attestation, problems)
    policy = _policy(statement, rules, commitment, problems)
    findings = [signature, *about, policy, _verdict(statement, genuine=not problems)]
    return Verified(findings, problems[0] if problems else None, statement)


def _refused(problem: ForgetkitError) -> Verified:
    """Return the result where there is no statement that could be trusted."""
    signed = problem.code != "signature-invalid"
    why = "holds, but what is signed is no statement about a model" if signed else problem.message
    others = [Finding(name, None, "not looked at") for name in NAMES[1:]]
    return Verified([Finding("signature", signed, why), *others], problem)


def _about_model(
    model: ModelFile, statement: Statement, attestation: Path, problems: list[ForgetkitError]
) -> list[Finding]:
    """Compare the model with the subject, and its record with the lineage."""

    def differing(what: str, hint: str) -> str:
        """Note a problem; return it in words."""
        problems.append(ForgetkitError("checkpoint-mismatch", f"{model.path}: {what}", hint))
        return what

    other = f"give the file that {attestation} is about"
    if (found := model.sha256) != statement.digests["sha256"]:
        about = f"sha256:{statement.digests['sha256'][:16]}"
        text = differing(f"sha256:{found[:16]} is not the file that was attested ({about})", other)
        return [Finding("subject", False, text), Finding("lineage", None, "not looked at")]
    record = model.record()
    if record.digest != statement.digests[TENSORS]:
        return [
            Finding("subject", False, differing("its tensors are not those that were attested", other)),
            Finding("lineage", None, "not looked at"),
        ]
    subject = Finding("subject", True, f"{model.path}, sha256:{found[:16]}, tensors sha256:{record.digest[:16]}")
    if compact_json(lineage_of(record)) != compact_json(statement.lineage):
        text = differing("its record tells of other steps than the attestation", "ask the signer for another one")
        return [subject, Finding("lineage", False, text)]
    steps = " → ".join(step.command for step in record.steps)
    return [subject, Finding("lineage", True, f"{steps}; {len(record.forgotten):,} samples forgotten by the record")]


def _policy(
    statement: Statement, rules: dict[str, Any] | None, commitment: Path | None, problems: list[ForgetkitError]
) -> Finding:
    """Compare the rules of the audit with those that are asked for, and with a commitment."""
    stated = statement.audit.policy
    name = f"policy sha256:{stated.sha256[:16]}" if stated.sha256 else "no policy file"
    said = f"{name}, criterion {stated.criterion}, level {stated.level:g}"
    why = None
    if rules is not None and compact_json(rules) != compact_json(stated.model_dump(mode="json")):
        why = f"the audit had other rules ({said})"
    elif commitment is not None and (other := differs(commitment, statement.audit)):
        why = f"the audit does not keep the commitment {commitment}: other {other}"
    if why:
        problems.append(ForgetkitError("policy-mismatch", why, "ask for an audit by the rules that were agreed on"))
        return Finding("policy", False, why)
    if rules is None and commitment is None:
        return Finding("policy", None, f"{said}; not compared: --policy FILE does")
    return Finding("policy", True, f"{said}" + (f"; as {commitment} says" if commitment else ""))


def _verdict(statement: Statement, *, genuine: bool) -> Finding:
    """Return what the audit said; if it is not ``genuine``, that is no verdict on this model by these rules."""
    audit = statement.audit
    ids, forgotten = audit.inputs.ids.count, statement.lineage["forgotten"]["count"]
    chance = " by the criterion chance" if audit.policy.criterion == "chance" else ""
    of = f"{ids:,} samples judged" + (f", of {forgotten:,} forgotten" if ids != forgotten else "")
    request = f", request {statement.request['name']}" if statement.request else ""
    return Finding(
        "verdict", audit.verdict == "forgotten" if genuine else None, f"{audit.verdict}{chance}: {of}{request}"
    )
