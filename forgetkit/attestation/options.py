"""The options of what signs and verifies."""

from dataclasses import dataclass
from typing import Annotated

from forgetkit.options import INPUT, REQUESTS, Book, Option

PassphraseFile = Annotated[
    str | None,
    Option(
        "File whose first line is the passphrase of the key.",
        metavar="FILE",
        unset="FORGETKIT_PASSPHRASE, else asked for",
        panel=INPUT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is signed, and with which key."""

    audit: Annotated[str, Option("JSON that audit printed of the model, with --json.", metavar="FILE", panel=INPUT)]
    key: Annotated[str, Option("Private key to sign with, PEM: Ed25519 or ECDSA P-256.", metavar="FILE", panel=INPUT)]
    passphrase_file: PassphraseFile = None
    request: Annotated[
        str | None,
        Option("Request in --book that was answered; the book must have this audit.", "REQUEST", panel=REQUESTS),
    ] = None
    book: Annotated[str | None, Book] = None


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What an attestation is checked against."""

    attestation: Annotated[str, Option("File that attest wrote.", metavar="FILE", panel=INPUT)]
    key: Annotated[str, Option("Public key of the signer, PEM.", metavar="FILE", panel=INPUT)]
    policy: Annotated[
        str | None, Option("Rules that the audit must have had, in TOML.", metavar="FILE", panel=INPUT)
    ] = None
    commitment: Annotated[
        str | None, Option("What audit --commit wrote, and you received before the audit.", metavar="FILE", panel=INPUT)
    ] = None
