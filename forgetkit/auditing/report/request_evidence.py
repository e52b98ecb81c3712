"""What a request's page takes from other files: the report of its audit, and a signed statement."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetkit.attestation.audit_report import reports_in
from forgetkit.attestation.envelope import envelope_in, malformed
from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import strict_json
from forgetkit.files.small_file import object_in, read_small
from forgetkit.request_book.entries import Entry


@dataclass(frozen=True)
class Attestation:
    """A signed statement as a page shows it; whether it holds is for ``forgetkit verify``.

    Attributes:
        file: its name, without folders.
        sha256: of the file.
        predicate: type of what it says.
        keys: ids of the keys that signed it.
    """

    file: str
    sha256: str
    predicate: str
    keys: list[str]


def audit_of(path: Path, entry: Entry) -> dict[str, Any]:
    """Return the report of the audit that the book has of a request, from the JSON that ``forgetkit audit`` printed.

    Args:
        path: of the JSON document, about one model or several.
        entry: the request.

    Raises:
        ForgetkitError: ``audit-malformed``; ``audit-mismatch`` where it is not of the model that was audited for the
            request, or has another verdict than the book.
    """
    hint = f"give what this printed: forgetkit audit FILE --request {entry.request} --book BOOK --json"
    try:
        found = reports_in(path, object_in(read_small(path, "audit", hint), path, "audit", hint))
        named = {report["inputs"]["checkpoint"]: report for report in found if report["verdict"] and report["checks"]}
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise ForgetkitError("audit-malformed", f"{path}: no report of an audit", hint) from problem
    report: dict[str, Any] | None = named.get(entry.audit.digest) if entry.audit and entry.audit.digest else None
    if report is None:
        message = f"{path}: it is not the audit that the book has of request '{entry.request}'"
        raise ForgetkitError("audit-mismatch", message, hint)
    if entry.audit and report["verdict"] != entry.audit.verdict:
        message = f"{path}: its verdict is {report['verdict']}, in the book it is {entry.audit.verdict}"
        raise ForgetkitError("audit-mismatch", message, hint)
    return report


def attestation_of(path: Path) -> Attestation:
    """Return what a file of ``forgetkit attest`` says of itself: a DSSE envelope around an in-toto statement.

    Raises:
        ForgetkitError: ``attestation-malformed``.
    """
    content = read_small(path, "attestation", "make one with: forgetkit attest")
    envelope = envelope_in(content, path)
    try:
        predicate = str(strict_json(base64.b64decode(envelope["payload"], validate=True))["predicateType"])
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise malformed(path, f"no statement ({type(problem).__name__}: {problem})") from problem
    keys = [str(one.get("keyid")) for one in envelope["signatures"]]
    return Attestation(path.name, hashlib.sha256(content).hexdigest(), predicate, keys)
