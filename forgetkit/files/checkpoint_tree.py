"""The files below folders that may hold weights; without torch."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from forgetkit.errors import ForgetkitError

SUFFIXES = (".st", ".safetensors")
"""Ends of the names of files that hold weights."""


class Tree:
    """What is found at some places: files that may hold weights, and what could not be looked at.

    A file that is named itself counts whatever its name. Links to folders are followed, each folder once; a link to a
    file that was found is left out, for it is no second copy.

    Args:
        places: files, and folders to search.

    Attributes:
        files: without duplicates, in the order of the places, within a folder by name.
        unread: folders that could not be read, each with the reason.

    Raises:
        ForgetkitError: ``checkpoint-missing`` for a place that is not there, or where nothing is found.
    """

    def __init__(self, places: Iterable[str]) -> None:
        self.unread: list[tuple[Path, str]] = []
        self._entered: set[tuple[int, int]] = set()
        found: dict[str, Path] = {}
        for place in places:
            path = Path(place)
            if not place or not os.path.lexists(path):
                raise _missing(place)
            below = sorted(self._below(path)) if path.is_dir() else [path]
            for file in below:
                found.setdefault(os.path.abspath(file), file)
        self.files = _without_links(list(found.values()))
        if not self.files and not self.unread:
            raise _nothing(", ".join(places))

    def _below(self, folder: Path) -> Iterator[Path]:
        """Yield the files below ``folder`` that hold weights by their names."""
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            try:
                state = here.stat()
                if (state.st_dev, state.st_ino) in self._entered:
                    continue
                self._entered.add((state.st_dev, state.st_ino))
                with os.scandir(here) as entries:
                    for entry in entries:
                        if entry.is_dir():
                            waiting.append(here / entry.name)
                        elif entry.name.endswith(SUFFIXES):
                            yield here / entry.name
            except OSError as problem:
                self.unread.append((here, problem.strerror or str(problem)))


def _without_links(files: list[Path]) -> list[Path]:
    """Return ``files`` without links to others among them, and of several links to one file only the first."""
    links = [file for file in files if file.is_symlink()]
    if not links:
        return files
    real = {os.path.realpath(file) for file in files if not file.is_symlink()}
    kept = set()
    for link in links:
        if (target := os.path.realpath(link)) not in real:
            real.add(target)
            kept.add(link)
    return [file for file in files if file in kept or not file.is_symlink()]


def _missing(place: str) -> ForgetkitError:
    message = f"{place}: No such file or directory" if place else "no checkpoint given: the path is empty"
    return ForgetkitError("checkpoint-missing", message, "name checkpoints, or folders to search")


def _nothing(places: str) -> ForgetkitError:
    message = f"{places}: no {' or '.join(SUFFIXES)} file there or below"
    return ForgetkitError("checkpoint-missing", message, "name the folder that the checkpoints are in")
