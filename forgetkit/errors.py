"""The errors a user may see: one line that says what is wrong, one that says what to do."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

SHOWN = 20
"""Most names that a hint lists."""

LONG = 100
"""Characters from which on a known name is shortened: no name of a model is so long, but a table's column may be."""


class ForgetkitError(Exception):
    """An expected failure: printed as ``error:`` and ``hint:`` lines, never as a traceback.

    Args:
        code: kebab-case cause, one of those in docs/formats.md.
        message: what is wrong, with its value and where.
        hint: what to do about it, or nothing.
        option: the setting that is wrong, if it is one: its name goes before the message, and the command line writes
            it as a flag.

    ``status`` is the exit code of the process.
    """

    status = 2

    def __init__(self, code: str, message: str, hint: str | None = None, *, option: str | None = None) -> None:
        super().__init__(f"{option}: {message}" if option else message)
        self.code = code
        self.message = str(self)
        self.hint = hint
        self.option = option

    @property
    def on_command_line(self) -> str:
        """The message with its setting written as a flag."""
        if self.option is None:
            return self.message
        return f"--{self.option.replace('_', '-')}{self.message.removeprefix(self.option)}"

    def __reduce__(self) -> tuple[object, ...]:
        """Let another process raise it: exceptions are rebuilt from one argument otherwise."""
        return type(self).__new__, (type(self),), self.__dict__


class NotReached(ForgetkitError):
    """A step ran to its end without reaching its goal; nothing was written. Exit code 1.

    Args:
        message: what was not reached.
        hint: what to do about it.
        attempts: what was tried, as a record holds it, if the step made several attempts.
        trials: the settings that were tried, for the JSON document.
    """

    status = 1

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        attempts: list[dict[str, object]] | None = None,
        trials: list[dict[str, object]] | None = None,
    ) -> None:
        super().__init__("not-reached", message, hint)
        self.attempts = attempts
        self.trials = trials


def is_text(name: str) -> bool:
    """Return whether ``name`` is text; that of a file may be bytes that are not UTF-8, which Python hides in it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shorten(id_: str) -> str:
    """Return ``id_`` as a message may show it."""
    text = id_ if id_.isprintable() else ascii(id_)[1:-1]
    return text if len(text) <= 40 else f"{text[:37]}..."


def listed(names: Sequence[str], most: int) -> str:
    """Return the first ``most`` of ``names``, with commas, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` most likely means, or None."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str], label: str = "known", *, quoted: bool = False) -> str:
    """Return a hint for an unknown ``name``: the nearest known one, else what is known, after ``label``."""
    names = sorted(known)
    close = nearest(name, names)
    shown = [f"'{shorten(one)}'" if quoted else one if len(one) < LONG else shorten(one) for one in names]
    return f"did you mean '{close}'?" if close else f"{label}: {listed(shown, SHOWN)}"
