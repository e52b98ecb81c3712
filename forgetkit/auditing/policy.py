"""The rules of an audit, agreed on beforehand: a TOML file whose SHA-256 is in the report.

The keys are the fields of :class:`Policy`; each has a default:

    criterion = "retrain"
    membership_margin = 0.03
    inconclusive = "fail"
"""

import hashlib
import tomllib
from codecs import BOM_UTF8
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from forgetkit.auditing.check import ATTACK_IDS, ATTACKS, CHECKS
from forgetkit.errors import ForgetkitError, did_you_mean, shorten
from forgetkit.options import choice

Criterion = Literal["retrain", "chance"]
ABOUT: dict[Criterion, tuple[str, ...]] = {
    "retrain": ("membership", "closer", "rank", "canaries", "twins", "relearn-rank"),
    "chance": ("chance",),
}
"""The checks that a criterion is about; a policy must let one of them decide."""
DECIDING: dict[Criterion, tuple[str, ...]] = {
    "retrain": ("integrity", "lookup", "vanished", "utility", *ABOUT["retrain"]),
    "chance": ("integrity", "lookup", "utility", *ABOUT["chance"]),
}
"""The checks that decide if the policy names none, each if it is run."""
IDLE: dict[Criterion, tuple[str, ...]] = {"retrain": ("chance",), "chance": ("membership", "vanished", *ATTACK_IDS)}
"""The checks that never decide under a criterion, even if a policy names them."""
UNUSED: dict[Criterion, tuple[str, ...]] = {
    "retrain": ("chance",),
    "chance": ("membership_margin", "assume_exchangeable"),
}
"""The keys of a policy that decide nothing under a criterion."""
CAN_DECIDE = tuple(dict.fromkeys(check for checks in DECIDING.values() for check in checks))
"""Checks that can pass and fail, apart from registered ones; the others only inform, whatever a policy says."""
LARGEST_POLICY = 1 << 20
"""Most bytes of a policy."""
MOST_DOTS = 20
"""Most dots in a line that is no comment: tomllib's memory grows with the square of the parts of a dotted key."""
LONGEST_REASON = 160
"""Most characters of a parser's message that are shown."""


@dataclass(frozen=True, config={"extra": "forbid"})
class Policy:
    """The rules of an audit: which checks decide, and by which margins.

    Attributes:
        criterion: like a model retrained without the samples, or at chance on them.
        level: error rate of each check.
        membership_margin: how far from ½ the AUC may lie.
        utility_margin: accuracy on unseen samples that may be lost.
        chance: under the criterion ``chance``: accuracy must be at chance, or may be below it as well.
        gating: ids of the checks that decide; None for those of the criterion.
        inconclusive: whether an inconclusive verdict exits 3 (``report``), 1 (``fail``) or 0 (``pass``).
        assume_exchangeable: whether to assume that the ids are a random draw of their classes.
        require_utility: whether usefulness must be shown; otherwise too few unseen samples for that only inform.

    Raises:
        pydantic.ValidationError: a value of the wrong type, or out of range.
        ForgetkitError: ``policy-malformed`` where ``gating``, or a key under this criterion, cannot decide.

    Source: Kim & Woo, "Efficient two-stage model retraining for machine unlearning", 2022, sections 3.2 and 6
    (``chance``).
    """

    criterion: Criterion = "retrain"
    level: Annotated[float, Field(strict=True, ge=0.001, le=0.2)] = 0.05
    membership_margin: Annotated[float, Field(strict=True, ge=0.001, le=0.25)] = 0.05
    utility_margin: Annotated[float, Field(strict=True, ge=0.001, le=0.5)] = 0.02
    chance: Literal["at", "at-most"] = "at"
    gating: tuple[str, ...] | None = None
    inconclusive: Literal["report", "fail", "pass"] = "report"
    assume_exchangeable: Annotated[bool, Field(strict=True)] = False
    require_utility: Annotated[bool, Field(strict=True)] = False

    def __post_init__(self) -> None:
        known = (*CAN_DECIDE, *ATTACK_IDS, *CHECKS) if self.gating else CAN_DECIDE
        for check in self.gating or ():
            if check not in known:
                message = f"'gating' names '{shorten(check)}', which is no check that can decide"
                raise ForgetkitError("policy-malformed", message, did_you_mean(check[:100], known))
        if len(set(self.deciding)) < len(self.deciding):
            raise ForgetkitError("policy-malformed", "'gating' names a check twice")
        if not set(about := ABOUT[self.criterion]) & set(self.deciding):
            message = f"'gating' names no check that the criterion '{self.criterion}' is about"
            raise ForgetkitError("policy-malformed", message, f"add {' or '.join(about)}, or change 'criterion'")
        for check in IDLE[self.criterion]:
            if self.gating and check in self.gating:
                message = f"'gating' names '{check}', which never decides under the criterion '{self.criterion}'"
                raise ForgetkitError("policy-malformed", message, "take it out, or change 'criterion'")
        for key in UNUSED[self.criterion]:
            if getattr(self, key) != getattr(Policy, key):
                message = f"'{key}' decides nothing under the criterion '{self.criterion}'"
                raise ForgetkitError("policy-malformed", message, "take it out, or change 'criterion'")

    @property
    def deciding(self) -> tuple[str, ...]:
        """Ids of the checks that decide: those of ``gating``, or else those of the criterion."""
        return DECIDING[self.criterion] if self.gating is None else self.gating

    def to_json(self, digest: str | None) -> dict[str, Any]:
        """Return the policy as the report has it; ``digest`` is the SHA-256 of its file, if there is one."""
        return {**asdict(self), "gating": list(self.deciding), "sha256": digest}


def policy_of(
    name: str | Path | None, *, criterion: str | None = None, level: float | None = None
) -> tuple[Policy, str | None]:
    """Return the policy of a file, or that of the command line's options, and the digest of the file.

    Raises:
        ForgetkitError: ``usage`` for an option that is unknown or contradicts the file; as :func:`read_policy`.
    """
    if criterion is not None:
        choice("criterion", criterion, get_args(Criterion))
    given = {key: value for key, value in (("criterion", criterion), ("level", level)) if value is not None}
    if name is None:
        return replace(Policy(), **given), None  # type: ignore[arg-type]
    policy, digest = read_policy(Path(name))
    for key, value in given.items():
        if value != (agreed := getattr(policy, key)):
            message = f"{value} contradicts {name}, where it is {agreed}"
            raise ForgetkitError("usage", message, "leave it out, or change the policy", option=key)
    return policy, digest


def attacks_of(text: str) -> tuple[str, ...]:
    """Return the attacks that ``all``, ``none`` or names with commas between them ask for.

    Raises:
        ForgetkitError: ``usage`` for a name that is none.
    """
    if text == "none":
        return ()
    if text == "all":
        return ATTACKS
    return tuple(choice("attacks", name.strip(), (*ATTACKS, "all", "none")) for name in text.split(","))


def read_policy(path: Path) -> tuple[Policy, str]:
    """Read a policy.

    Returns:
        The policy, and the SHA-256 of the file's bytes in lower-case hex.

    Raises:
        ForgetkitError: ``policy-missing`` where the file cannot be read; ``policy-malformed`` where it is too large or
            not TOML, or a key is unknown or its value of the wrong type or out of range.
    """
    content = _content(path)
    values = _parsed(path, content)
    try:
        return TypeAdapter(Policy).validate_python(values), hashlib.sha256(content).hexdigest()
    except ValidationError as problem:
        raise _refusal(path, *_complaint(problem)) from problem
    except ForgetkitError as problem:
        raise _refusal(path, problem.message, problem.hint) from problem


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_POLICY + 1)
    except (OSError, ValueError) as problem:  # a name with a NUL byte is a ValueError
        why = getattr(problem, "strerror", None) or problem
        raise ForgetkitError("policy-missing", f"{path}: {why}", "name a TOML file; see docs/audit.md") from problem
    if len(content) > LARGEST_POLICY:
        raise _refusal(path, f"holds more than {LARGEST_POLICY >> 20} MiB", "a policy is a few lines of TOML")
    return content


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    text = _decoded(path, content)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # TOMLDecodeError, an impossible date, too many digits or brackets
        hint = 'a line reads: level = 0.05, or: chance = "at"'
        raise _refusal(path, f"not TOML: {_first_line(str(problem))}", hint) from problem


def _decoded(path: Path, content: bytes) -> str:
    try:
        text = content.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as problem:
        number = problem.object.count(b"\n", 0, problem.start) + 1
        raise _refusal(f"{path}:{number}", "not UTF-8", "save the policy as UTF-8 text") from problem
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MOST_DOTS and not line.lstrip(" \t").startswith("#"):
            raise _refusal(f"{path}:{number}", f"more than {MOST_DOTS} dots in a line", "no key of a policy has dots")
    return text


def _complaint(problem: ValidationError) -> tuple[str, str | None]:
    """Say in one line what is wrong with a policy, unknown keys first, and hint at what was meant."""
    known = TypeAdapter(Policy).json_schema()["properties"]
    found = min(problem.errors(include_url=False, include_context=False), key=lambda error: error["loc"][0] in known)
    key, value = str(found["loc"][0]), found["input"]
    if key not in known:
        return f"there is no key '{shorten(key)}'", did_you_mean(key[:100], known)
    if len(found["loc"]) > 1:
        return f"'gating' names {_shown(value)}, which is no check that can decide", None
    wanted, hint = "a list of checks", None
    if words := known[key].get("enum"):
        wanted = " or ".join(f"'{word}'" for word in words)
        hint = did_you_mean(value[:100], words) if isinstance(value, str) else None
    elif "minimum" in known[key]:
        wanted = f"a number from {known[key]['minimum']:g} to {known[key]['maximum']:g}"
    elif known[key].get("type") == "boolean":
        wanted = "true or false"
    else:
        hint = 'gating = ["integrity", "membership"]'
    return f"'{key}' must be {wanted}, not {_shown(value)}", hint


def _refusal(where: Path | str, message: str, hint: str | None = None) -> ForgetkitError:
    return ForgetkitError("policy-malformed", f"{where}: {message}", hint)


def _shown(value: object) -> str:
    """Return a value of a TOML file as a message can show it, whatever its length or depth."""
    if isinstance(value, str):
        return f"'{shorten(value)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > 10**15:  # Python refuses to print very long ones
        return "a number that large"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else "a date or time"


def _first_line(text: str) -> str:
    line = text.partition("\n")[0]
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 3]}..."
