"""The passphrase of a key: from a file, the environment, or the person at the terminal; never from an option."""

import getpass
import os
import sys
from pathlib import Path

from forgetkit.attestation.keys import Ask
from forgetkit.files.small_file import read_small

VARIABLE = "FORGETKIT_PASSPHRASE"


def asking(key: str, file: str | None) -> Ask:
    """Return what finds the passphrase of ``key``, once it is known to have one.

    Args:
        key: path of the key.
        file: path of a file whose first line it is; None for the environment variable, else a question.
    """

    def ask() -> bytes | None:
        """Return the passphrase; raises ForgetkitError ``passphrase-missing`` for a file that cannot be read."""
        if file is not None:
            return (
                read_small(Path(file), "passphrase", "name a file with the passphrase")
                .partition(b"\n")[0]
                .rstrip(b"\r")
            )
        if given := os.environ.get(VARIABLE):
            return os.fsencode(given)
        return getpass.getpass(f"passphrase of {key}: ").encode() if sys.stdin.isatty() else None

    return ask
