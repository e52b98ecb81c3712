"""The part of an audit's report that is signed: no ids, no notes, no paths; read from the JSON that audit printed."""

import hashlib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forgetkit.errors import ForgetkitError
from forgetkit.files.small_file import object_in, read_small

HINT = "give what this printed: forgetkit audit MODEL.st --original ORIGINAL.st --json >audit.json"
ASIDE = ("integrity", "utility")
"""Checks that say nothing about forgetting when they pass."""
ATTACK = re.compile("attack-[a-z]+")

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Verdict = Literal["forgotten", "not-forgotten", "over-forgotten", "utility-lost", "inconclusive"]


class _Part(BaseModel):
    """A part of a report; what else it says is left out."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class Counted(_Part):
    """Samples, by their number and a digest of their ids."""

    count: Annotated[int, Field(ge=0)]
    digest: Sha256


class Inputs(_Part):
    """Digests of what was judged, and of what it was compared with."""

    checkpoint: Sha256
    original: Sha256 | None
    references: list[Sha256]
    shadows: list[Sha256] = []
    dataset: Sha256
    ids: Counted


class Rules(_Part):
    """The policy; ``sha256`` is that of its file, if it came from one."""

    criterion: Literal["retrain", "chance"]
    level: float
    membership_margin: float
    utility_margin: float
    chance: Literal["at", "at-most"]
    gating: list[str]
    inconclusive: Literal["report", "fail", "pass"]
    assume_exchangeable: bool
    require_utility: bool
    sha256: Sha256 | None


class CheckResult(_Part):
    """What one check found."""

    id: Annotated[str, Field(pattern="^[A-Za-z][A-Za-z0-9_-]*$")]
    group: Literal["ids", "earlier", "canaries"]
    gating: bool
    n: int | None
    statistic: float | None
    interval: Annotated[list[float], Field(min_length=2, max_length=2)] | None
    null: float | None
    margin: float | None
    p: float | None
    verdict: Literal["pass", "fail", "inconclusive", "info", "not-run"]

    @property
    def name(self) -> str:
        """Its name, with the group if that is not the ids in question."""
        return self.id if self.group == "ids" else f"{self.group}/{self.id}"


class Audit(_Part):
    """An audit as it is signed; ``report`` is the SHA-256 of the file with the whole report."""

    report: Sha256
    verdict: Verdict
    inputs: Inputs
    policy: Rules
    checks: Annotated[list[CheckResult], Field(min_length=1)]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; shadow models are named only if there were any."""
        found = self.model_dump(mode="json")
        if not found["inputs"]["shadows"]:
            del found["inputs"]["shadows"]
        return found

    def deciding(self, *verdicts: str) -> list[str]:
        """Return the names of the checks that decide and have one of these verdicts."""
        return [check.name for check in self.checks if check.gating and check.verdict in verdicts]

    @property
    def optional(self) -> list[str]:
        """The checks that an audit makes only if it is asked to, and that this one made."""
        made = {check.id for check in self.checks}
        return sorted(one for one in made if one == "relearn" or ATTACK.fullmatch(one))

    def contradiction(self) -> str | None:
        """Return why no audit can have ended so, in words; None if nothing speaks against it."""
        if strangers := [one.id for one in self.checks if one.gating and one.id not in self.policy.gating]:
            return f"the check {strangers[0]} decides, but the policy does not name it"
        if self.verdict != "forgotten":
            return None
        if failed := [one.name for one in self.checks if one.verdict == "fail"]:
            return f"the verdict is forgotten, but the check {failed[0]} failed"
        if unsure := self.deciding("inconclusive"):
            return f"the verdict is forgotten, but the check {unsure[0]} is inconclusive"
        if self.inputs.original is None:
            return "the verdict is forgotten, but there was no original to compare with"
        if not any(one.gating and one.verdict == "pass" and one.id not in ASIDE for one in self.checks):
            return "the verdict is forgotten, but no check on forgetting passed"
        return None


def audit_of(path: Path, digest: str, model: Path) -> Audit:
    """Return the audit of a model from the JSON that ``forgetkit audit`` printed, of one model or of several.

    Args:
        path: the file.
        digest: of the model's tensors.
        model: its path, for messages.

    Raises:
        ForgetkitError: ``audit-missing``; ``audit-malformed``, also where a report contradicts itself;
            ``audit-mismatch`` where it is of other models, or has the model twice.
    """
    content = read_small(path, "audit", HINT)
    sha256 = hashlib.sha256(content).hexdigest()
    reports = reports_in(path, object_in(content, path, "audit", HINT))
    audits = [_read(path, {**report, "report": sha256}) for report in reports]
    found = [audit for audit in audits if audit.inputs.checkpoint == digest]
    if len(found) != 1:
        what = f"judges {model} {len(found)} times" if found else f"no audit of {model} (sha256:{digest[:16]})"
        raise ForgetkitError("audit-mismatch", f"{path}: {what}", f"audit it: forgetkit audit {model} --json")
    if why := found[0].contradiction():
        raise ForgetkitError("audit-malformed", f"{path}: {why}", "the report was changed: repeat the audit")
    return found[0]


def reports_in(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the report, or the reports, in a JSON document of audit; raises ForgetkitError ``audit-malformed``."""
    if content.get("ok") is not True:
        raise ForgetkitError("audit-malformed", f"{path}: no report, but an error of the audit", HINT)
    if "audits" not in content:
        return [content]
    listed = content["audits"] if isinstance(content["audits"], list) else []
    reports = [one["report"] for one in listed if isinstance(one, dict) and isinstance(one.get("report"), dict)]
    if not reports or len(reports) < len(listed):
        raise ForgetkitError("audit-malformed", f"{path}: 'audits' is not a list of reports", HINT)
    return reports


def _read(path: Path, report: dict[str, Any]) -> Audit:
    try:
        return Audit.model_validate(report)
    except ValidationError as problem:
        raise ForgetkitError("audit-malformed", f"{path}: not a report: {complaint(problem)}", HINT) from problem


def complaint(problem: ValidationError) -> str:
    """Return what is wrong with a report in one line."""
    found = problem.errors(include_url=False, include_context=False, include_input=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
