"""The report files of an audit."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from forgetkit.auditing.report.html import html
from forgetkit.auditing.report.junit import junit, junit_of_error
from forgetkit.auditing.report.markdown import summary
from forgetkit.auditing.result import Audited
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell, Warned
from forgetkit.files.lineage import lineage
from forgetkit.files.publish import check_target, publish_text
from forgetkit.files.record import Record

FILES = ("junit", "summary", "html", "remembered_out")
UNMEASURED = "# not measured\n"


@dataclass(frozen=True)
class Reports:
    """Where to write reports; existing reports of an audit are replaced.

    Attributes:
        junit: JUnit XML.
        summary: Markdown; it is appended to ``GITHUB_STEP_SUMMARY`` in any case, if that is set.
        html: a page that needs nothing else.
        remembered_out: an ID list of the samples that stand out as remembered.
        begun: time at which the audit began, by ``time.monotonic``.
    """

    junit: str | None = None
    summary: str | None = None
    html: str | None = None
    remembered_out: str | None = None
    begun: float = field(default_factory=time.monotonic)

    def named(self, name: str, *, several: bool) -> "Reports":
        """Return the reports of one checkpoint: ``{name}`` in a path stands for the name of its file.

        Raises:
            ForgetkitError: ``usage`` where the reports of ``several`` would all have one path.
        """
        paths = {key: getattr(self, key) for key in FILES}
        for key, path in paths.items():
            if path is not None and several and "{name}" not in path:
                hint = f"for example: --{key.replace('_', '-')} reports/{{name}}{Path(path).suffix}"
                raise ForgetkitError("usage", "several models need {name} in the path", hint, option=key)
        named = {key: path and path.replace("{name}", Path(name).stem) for key, path in paths.items()}
        return Reports(**named, begun=self.begun)

    def check(self, inputs: tuple[Path, ...], tell: Tell) -> None:
        """Refuse targets that cannot or must not be written, before anything is computed.

        A summary of the job that cannot be written is no reason to go without a verdict: ``tell`` gets a warning.

        Raises:
            ForgetkitError: ``usage`` for an empty name, or one given twice; ``output-unwritable``.
        """
        taken: dict[Path, str] = {}
        for key in FILES:
            option, name = f"--{key.replace('_', '-')}", getattr(self, key)
            if name is None:
                continue
            if name == "":
                raise ForgetkitError("usage", "the path is empty", "name a file, or leave it out", option=key)
            check_target(Path(name), force=True, inputs=inputs, option=option)
            if other := taken.get(Path(name).resolve()):
                raise ForgetkitError("usage", f"{other} and {option} name the same file: {name}")
            taken[Path(name).resolve()] = option
        if (step := _step_summary()) and not _takes_text(step):
            tell(Warned("no-summary", f"GITHUB_STEP_SUMMARY: {step} cannot be written; the audit goes on without it"))

    def write(
        self,
        audited: Audited,
        name: str,
        tell: Tell,
        warnings: list[dict[str, str]],
        record: Record | None,
        *,
        request: str | None = None,
    ) -> None:
        """Write the reports.

        Args:
            audited: the result.
            name: the checkpoint, as the user named it.
            tell: told if the ID list is empty, and of a summary of the job that cannot be written.
            warnings: codes and messages of the warnings so far.
            record: the checkpoint's, for its lineage; None for scores.
            request: name of the request that the audit is about, if it is in a book.

        Raises:
            ForgetkitError: ``out-of-space`` or ``output-unwritable``.
        """
        report = {**audited.report, "warnings": warnings}
        if self.junit:
            publish_text(Path(self.junit), junit(report, name, time.monotonic() - self.begun))
        if self.html:
            commands = audited.cure.commands if audited.cure else ()
            lines = lineage(name, record) if record else [f"{name}: scores, without a record"]
            page = html(report, name, audited.curves, lines, request=request, date=today(), commands=commands)
            publish_text(Path(self.html), page)
        if self.remembered_out:
            publish_text(Path(self.remembered_out), id_list(audited.remembered))
            if not audited.remembered:
                what = "not measured" if audited.remembered is None else "no id stands out as remembered"
                tell(Note(f"{self.remembered_out}: {what}; other commands refuse a list without ids"))
        if self.summary:
            publish_text(Path(self.summary), summary(report, name))
        if (step := _step_summary()) and _takes_text(step):
            try:
                with step.open("a", encoding="utf-8") as stream:
                    stream.write(summary(report, name))
            except OSError as problem:
                tell(Warned("no-summary", f"GITHUB_STEP_SUMMARY: {step}: {problem.strerror or problem}"))

    @contextmanager
    def erring(self, name: str) -> Iterator[None]:
        """Write an error to JUnit XML if the audit of ``name`` ends without a verdict: no earlier success may stay.

        A file that is not XML is left alone: the path may be a mistake.
        """
        try:
            yield
        except Exception as problem:
            if self.junit and _is_report(Path(self.junit)):
                with suppress(ForgetkitError):
                    publish_text(Path(self.junit), junit_of_error(problem, name, time.monotonic() - self.begun))
            raise


def today() -> str:
    """Return the day, in UTC; that of ``SOURCE_DATE_EPOCH`` if it is set, so that a page can be made again."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(seconds), UTC) if seconds.isdecimal() else datetime.now(UTC)
    return moment.date().isoformat()


def id_list(ids: list[str] | None) -> str:
    """Return the text of an ID list, sorted by UTF-8 bytes; empty without ids, a comment if ``ids`` is None."""
    if ids is None:
        return UNMEASURED
    return "".join(f"{id_}\n" for id_ in sorted(ids, key=str.encode))


def _is_report(path: Path) -> bool:
    """Say whether ``path`` may be replaced: it does not exist, or is XML."""
    try:
        with path.open("rb") as stream:
            return stream.read(5) == b"<?xml"
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _step_summary() -> Path | None:
    """Return the summary of the job that runs this command, if there is one."""
    given = os.environ.get("GITHUB_STEP_SUMMARY")
    return Path(given) if given else None


def _takes_text(path: Path) -> bool:
    """Say whether text can be appended to a file, or the file be made."""
    if path.exists():
        return not path.is_dir() and os.access(path, os.W_OK)
    return path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)
