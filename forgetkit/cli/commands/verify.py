"""``forgetkit verify``: does a signed statement hold for this model?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from forgetkit.attestation.options import Expected
from forgetkit.cli.console import Console
from forgetkit.options import Argument, Say

if TYPE_CHECKING:
    from forgetkit.attestation.verify import Finding, Verified


def verify(
    checkpoint: Annotated[str, Argument("The model that the statement is about.", "CHECKPOINT")],
    *,
    expected: Expected,
    say: Say,
) -> None:
    """Check a statement that attest signed: signature, subject, lineage, policy and verdict.

    Exit code 0: all of it holds, and the verdict is forgotten; 1: it is genuine, and the verdict is another one; 2: it
    does not hold for this model, key or policy, or cannot be read. The policy is compared only if you name yours:
    otherwise the signer chose the rules. examples/verify/verify.py checks the same without forgetkit.

    Examples:
        forgetkit verify model.forget.st --attestation model.forget.intoto.jsonl --key key.pub
        forgetkit verify model.forget.st --attestation model.forget.intoto.jsonl --key key.pub --policy rules.toml
    """
    from forgetkit.attestation.model_file import read_model
    from forgetkit.attestation.verify import verify as verified

    console = Console(say)
    rules = _rules(expected.policy)
    commitment = Path(expected.commitment) if expected.commitment else None
    model = read_model(checkpoint)
    attestation, key = Path(expected.attestation), Path(expected.key)
    found = verified(model, attestation, key, rules=rules, commitment=commitment)
    lines = [f"{one.name:<10} {_mark(one):<14} {one.text}" for one in found.findings]
    if found.problem:
        for line in lines:
            console.note(line)
        raise found.problem
    console.result(lines, _document(found))
    if found.exit_code:
        raise typer.Exit(found.exit_code)


def _mark(finding: "Finding") -> str:
    """Return in a word or two what was found."""
    if finding.name == "verdict" and finding.holds is not None:
        return "forgotten" if finding.holds else "not forgotten"
    return {True: "holds", False: "does not hold", None: "–"}[finding.holds]


def _rules(policy: str | None) -> dict[str, Any] | None:
    """Return the rules in a file as reports hold them."""
    if policy is None:
        return None
    from forgetkit.auditing.policy import read_policy

    rules, digest = read_policy(Path(policy))
    return rules.to_json(digest)


def _document(found: "Verified") -> dict[str, Any]:
    statement = found.statement
    return {
        "ok": True,
        "command": "verify",
        "exit_code": found.exit_code,
        "verdict": statement.audit.verdict if statement else None,
        "findings": [one.to_json() for one in found.findings],
        "statement": statement.content if statement else None,
    }
