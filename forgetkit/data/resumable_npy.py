"""An ``.npy`` file that is written row by row, and gone on with after the writer was killed.

Beside it stands a journal: after each so many rows, the SHA-256 of the file so far. What of the file a line of the
journal vouches for is kept; the rest is written again. One process at a time writes it.
"""

import fcntl
import hashlib
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from forgetkit.events import Note, Tell

EVERY = 256
"""Rows between two lines of the journal."""
BLOCK = 1 << 22
"""Bytes that are read at once."""


class Unfinished:
    """An ``.npy`` file of uint8 in the making; a context that holds its lock.

    Args:
        path: the file.
        journal: what says how far it is right.
        shape: rows, and what each of them has.
        tell: told where the process waits for another one.

    ``rows`` is how many it has so far.

    Raises:
        OSError: where it cannot be written.
    """

    def __init__(self, path: Path, journal: Path, shape: list[int], tell: Tell) -> None:
        self.path, self.journal = path, journal
        self._tell = tell
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)})
        self._header, self._row = header.getvalue(), int(np.prod(shape[1:]))
        self._digest = hashlib.sha256()
        self.rows = 0

    def __enter__(self) -> "Unfinished":
        self._stream = self._locked()
        try:
            self._recover()
        except BaseException:
            self._stream.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(OSError):
            if kind is not None and issubclass(kind, OSError):  # a full disk: leave it as it was
                self.drop()
            self._stream.close()

    def add(self, image: NDArray[np.uint8]) -> None:
        """Write the next row."""
        content = image.tobytes()
        self._stream.write(content)
        self._digest.update(content)
        self.rows += 1
        if self.rows % EVERY == 0:
            self._stream.flush()
            with self.journal.open("a") as lines:
                lines.write(f"{self.rows} {self._digest.hexdigest()}\n")

    def finish(self, target: Path) -> str:
        """Put the whole file in place of ``target``; return its SHA-256."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        os.replace(self.path, target)
        self.journal.unlink(missing_ok=True)
        return self._digest.hexdigest()

    def drop(self) -> None:
        """Remove the file and its journal."""
        for file in (self.path, self.journal):
            file.unlink(missing_ok=True)

    def _locked(self) -> IO[bytes]:
        """Open the file and hold its lock; one that another process put in its place meanwhile does not count."""
        while True:
            stream = open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")  # noqa: SIM115 - closed on leaving
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._tell(Note(f"another process is writing {self.path.name}: waiting for it"))
                fcntl.flock(stream, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                return stream
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), self.path.stat()):
                    return stream
            stream.close()

    def _recover(self) -> None:
        """Keep what the journal vouches for, and stand behind it."""
        right = self._vouched()
        self._digest = hashlib.sha256(self._header)
        self._stream.seek(len(self._header))
        digest, rows = self._digest.copy(), 0
        for there, expected in right:
            _update(digest, self._stream, (there - rows) * self._row)
            if digest.hexdigest() != expected:
                break
            self._digest, self.rows, rows = digest.copy(), there, there
        self._stream.seek(len(self._header) + self.rows * self._row)
        self._stream.truncate()
        if self.rows == 0:
            self._stream.seek(0)
            self._stream.write(self._header)
        kept = "".join(f"{there} {expected}\n" for there, expected in right if there <= self.rows)
        self.journal.write_text(kept)

    def _vouched(self) -> list[tuple[int, str]]:
        """Return the lines of the journal that can be right: rows, rising, and the digest of the file up to there."""
        found: list[tuple[int, str]] = []
        self._stream.seek(0)
        if self._stream.read(len(self._header)) != self._header:
            return []
        with suppress(OSError, ValueError):
            for line in self.journal.read_text().splitlines():
                rows, digest = line.split()
                if int(rows) <= (found[-1][0] if found else 0):
                    break
                found.append((int(rows), digest))
        return found


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file; raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        _update(digest, stream, path.stat().st_size)
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", stream: IO[bytes], size: int) -> None:
    """Take the next ``size`` bytes of a stream into a digest, as far as there are so many."""
    while size > 0 and (content := stream.read(min(size, BLOCK))):
        digest.update(content)
        size -= len(content)
