"""What an audit returns."""

from dataclasses import dataclass
from typing import Any

from forgetkit.auditing.check import Check, Verdict
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.table import table
from forgetkit.auditing.self_check import SelfCheck


@dataclass(frozen=True)
class Audited:
    """The result of an audit.

    Attributes:
        report: the JSON document, as docs/audit.schema.json describes it (without ``warnings``).
        checks: every check, in the order of the report.
        curves: the scores behind the figures; None where the outputs are not finite, or all ids are canaries.
        remembered: ids that stand out as remembered; None if that could not be measured.
        self_check: error rates of the checks at these numbers of samples, if that was asked for.
    """

    report: dict[str, Any]
    checks: tuple[Check, ...]
    curves: Curves | None
    remembered: list[str] | None
    self_check: SelfCheck | None

    @property
    def verdict(self) -> Verdict:
        """The verdict over all checks."""
        verdict: Verdict = self.report["verdict"]
        return verdict

    @property
    def exit_code(self) -> int:
        """What the command exits with: 0 forgotten, 1 a negative verdict, 3 inconclusive, or as the policy says."""
        return int(self.report["exit_code"])

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is what it is, one sentence each."""
        return list(self.report["reasons"])

    def lines(self, name: str) -> list[str]:
        """Return the verdict and the checks as a table for the terminal; ``name`` is the checkpoint's."""
        return [*table(name, self.report), *(self.self_check.lines() if self.self_check else [])]
