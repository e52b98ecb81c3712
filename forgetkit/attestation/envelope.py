"""DSSE envelopes, one a line of JSON: a payload, its type, and a signature over both.

securesystemslib signs and verifies; here, envelopes are read. Specification: DSSE 1.0.0,
https://github.com/secure-systems-lab/dsse.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.canonical_json import compact_json, strict_json
from forgetkit.files.small_file import read_small

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
HINT = "give a file that forgetkit attest wrote"


class SignatureInvalid(ForgetkitError):
    """No signature of the envelope fits its payload and the key."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__("signature-invalid", message, hint)


def sealed(payload: bytes, signer: "CryptoSigner", payload_type: str = PAYLOAD_TYPE) -> str:
    """Return a signed envelope, a line of JSON; with Ed25519 the same payload gives the same line."""
    from securesystemslib.dsse import Envelope

    envelope = Envelope(payload, payload_type, {})
    envelope.sign(signer)
    return compact_json(envelope.to_dict()) + "\n"


def read_envelope(path: Path) -> dict[str, Any]:
    """Return the one envelope in a file, its signature not looked at.

    Raises:
        ForgetkitError: ``attestation-missing``; ``attestation-malformed`` for anything else than one line with one.
    """
    return envelope_in(read_small(path, "attestation", "make one with: forgetkit attest"), path)


def envelope_in(content: bytes, path: Path) -> dict[str, Any]:
    """Return the one envelope in the content of a file; raises ForgetkitError as :func:`read_envelope`."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    if len(lines) != 1:
        found = f"{len(lines)} attestations, where one is expected" if lines else "the file is empty"
        raise malformed(path, found, "give a file with the attestation of this model alone" if lines else HINT)
    try:
        found = strict_json(lines[0])
        named = isinstance(found["payload"], str) and isinstance(found["payloadType"], str)
        signed = [one["sig"] for one in found["signatures"]]
        if not named or not all(isinstance(one, str) for one in signed):
            raise TypeError("payload, payloadType and sig are text")
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise malformed(path, f"not a DSSE envelope ({type(problem).__name__}: {problem})") from problem
    return {"payload": found["payload"], "payloadType": found["payloadType"], "signatures": found["signatures"]}


def payload_of(envelope: dict[str, Any], key: "SSlibKey", path: Path, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return the payload of an envelope of which one signature was made with ``key``.

    Which signature is the key's is found by trying: the key id in an envelope is a hint that anyone can change.

    Args:
        envelope: as :func:`read_envelope` returns it.
        key: the public key.
        path: of the envelope, for messages.
        payload_type: the only one that is accepted.

    Raises:
        SignatureInvalid: where no signature fits.
        ForgetkitError: ``attestation-malformed`` for a payload of another type, or text that is not base64.
    """
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    for signature in envelope["signatures"]:
        one = {**envelope, "signatures": [{"keyid": key.keyid, "sig": signature["sig"]}]}
        try:
            opened = Envelope.from_dict(one)
            opened.verify([key], 1)
        except ValueError as problem:  # binascii.Error
            raise malformed(path, f"payload or signature is not base64 ({problem})") from problem
        except VerificationError:
            continue
        if opened.payload_type != payload_type:
            raise malformed(path, f"the payload is '{opened.payload_type}', not '{payload_type}'")
        return bytes(opened.payload)
    raise _refused(envelope, key, path)


def _refused(envelope: dict[str, Any], key: "SSlibKey", path: Path) -> SignatureInvalid:
    """Return the error for an envelope without a signature of this key, and what the key ids let suspect."""
    named = [one.get("keyid") for one in envelope["signatures"]]
    if not named:
        return SignatureInvalid(f"{path}: it is not signed", "ask for a signed one")
    if key.keyid not in named:
        return SignatureInvalid(f"{path}: not signed with this key", "give the public key of whoever signed it")
    return SignatureInvalid(f"{path}: it was changed after it was signed, or is damaged", "ask for the file again")


def malformed(path: Path, why: str, hint: str = HINT) -> ForgetkitError:
    """Return the error for a file that is no attestation."""
    return ForgetkitError("attestation-malformed", f"{path}: {why}", hint)
