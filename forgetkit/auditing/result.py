"""What an audit returns."""

from dataclasses import dataclass
from typing import Any

from forgetkit.auditing.check import Check, Verdict
from forgetkit.auditing.cure import Cure
from forgetkit.auditing.report.curves import Curves
from forgetkit.auditing.report.terminal import WIDTH, render
from forgetkit.auditing.self_check import SelfCheck
from forgetkit.auditing.verdict import Judgement


@dataclass(frozen=True)
class Audited:
    """The result of an audit.

    Attributes:
        report: the JSON document, as docs/audit.schema.json describes it (without ``warnings``).
        judgement: the answers on forgetting and on usefulness, and the verdict over both.
        checks: every check, in the order of the report.
        curves: the scores behind the figures; None where the outputs are not finite, or all ids are canaries.
        remembered: ids that stand out as remembered; None if that could not be measured.
        self_check: error rates of the checks at these numbers of samples, if that was asked for.
        cure: what would decide an inconclusive verdict of checkpoints, if anything would.
    """

    report: dict[str, Any]
    judgement: Judgement
    checks: tuple[Check, ...]
    curves: Curves | None
    remembered: list[str] | None
    self_check: SelfCheck | None
    cure: Cure | None = None

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

    def text(self, name: str, *, complete: bool = False, width: int = WIDTH, colour: bool = False) -> str:
        """Return the report as text for a terminal.

        Args:
            name: the checkpoint, as the user named it.
            complete: every check, with accuracies and limits, instead of what decides.
            width: columns.
            colour: with escape codes for colours.
        """
        outlook = self.judgement.outlook
        shown = render(
            self.report, name, cure=self.cure, outlook=outlook, complete=complete, width=width, colour=colour
        )
        return "\n".join([shown, *(self.self_check.lines() if self.self_check else [])])
