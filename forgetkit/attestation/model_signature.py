"""Signatures over exported models in the format of OpenSSF Model Signing, by the package model-signing."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from forgetkit.attestation.keys import Ask, private_key
from forgetkit.errors import ForgetkitError

MAKE = "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -out key.pem"


class ModelSigner:
    """Signs a file, or a folder with all that is in it, with an ECDSA key.

    Args:
        key: private key on P-256, in PEM; a file, since it is read again.
        ask: called for the passphrase of the key, if it has one.

    Raises:
        ForgetkitError: ``missing-extra``; as :func:`.keys.private_key`; ``key-malformed`` for a key of another kind.
    """

    def __init__(self, key: Path, ask: Ask) -> None:
        self._library = _library()
        from cryptography.hazmat.primitives.asymmetric import ec

        found, self._passphrase = private_key(key, ask)
        if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
            raise ForgetkitError("key-malformed", f"{key}: model signing needs a key of ECDSA on P-256", MAKE)
        if not key.is_file():
            raise ForgetkitError("key-missing", f"{key}: not a regular file", "name a file")
        self._key, self._public = key, found.public_key()

    def sign(self, model: Path, signature: Path) -> bytes:
        """Return the signature of a model, to be written to ``signature``, which may be in its folder."""
        signing: Any = self._library.signing
        config = signing.Config().use_elliptic_key_signer(private_key=self._key, password=self._passphrase)
        with TemporaryDirectory() as folder:  # not beside the model: a file there would be signed as well
            written = Path(folder) / "model.sig"
            config.set_hashing_config(self._hashing(model, signature)).sign(model, written)
            return written.read_bytes()

    def has_signed(self, model: Path, signature: Path) -> bool:
        """Say whether ``signature`` is one of the model with this key."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        if not signature.is_file():
            return False
        with TemporaryDirectory() as folder:
            public = Path(folder) / "key.pub"
            public.write_bytes(self._public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
            config = self._library.verifying.Config().use_elliptic_key_verifier(public_key=public)
            try:
                config.set_hashing_config(self._hashing(model, signature)).verify(model, signature)
            except (ValueError, KeyError, IndexError, OSError, InvalidSignature):
                return False
        return True

    def _hashing(self, model: Path, signature: Path) -> Any:  # noqa: ANN401 - the library's class
        inside = [signature.name] if signature.parent == model else []
        return self._library.hashing.Config().set_ignored_paths(paths=inside, ignore_git_paths=True)


def _library() -> Any:  # noqa: ANN401 - a module
    try:
        import model_signing
    except ImportError as problem:
        message = f"signing an export needs the package model-signing ({problem})"
        raise ForgetkitError("missing-extra", message, "pip install 'forgetkit[signing]'") from problem
    return model_signing
