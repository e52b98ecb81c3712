"""The files that an audit writes beside what it prints."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

from forgetkit.auditing.report.html import html
from forgetkit.auditing.report.junit import junit, junit_of_error
from forgetkit.auditing.report.markdown import summary
from forgetkit.auditing.result import Audited
from forgetkit.errors import ForgetkitError
from forgetkit.events import Note, Tell
from forgetkit.files.publish import check_target, publish_text

UNMEASURED = "# not measured\n"


@dataclass(frozen=True)
class Reports:
    """Where to write; an audit's own reports are replaced.

    Attributes:
        junit: JUnit XML.
        summary: Markdown; ``GITHUB_STEP_SUMMARY``, where that is set, is appended to besides.
        html: a page that needs nothing else.
        remembered_out: an ID list of what stands out as remembered.
    """

    junit: str | None = None
    summary: str | None = None
    html: str | None = None
    remembered_out: str | None = None

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Refuse targets that cannot or must not be written, before anything is computed.

        Raises:
            ForgetkitError: ``usage`` for an empty name, or one given twice; ``output-unwritable``.
        """
        taken: dict[Path, str] = {}
        for option, name in (
            (f"--{field.name.replace('_', '-')}", getattr(self, field.name)) for field in fields(self)
        ):
            if name is None:
                continue
            if name == "":
                raise ForgetkitError("usage", f"{option}: the path is empty", "name a file, or leave the option out")
            check_target(Path(name), force=True, inputs=inputs)
            if other := taken.get(Path(name).resolve()):
                raise ForgetkitError("usage", f"{other} and {option} name the same file: {name}")
            taken[Path(name).resolve()] = option

    def write(
        self, audited: Audited, name: str, tell: Tell, warnings: list[dict[str, str]], lineage: Sequence[str]
    ) -> None:
        """Write what was asked for.

        Args:
            audited: what was found.
            name: the checkpoint's.
            tell: told where a list is empty.
            warnings: what was warned of while reading.
            lineage: lines about the checkpoint.

        Raises:
            ForgetkitError: ``out-of-space`` or ``output-unwritable``.
        """
        report = {**audited.report, "warnings": warnings}
        if self.junit:
            publish_text(Path(self.junit), junit(report, name))
        if self.html:
            publish_text(Path(self.html), html(report, name, audited.curves, lineage))
        if self.remembered_out:
            publish_text(Path(self.remembered_out), id_list(audited.remembered))
            if not audited.remembered:
                what = "not measured" if audited.remembered is None else "no id stands out as remembered"
                tell(Note(f"{self.remembered_out}: {what}; a step refuses a list without ids"))
        if self.summary:
            publish_text(Path(self.summary), summary(report, name))
        if step := os.environ.get("GITHUB_STEP_SUMMARY"):
            _append(Path(step), summary(report, name))

    @contextmanager
    def erring(self, name: str) -> Iterator[None]:
        """Where an audit of ``name`` comes to no verdict, say so in JUnit XML: an earlier report must not stay green.

        Nothing else is replaced: the path may be a mistake.
        """
        try:
            yield
        except Exception as problem:
            if self.junit and _is_report(Path(self.junit)):
                with suppress(ForgetkitError):
                    publish_text(Path(self.junit), junit_of_error(problem, name))
            raise


def id_list(ids: list[str] | None) -> str:
    """Return an ID list, sorted by UTF-8 bytes; empty for no id, one comment where it was not measured."""
    if ids is None:
        return UNMEASURED
    return "".join(f"{id_}\n" for id_ in sorted(ids, key=str.encode))


def _is_report(path: Path) -> bool:
    """Say whether nothing is lost at ``path``: there is no file, or XML."""
    try:
        with path.open("rb") as stream:
            return stream.read(5) == b"<?xml"
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as problem:
        raise ForgetkitError("output-unwritable", f"{path}: {problem.strerror or problem}") from problem
