"""Keys in PEM files: a private one, whose passphrase is asked for only if it has one, and a public one."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetkit.errors import ForgetkitError
from forgetkit.files.small_file import read_small

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner, SSlibKey

MAKE = "make one with: openssl genpkey -algorithm ed25519 -aes256 -out key.pem"
PUBLIC = "openssl pkey -in key.pem -pubout -out key.pub"
KINDS = "Ed25519 or ECDSA on P-256"

Ask = Callable[[], bytes | None]
"""Returns the passphrase of a key that has one; None if nobody can be asked."""


def signer_of(path: Path, ask: Ask) -> "CryptoSigner":
    """Return what signs with the private key in a PEM file (PKCS #8), Ed25519 or ECDSA on P-256.

    Raises:
        ForgetkitError: as :func:`private_key`; ``key-malformed`` for a key of another kind.
    """
    key, _ = private_key(path, ask)
    _check_kind(path, key.public_key())
    from securesystemslib.signer import CryptoSigner

    return CryptoSigner(key)


def private_key(path: Path, ask: Ask) -> tuple[Any, bytes | None]:
    """Return the private key in a PEM file, and the passphrase if it has one.

    Raises:
        ForgetkitError: ``missing-extra``, ``key-missing``; ``key-malformed`` for what is no private key; ``key-locked``
            where its passphrase is missing or wrong.
    """
    serialization = _serialization()
    content = read_small(path, "key", MAKE)
    try:
        return serialization.load_pem_private_key(content, None), None
    except TypeError:  # it has a passphrase
        return _unlocked(path, content, ask)
    except (ValueError, _unsupported()) as problem:
        raise _no_private_key(path, content) from problem


def _unlocked(path: Path, content: bytes, ask: Ask) -> tuple[Any, bytes]:
    passphrase = ask()
    if not passphrase:
        hint = "--passphrase-file FILE, or the environment variable FORGETKIT_PASSPHRASE; on a terminal it is asked for"
        raise ForgetkitError("key-locked", f"{path}: the key has a passphrase, and none was given", hint)
    try:
        return _serialization().load_pem_private_key(content, passphrase), passphrase
    except ValueError as problem:
        raise ForgetkitError("key-locked", f"{path}: the passphrase is wrong", "try again") from problem


def public_key(path: Path) -> "SSlibKey":
    """Return the public key in a PEM file, Ed25519 or ECDSA on P-256.

    Raises:
        ForgetkitError: ``missing-extra``, ``key-missing``; ``key-malformed`` for what is no such key.
    """
    serialization = _serialization()
    from securesystemslib.signer import SSlibKey

    content = read_small(path, "key", f"make it from the private one: {PUBLIC}")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, _unsupported()) as problem:
        if b"PRIVATE KEY-----" in content:
            message = f"{path}: a private key, which should not leave its owner; the public one is needed"
            raise ForgetkitError("key-malformed", message, f"make it from the private one: {PUBLIC}") from problem
        hint = f"give the signer's public key; its owner makes it with: {PUBLIC}"
        raise ForgetkitError("key-malformed", f"{path}: not a public key in PEM", hint) from problem
    _check_kind(path, key)
    return SSlibKey.from_crypto(key)


def _serialization() -> Any:  # noqa: ANN401 - a module
    """Return the module that reads keys."""
    try:
        import securesystemslib.signer  # noqa: F401
        from cryptography.hazmat.primitives import serialization
    except ImportError as problem:
        message = "signatures need securesystemslib and cryptography, which are not installed"
        raise ForgetkitError("missing-extra", message, "pip install 'forgetkit[attest]'") from problem
    return serialization


def _unsupported() -> type[Exception]:
    """Return what is raised for a key that this build of the library does not know."""
    from cryptography.exceptions import UnsupportedAlgorithm

    return UnsupportedAlgorithm


def _check_kind(path: Path, key: object) -> None:
    """Refuse a public key of a kind that is not used here."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    if isinstance(key, ed25519.Ed25519PublicKey):
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return
    kind = type(key).__name__.removeprefix("_").removesuffix("PublicKey")
    raise ForgetkitError("key-malformed", f"{path}: a key of another kind ({kind}); {KINDS} is needed", MAKE)


def _no_private_key(path: Path, content: bytes) -> ForgetkitError:
    """Return the error for a file that is no private key in PEM."""
    if b"BEGIN PUBLIC KEY" in content:
        return ForgetkitError("key-malformed", f"{path}: a public key; to sign, the private one is needed", MAKE)
    if b"OPENSSH PRIVATE KEY" in content:
        return ForgetkitError("key-malformed", f"{path}: a key of OpenSSH's own format; PEM (PKCS #8) is needed", MAKE)
    return ForgetkitError("key-malformed", f"{path}: not a private key in PEM", MAKE)
