"""What service.py is told by service.toml, where its files are, and its lock."""

import fcntl
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_origin

KINDS: dict[Any, str] = {str: "a text", int: "a whole number", list: "a list of texts"}


class BadSetUp(Exception):
    """Nothing can be done before the set-up is put right."""


@dataclass(frozen=True)
class Settings:
    """The settings, which service.toml explains; paths are relative to its folder."""

    book: str
    original: str
    lists: str = "lists"
    models: str = "models"
    evidence: str = "evidence"
    forget: list[str] = field(default_factory=lambda: ["forget"])
    references: int = 0
    audit: list[str] = field(default_factory=list)
    key: str = ""
    reports: str = ""
    search: list[str] = field(default_factory=list)

    def ids(self, name: str) -> Path:
        """Return the path of the ID list of a request."""
        return Path(self.lists) / f"{name}.txt"

    def model(self, name: str) -> Path:
        """Return the path of the model that is to answer a request."""
        return Path(self.models) / f"{name}.st"

    def answer(self, request: dict[str, Any]) -> Path:
        """Return the path of the model that answered a request, as the book says."""
        return Path(self.models) / str(request["answers"][-1]["file"])

    def folder(self, name: str) -> Path:
        """Return the folder of the evidence on a request."""
        return Path(self.evidence) / name

    def outputs(self, name: str) -> tuple[Path, Path | None, Path | None]:
        """Return the paths of audit, signed statement and page; None for what was not asked for."""
        signed = self.folder(name) / "statement.intoto.jsonl" if self.key else None
        return self.folder(name) / "audit.json", signed, Path(self.reports) / f"{name}.html" if self.reports else None


def settings_of(path: Path) -> Settings:
    """Read the settings, and go to their folder."""
    try:
        settings = Settings(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as problem:
        raise BadSetUp(f"{path}: {problem}") from problem
    except TypeError as problem:  # Settings.__init__() got an unexpected, or is missing a required, argument
        raise BadSetUp(f"{path}: {str(problem).partition(' ')[2]}") from problem
    for one in fields(settings):
        value, kind = getattr(settings, one.name), get_origin(one.type) or one.type
        if type(value) is not kind or (kind is list and not all(isinstance(word, str) for word in value)):
            raise BadSetUp(f"{path}: {one.name} = {value!r} is not {KINDS[kind]}")
    if not settings.forget:
        raise BadSetUp(f"{path}: forget names no command")
    os.chdir(path.parent)
    for needed in filter(None, (settings.book, settings.original, settings.key)):
        if not Path(needed).is_file():
            raise BadSetUp(f"{path}: there is no file {needed}")
    return settings


def taken(lock: str) -> bool:
    """Take the lock, or return False. Commands inherit it: if this process is killed, the last of them lets it go."""
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
