"""Open ends: what still holds the samples of a request after a model was found to have forgotten them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from forgetkit.errors import ForgetkitError, listed, shorten
from forgetkit.files.checkpoint_tree import Tree
from forgetkit.files.holdings import Holding, datasets_of, holding_of, unreadable, with_optimizers, without_folders
from forgetkit.files.wanted_ids import Wanted

STATES = ("open", "done", "waived")
SHOWN = 5
CACHE = "cache:"
"""Begins the place of a file in the cache, whose folder differs from machine to machine."""


@dataclass(frozen=True)
class OpenEnd:
    """A place that holds samples of a request, or may hold them, as it was entered last.

    Attributes:
        place: path of a file, as it was given.
        what: in words, what it is and how many of the ids it holds.
        state: one of ``STATES``.
        reason: why it was waived, or how it was dealt with; None for an open one.
        at: when that was entered.
    """

    place: str
    what: str
    state: str = "open"
    reason: str | None = None
    at: str = ""


def found_in(
    places: Sequence[str], ids: Sequence[str], lists: Iterable[str] = (), packs: Mapping[str, str] | None = None
) -> list[OpenEnd]:
    """Return what holds some of the ids, or may hold them: checkpoints, shadow models, optimizer states, exports.

    Args:
        places: files, and folders to search. Records are read, neither weights nor data.
        ids: of the request, unique.
        lists: paths of the ID lists themselves, which name the samples.
        packs: names of data sets whose decoded images are cached, by the names of the files.

    Raises:
        ForgetkitError: ``checkpoint-missing``, as :class:`.Tree`.
    """
    tree, wanted = Tree(places), Wanted(ids)
    holdings = with_optimizers([holding_of(path, wanted) for path in tree.files])
    holdings += [unreadable(folder, why, wanted) for folder, why in tree.unread]
    found = [OpenEnd(str(one.path), _words(one)) for one in holdings if one.state in {"held", "unknown", "unreadable"}]
    found += [OpenEnd(name, f"the list of the {len(ids):,} ids") for name in lists if Path(name).is_file()]
    known = {without_folders(name) for name in datasets_of(holdings)}
    cached = {CACHE + file: name for file, name in (packs or {}).items() if without_folders(name) in known}
    return found + [OpenEnd(place, f"decoded images of {name}: forgetkit data clean") for place, name in cached.items()]


def _words(one: Holding) -> str:
    """Say what a file is, and what it holds."""
    if one.state == "held":
        kind = "a shadow model" if one.shadow_of else "an optimizer state" if one.state_of else "a checkpoint"
        return f"{kind} that holds {one.ids.held:,} of the ids"
    why = one.why or "its record does not say"
    return f"cannot be read: {why}" if one.state == "unreadable" else f"may hold them: {why}"


def below(place: str, places: Sequence[str]) -> bool:
    """Say whether ``place`` is one of ``places``, or lies in a folder among them, or in the cache."""
    here = Path(place)
    return place.startswith(CACHE) or any(here == Path(one) or Path(one) in here.parents for one in places)


def changes(known: Sequence[OpenEnd], found: Sequence[OpenEnd], places: Sequence[str]) -> list[OpenEnd]:
    """Return what a new search adds to what is known.

    What was found for the first time, or holds them again, is open; what was open below the same places and holds
    nothing now is done. What was waived stays waived, unless what it is has changed.

    Args:
        known: as entered last, one for each place.
        found: by the search.
        places: where it looked, lists included.
    """
    before, now = {one.place: one for one in known}, {one.place: one for one in found}
    new = [one for one in found if one.place not in before or _again(before[one.place], one)]
    gone = [one for one in known if one.state == "open" and one.place not in now and below(one.place, places)]
    return new + [OpenEnd(one.place, one.what, "done", "holds none of the ids any more") for one in gone]


def _again(before: OpenEnd, now: OpenEnd) -> bool:
    return before.what != now.what or before.state == "done"


def settled(known: Sequence[OpenEnd], pattern: str, state: str, reason: str) -> list[OpenEnd]:
    """Return the open ends that a pattern names, as dealt with.

    Args:
        known: as entered last.
        pattern: a place, or several by ``*`` and ``?``.
        state: ``done`` or ``waived``.
        reason: how, or why.

    Raises:
        ForgetkitError: ``open-end-unknown`` where it names none that is open.
    """
    waiting = [one for one in known if one.state == "open"]
    chosen = [one for one in waiting if one.place == pattern or fnmatchcase(one.place, pattern)]
    if not chosen:
        hint = f"open: {listed([shorten(one.place) for one in waiting], SHOWN)}" if waiting else "none is open"
        raise ForgetkitError("open-end-unknown", f"'{shorten(pattern)}' names no open end", hint)
    return [OpenEnd(one.place, one.what, state, reason) for one in chosen]
