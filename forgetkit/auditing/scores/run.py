"""An audit of scores, from files to a verdict."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from forgetkit.auditing.cure import Cure
from forgetkit.auditing.judge import judge
from forgetkit.auditing.policy import Policy, attacks_of, policy_of
from forgetkit.auditing.result import Audited
from forgetkit.auditing.scores.evidence import evidence_from_scores
from forgetkit.auditing.scores.read import SUFFIXES, read_scores
from forgetkit.auditing.scores.table import ScoreTable
from forgetkit.errors import ForgetkitError
from forgetkit.events import Tell, silent

_OPTION = re.compile(r"--(original|reference)\b(?!-)")


@dataclass(frozen=True)
class ScoreCase:
    """The tables of an audit of scores, read and checked by themselves.

    Attributes:
        table: of the model under audit.
        original: of the original.
        references: of models trained without the samples.
        shadows: of shadow models, twins after each other.
    """

    table: ScoreTable
    original: ScoreTable | None = None
    references: list[ScoreTable] = field(default_factory=list)
    shadows: list[ScoreTable] = field(default_factory=list)

    @property
    def record(self) -> None:
        """There is no record."""
        return None

    def check_whole(self) -> None:
        """Check that the tables belong together; raises ForgetkitError as :func:`.evidence.evidence_from_scores`."""
        evidence_from_scores(self.table, self.original, self.references, self.shadows, tell=silent)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        known = [self.original] if self.original else []
        return [Path(one.name) for one in (self.table, *known, *self.references, *self.shadows)]


def audit_scores(
    scores: str | Path,
    *,
    original: str | Path | None = None,
    references: Iterable[str | Path] = (),
    shadows: Iterable[str | Path] = (),
    policy: str | Path | Policy | None = None,
    attacks: str = "none",
    show_ids: bool = False,
    tell: Tell = silent,
) -> Audited:
    """Judge a model from its scores alone: files that ``predict`` or any other tool wrote.

    Args:
        scores: of the model to judge.
        original: of the original, the positive control; without it, the best verdict is inconclusive.
        references: of models trained without the samples; a folder stands for all tables in it.
        shadows: of shadow models, likewise, twins after each other.
        policy: what decides, and by how much: the path of a TOML file, or a policy.
        attacks: the attacks of the field to make: ``all``, ``none``, or names with commas between them.
        show_ids: list single ids in the report.
        tell: told what is odd, but no error.

    Raises:
        ForgetkitError: ``scores-missing``, ``scores-malformed``, ``scores-mismatch``; and those of a policy.
    """
    rules, digest = (policy, None) if isinstance(policy, Policy) else policy_of(policy)
    known = None if original is None else str(original)
    others, judges = list(map(str, references)), list(map(str, shadows))
    case = open_scores(str(scores), original=known, references=others, shadows=judges)
    return run_scores(case, rules, digest, attacks=attacks_of(attacks), show_ids=show_ids, tell=tell)


def open_scores(
    scores: str, *, original: str | None = None, references: Sequence[str] = (), shadows: Sequence[str] = ()
) -> ScoreCase:
    """Read the tables of an audit.

    Args:
        scores: of the model under audit.
        original: of the original, the positive control.
        references: of models trained without the samples; a folder stands for all tables in it.
        shadows: of shadow models, likewise, twins after each other.

    Raises:
        ForgetkitError: as :func:`forgetkit.auditing.scores.read.read_scores`.
    """
    table = read_scores(scores)
    known = None if original is None else read_scores(original)
    others, judges = ([read_scores(file) for name in names for file in _files(name)] for names in (references, shadows))
    return ScoreCase(table, known, others, judges)


def run_scores(
    case: ScoreCase,
    policy: Policy,
    digest: str | None = None,
    *,
    attacks: tuple[str, ...] = (),
    self_check: bool = False,
    show_ids: bool = False,
    typed: Sequence[str] = (),
    tell: Tell = silent,
) -> Audited:
    """Judge scores.

    Args:
        case: what is judged.
        policy: what decides, and by how much.
        digest: SHA-256 of the policy's file, if it came from one.
        attacks: the attacks of the field to make, names of :data:`forgetkit.auditing.check.ATTACKS`.
        self_check: also measure how often the checks err at these numbers of samples.
        show_ids: list single ids in the report.
        typed: the words of the command of this audit, for what would decide it.
        tell: told what is odd, but no error.

    Raises:
        ForgetkitError: as :func:`forgetkit.auditing.scores.evidence.evidence_from_scores`.
    """
    evidence = evidence_from_scores(case.table, case.original, case.references, case.shadows, tell=tell)
    evidence = replace(evidence, attacks=attacks)
    found = _in_options_of_scores(judge(evidence, policy, digest=digest, self_check=self_check, show_ids=show_ids))
    if found.verdict == "inconclusive" and case.original is None and typed:
        return replace(found, cure=Cure((" ".join([*typed, "--original-scores ORIGINAL.npz"]),)))
    return found


def _in_options_of_scores(found: Audited) -> Audited:
    """Return a result whose sentences name the options that give scores, not those that give checkpoints."""

    def said(text: str) -> str:
        """Return a sentence."""
        return _OPTION.sub(r"--\1-scores", text).replace("--shadows", "--shadow-scores")

    reasons = [said(text) for text in found.judgement.reasons]
    judged = replace(
        found.judgement, reasons=reasons, outlook=found.judgement.outlook and said(found.judgement.outlook)
    )
    checks = [{**check, "note": said(check["note"])} for check in found.report["checks"]]
    return replace(found, judgement=judged, report={**found.report, "reasons": reasons, "checks": checks})


def _files(name: str) -> list[str]:
    """Return the tables that ``name``, a file or a folder, means, in the order of their numbers."""
    path = Path(name)
    if not name or not path.is_dir():
        return [name]
    files = [str(file) for file in path.iterdir() if file.suffix.lower() in SUFFIXES]
    if not files:
        raise ForgetkitError("scores-missing", f"{name}: no .npz, .csv or .parquet file in this folder")
    return sorted(files, key=_by_number)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a key by which 10 follows 9."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
