"""The files that an audit writes beside what it prints."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetkit.audit.junit import junit
from forgetkit.audit.summary import summary
from forgetkit.errors import ForgetkitError
from forgetkit.storage import check_target, publish_text


@dataclass(frozen=True)
class Reports:
    """Where to write; an audit's own reports are replaced.

    Attributes:
        junit: JUnit XML.
        summary: Markdown; without it, ``GITHUB_STEP_SUMMARY`` is appended to where that is set.
    """

    junit: str | None = None
    summary: str | None = None

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Refuse targets that cannot or must not be written, before anything is computed."""
        for name in filter(None, (self.junit, self.summary)):
            check_target(Path(name), force=True, inputs=inputs)

    def write(self, report: dict[str, Any], name: str) -> None:
        """Write what was asked for; ``name`` is the checkpoint's.

        Raises:
            ForgetkitError: ``out-of-space`` or ``output-unwritable``.
        """
        if self.junit:
            publish_text(Path(self.junit), junit(report, name))
        if self.summary:
            publish_text(Path(self.summary), summary(report, name))
        elif step := os.environ.get("GITHUB_STEP_SUMMARY"):
            try:
                with Path(step).open("a", encoding="utf-8") as stream:
                    stream.write(summary(report, name))
            except OSError as problem:
                raise ForgetkitError("output-unwritable", f"{step}: {problem.strerror or problem}") from problem
