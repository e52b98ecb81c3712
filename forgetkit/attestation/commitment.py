"""A commitment: which audit will be made, by which rules, written down before anything is evaluated."""

from pathlib import Path
from typing import Any

from forgetkit.attestation.audit_report import Audit
from forgetkit.files.canonical_json import compact_json
from forgetkit.files.small_file import object_in, read_small

HINT = "give a file that forgetkit audit --commit wrote"


def commitment_of(inputs: dict[str, Any], policy: dict[str, Any], optional: list[str]) -> str:
    """Return the content of a commitment; it has no time, so that the same audit gives the same bytes.

    Args:
        inputs: digests of the models and samples, as the report will have them.
        policy: the rules, as the report will have them.
        optional: ids of the checks that will be made although audits do without them: ``relearn``, ``attack-loss`` …
    """
    return compact_json({"inputs": inputs, "policy": policy, "optional": sorted(optional)}) + "\n"


def differs(path: Path, audit: Audit) -> str | None:
    """Return the part in which an audit is not the one that a commitment announced; None if it is.

    Raises:
        ForgetkitError: ``commitment-missing`` or ``commitment-malformed``.
    """
    said = object_in(read_small(path, "commitment", HINT), path, "commitment", HINT)
    found = audit.to_json()
    of_audit = {"inputs": found["inputs"], "policy": found["policy"], "optional": audit.optional}
    return next((part for part, value in of_audit.items() if compact_json(said.get(part)) != compact_json(value)), None)
